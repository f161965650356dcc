"""The pulse says that its host lives: from its first moment, on every plane, until it is ended."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.agent import pulse
from holdfast.agent.board import Board
from holdfast.agent.pulse_file import Target
from holdfast.facts.instants import Instant
from holdfast.facts.layers import Layer, LayerState, Plan
from holdfast.facts.pulse import Kind, decode, encode_probe, read_key
from tests.agent.pulse_scene import (
    HOST,
    KEY,
    LIMIT_S,
    Heard,
    pulse_file,
    pulsing,
    write,
)
from tests.ports import free_port


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[Heard]:
    made = Heard("127.0.0.2")
    yield made
    made.close()


def test_it_pulses_on_every_plane_with_one_rising_sequence(
    tmp_path: Path, heard: Heard, other: Heard
) -> None:
    write(tmp_path, pulse_file(heard, other))
    with pulsing(tmp_path):
        first, second = heard.receive(), heard.receive()
        assert (first.names.host, first.names.plane) == (HOST, "a")
        assert second.sequence == first.sequence + 1
        assert (second.sent_ns - first.sent_ns) / 1e6 >= 40
        beside = other.receive()
        assert beside.names == first.names._replace(plane="b")
        assert beside.sequence == first.sequence


def test_a_new_pulse_of_the_same_boot_goes_on_with_a_higher_sequence(
    tmp_path: Path, heard: Heard
) -> None:
    write(tmp_path, pulse_file(heard))
    with pulsing(tmp_path):
        before = heard.receive()
    newest = max([before, *heard.empty()], key=lambda pulse: pulse.sequence)
    with pulsing(tmp_path):
        after = heard.wait(lambda pulse: pulse.sent_ns > newest.sent_ns)
    assert after.sequence > newest.sequence
    assert after.names.boot == before.names.boot
    (tmp_path / "run/boot-word").unlink()
    with pulsing(tmp_path):
        heard.wait(lambda pulse: pulse.names.boot != before.names.boot)


def test_a_planned_end_says_so_last(tmp_path: Path, heard: Heard) -> None:
    write(tmp_path, pulse_file(heard))
    with pulsing(tmp_path) as process:
        assert heard.receive().plan is Plan.NONE
        process.terminate()
        assert process.wait(LIMIT_S) == 0
        *_, first, second, last = heard.empty()
        assert [one.plan for one in (first, second, last)] == [Plan.PULSE_RESTARTS] * 3
        assert last.plan_limit_ms == 5_000


def test_a_host_that_stops_says_so_while_it_can(tmp_path: Path, heard: Heard) -> None:
    write(tmp_path, pulse_file(heard))
    with pulsing(tmp_path) as process:
        heard.receive()
        (tmp_path / "run/host-stops").touch()
        stopping = heard.wait(lambda pulse: pulse.plan is Plan.HOST_STOPS)
        assert stopping.plan_limit_ms == 600_000
        (tmp_path / "run/host-stops").unlink()
        heard.wait(lambda pulse: pulse.plan is Plan.NONE)
        (tmp_path / "run/host-stops").touch()
        process.terminate()
        process.wait(LIMIT_S)
        assert heard.empty()[-1].plan is Plan.HOST_STOPS


def test_it_carries_what_the_board_says_and_tells_when_that_is_stale(
    tmp_path: Path, heard: Heard
) -> None:
    write(tmp_path, pulse_file(heard))
    with pulsing(tmp_path):
        assert heard.receive().layers == {}
        board = Board(tmp_path / "run/health-board")
        board.write(Layer.AGENT, LayerState.WELL, 300, Instant(time.monotonic_ns()))
        heard.wait(lambda pulse: pulse.layers[Layer.AGENT].state is LayerState.WELL)
        stale = heard.wait(lambda pulse: pulse.layers[Layer.AGENT].state is LayerState.STALE)
        assert stale.layers[Layer.AGENT].age_ms >= 300


@pytest.mark.parametrize("way", ["board", "signal"])
def test_it_reads_its_file_anew_when_called(
    tmp_path: Path, heard: Heard, other: Heard, way: str
) -> None:
    write(tmp_path, pulse_file(heard))
    with pulsing(tmp_path) as process:
        before = heard.receive()
        write(tmp_path, pulse_file(heard, other))
        if way == "board":
            Board(tmp_path / "run/health-board").call_to_read()
        else:
            process.send_signal(signal.SIGHUP)
        assert other.receive().sequence > before.sequence
        newest = heard.wait(lambda pulse: pulse.sequence > before.sequence + 3)
        assert newest.plan is Plan.NONE, "that is no restart"


@pytest.mark.slow
def test_it_waits_for_its_file_and_outlives_a_bad_one(tmp_path: Path, heard: Heard) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/pulse.json").write_text("{")
    with pulsing(tmp_path) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert next(line for line in lines if b"cannot be understood" in line)
        write(tmp_path, pulse_file(heard))
        assert heard.receive().names.host == HOST


def test_a_plane_that_is_away_does_not_hinder_the_other(tmp_path: Path, heard: Heard) -> None:
    away = Target("b", "192.0.2.7", "192.0.2.8", 9)
    file = pulse_file(heard, answer_port=free_port())
    file = replace(file, targets=(away, *file.targets), answers=(("b", "192.0.2.7"),))
    write(tmp_path, file)
    with pulsing(tmp_path):
        assert heard.receive().names.plane == "a"
        assert heard.receive().names.plane == "a"


def test_there_is_one_pulse_for_each_host(tmp_path: Path, heard: Heard) -> None:
    write(tmp_path, pulse_file(heard))
    with pulsing(tmp_path):
        heard.receive()
        with pulsing(tmp_path) as second:
            assert second.stderr is not None
            assert second.wait(LIMIT_S) == 1
            assert b"another pulse runs" in second.stderr.read()


def test_who_holds_the_key_is_answered_and_nobody_else(tmp_path: Path, heard: Heard) -> None:
    port = free_port()
    write(tmp_path, pulse_file(heard, answer_port=port))
    with pulsing(tmp_path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        heard.receive()
        asker.connect(("127.0.0.1", port))
        nonce, key = secrets.token_bytes(16), read_key(KEY)
        for strange in (
            b"rubbish",
            encode_probe(HOST, "a", nonce, b"f" * 32),
            encode_probe("ffffffff", "a", nonce, key),
            encode_probe(HOST, "b", nonce, key),
        ):
            asker.send(strange)
        asker.settimeout(0.3)
        with pytest.raises(TimeoutError):
            asker.recv(2_048)
        asker.settimeout(LIMIT_S)
        asker.send(encode_probe(HOST, "a", nonce, key))
        answer = decode(asker.recv(2_048), key, Kind.ANSWER)
        assert (answer.names.host, answer.names.nonce) == (HOST, nonce.hex())


@pytest.mark.slow
def test_a_flood_of_questions_delays_no_pulse(tmp_path: Path, heard: Heard) -> None:
    port = free_port()
    write(tmp_path, pulse_file(heard, answer_port=port))
    with pulsing(tmp_path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        heard.receive()
        probe = encode_probe(HOST, "a", b"n" * 16, read_key(KEY))
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            for _ in range(50):
                asker.sendto(probe, ("127.0.0.1", port))
        pulses = heard.empty()
    gaps = [(b.sent_ns - a.sent_ns) / 1e6 for a, b in pairwise(pulses)]
    assert len(pulses) >= 10
    assert sorted(gaps)[len(gaps) // 2] < 75, f"half of them are in time: {gaps}"


def test_it_imports_nothing_that_waits_or_grows() -> None:
    """No event loop, no log, nothing that is not Python's own."""
    unwanted = {"asyncio", "logging", "msgspec", "websockets", "aiohttp", "click", "threading"}
    # What packages of others have Python load at its start is not the pulse's.
    bare, ours = (modules_after(f"import sys{more}") for more in ("", ", holdfast.agent.pulse"))
    assert not unwanted & (ours - bare)


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may keep time like that")
def test_it_keeps_time_where_it_may(tmp_path: Path, heard: Heard) -> None:
    write(tmp_path, pulse_file(heard))
    with pulsing(tmp_path) as process:
        heard.receive()
        policy = os.sched_getscheduler(process.pid)
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        said = process.stderr.read() or b""
        assert policy == os.SCHED_FIFO or b"does without real-time priority" in said
        status = Path(f"/proc/{process.pid}/status").read_text()
        locked_kib = int(status.split("VmLck:")[1].split()[0])
        assert locked_kib > 1_000 or b"does without memory" in said


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")
def test_an_address_that_comes_later_is_used_then(tmp_path: Path) -> None:
    """In its own network namespace, where at first not even the loopback is up."""
    script = """
import socket, subprocess, sys, time
run = lambda words: subprocess.run(["ip", *words.split()], check=True)
run("link set lo up")
hear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hear.setsockopt(0, 15, 1)
hear.bind(("10.99.0.1", 7312))
hear.settimeout(0.5)
run("link add p0 type veth peer name p1")
try:
    hear.recv(2048)
    sys.exit("heard without an address")
except TimeoutError:
    pass
for command in ("link set p0 up", "addr add 10.99.0.1/24 dev p0"):
    run(command)
hear.settimeout(10)
hear.recv(2048)
run("link del p0")
hear.settimeout(0.5)
try:
    while True:
        hear.recv(2048)
except TimeoutError:
    pass
run("link add p0 type veth peer name p1")
for command in ("link set p0 up", "addr add 10.99.0.1/24 dev p0"):
    run(command)
hear.settimeout(10)
hear.recv(2048)
print("heard again")
"""
    file = pulse_file()
    target, answers = Target("a", "10.99.0.1", "10.99.0.1", 7_312), (("a", "10.99.0.1"),)
    write(tmp_path, replace(file, targets=(target,), answers=answers, answer_port=7_313))
    with pulsing(tmp_path, "unshare", "--net", "--") as process:
        assert process.stderr is not None
        assert process.stderr.readline(), "by now it is in a namespace of its own"
        ours, its = (os.stat(f"/proc/{pid}/ns/net").st_ino for pid in ("self", process.pid))
        assert ours != its
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{process.pid}/ns/net", sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout == "heard again\n", done.stderr


def test_a_file_that_was_written_while_it_was_read_is_read_again(tmp_path: Path) -> None:
    """Else the pulse would go on to whom it knew, and the newest controller hear nothing."""
    beats: list[int] = []

    class Once:
        is_ended = is_called = False

    class Counted:
        def beat(self, at: Instant) -> None:
            beats.append(at)
            Once.is_ended = len(beats) > 3

        def answer_until(self, _: Instant) -> None: ...

        def say_farewell(self) -> None:
            raise AssertionError("it went on with the file of before")

    board = Board(tmp_path / "health-board")
    before = board.generation
    board.call_to_read()
    pulse._pulse(Counted(), 1, board, Once(), before)  # type: ignore[arg-type]
    assert len(beats) == 1
