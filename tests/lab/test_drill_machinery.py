"""What a drill counts and measures is right: percentiles, missing numbers, whole messages."""

import hmac
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from holdfast.lab.drills.copies import CopyWatch, LivingVms
from holdfast.lab.drills.director import DRILLS
from holdfast.lab.drills.figures import Goal, Result, Spread
from holdfast.lab.drills.inbox import RECEIVER_PROGRAM, Arrival, count_sequences, read_arrival


def test_percentiles_are_values_that_were_measured() -> None:
    assert Spread.of(range(1, 101)) == Spread(p50=50, p99=99, max=100)
    assert Spread.of([3, 1, 2]) == Spread(p50=2, p99=3, max=3)
    assert Spread.of([7.12345]) == Spread(p50=7.123, p99=7.123, max=7.123)
    assert Spread.of([]) is None


@pytest.mark.parametrize(
    ("numbers", "gaps", "repeated"),
    [([1, 2, 3], 0, 0), ([1, 3], 1, 0), ([1, 2, 2], 0, 1), ([5, 9, 9, 6], 2, 1)],
)
def test_gaps_and_repeats_of_a_stream_are_counted(
    numbers: list[int], gaps: int, repeated: int
) -> None:
    arrivals = [Arrival(at_ns=1, stream="a", sequence=number) for number in numbers]
    counts = count_sequences([*arrivals, Arrival(at_ns=2, stream="b", sequence=40)])
    assert (counts.gaps, counts.repeated) == (gaps, repeated)


def test_what_was_not_measured_is_not_met() -> None:
    assert not Goal(what="x", limit=1).is_met
    assert Goal(what="x", limit=1, measured=1).is_met
    assert not Goal(what="x", limit=1, measured=1.1).is_met
    assert Goal(what="x", limit=10, at_least=True, measured=10).is_met
    assert not Goal(what="x", limit=10, at_least=True, measured=9).is_met


@pytest.mark.parametrize(
    "wrong",
    [
        {"lost": 1},
        {"false_alarms": 1},
        {"overran": ("a wait",)},
        {"ran_twice": 1},
        {"vms_stopped": 1},
    ],
)
def test_a_drill_fails_by_what_is_lost_false_or_overrun(wrong: dict[str, object]) -> None:
    fine: dict[str, object] = {"drill": "x", "runs": 1, "lost": 0, "false_alarms": 0}
    assert Result(**fine).is_passed  # type: ignore[arg-type]
    assert not Result(**fine | wrong).is_passed  # type: ignore[arg-type]


def test_the_issue_s_drills_are_there() -> None:
    assert set(DRILLS) >= {
        *("vm-killed", "vm-panicked", "vm-stuck", "vm-watchdog", "vm-io-error"),
        *("vm-stopped-on-purpose", "agent-killed-then-vm-killed"),
    }


@contextmanager
def running_vm(uuid: str) -> Iterator[int]:
    """Something that looks like its QEMU: the observers know VMs by their command lines."""
    argv = [sys.executable, "-c", "input()", "-uuid", uuid, "-end"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        try:
            # For a moment after its start a program has no command line.
            words = Path(f"/proc/{process.pid}/cmdline")
            wait_until(lambda: uuid.encode() in words.read_bytes())
            yield process.pid
        finally:
            process.kill()


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_observer_sees_two_copies_and_each_start() -> None:
    web, db = str(uuid4()), str(uuid4())
    with CopyWatch([web, db]) as copies:
        with running_vm(web), running_vm(db):
            wait_until(lambda: bool(copies.lives[web] and copies.lives[db]))
        with running_vm(web):
            wait_until(lambda: len(copies.lives[web]) == 2)
        assert copies.twice == set(), "one after the other is not twice"
        with running_vm(web), running_vm(web):
            wait_until(lambda: bool(copies.twice))
    assert copies.twice == {web}
    assert (len(copies.lives[web]), len(copies.lives[db])) == (4, 1)


class Place:
    """A host with these processes."""

    def __init__(self, name: str, *pids: int) -> None:
        self.name, self._pids = name, pids

    def list_pids(self) -> list[int]:
        return [*self._pids, os.getpid()]


def test_vms_that_ended_are_counted_but_for_hosts_that_were_broken() -> None:
    with running_vm(str(uuid4())) as stays:
        with running_vm(str(uuid4())) as first, running_vm(str(uuid4())) as second:
            living = LivingVms.on([Place("h1", first, stays), Place("h2", second)])
            assert living.count_ended() == 0
        assert living.count_ended() == 2
        assert living.count_ended({"h2"}) == 1


@contextmanager
def receiver() -> Iterator[tuple[socket.socket, "subprocess.Popen[str]"]]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(RECEIVER_PROGRAM)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            yield link, process
    finally:
        process.kill()
        process.communicate()


def message(body: str) -> bytes:
    head = f"POST /alarms HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def test_the_receiver_stamps_a_message_when_it_is_whole() -> None:
    with receiver() as (link, process):
        assert process.stdout is not None
        first = message('{"n": 1}')
        link.sendall(first[:-1])
        time.sleep(0.05)  # The receiver holds all but the last letter; it must go on waiting.
        before_ns = time.monotonic_ns()
        # One write that ends a message and holds another whole one.
        link.sendall(first[-1:] + message('{"n": 2}'))
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [json.loads(line["body"])["n"] for line in lines] == [1, 2]
        assert all(before_ns <= line["at_ns"] <= time.monotonic_ns() for line in lines)
        answers = b""
        while answers.count(b"200 OK") < 2:
            answers += link.recv(4096)


def test_a_message_without_a_length_is_refused() -> None:
    with receiver() as (link, _):
        link.sendall(b"POST / HTTP/1.1\r\n\r\n")
        assert link.recv(4096).startswith(b"HTTP/1.1 411 ")
        assert link.recv(4096) == b""


def test_a_body_that_is_no_notice_is_an_error() -> None:
    with pytest.raises((ValueError, KeyError)):
        read_arrival(json.dumps({"at_ns": 1, "body": '{"hello": 1}'}))


def test_a_notice_counts_only_with_its_signature() -> None:
    body = '{"stream": "a", "sequence": 3, "record": null}'
    signature = hmac.digest(b"key", f"7.{body}".encode(), "sha256").hex()
    header = {"holdfast-timestamp": "7", "holdfast-signature": f"sha256={signature}"}
    told = {"at_ns": 1, "header": header, "body": body}
    assert read_arrival(json.dumps(told), b"key").sequence == 3
    with pytest.raises(ValueError, match="signature"):
        read_arrival(json.dumps(told), b"another key")
    with pytest.raises(KeyError):
        read_arrival(json.dumps({**told, "header": {}}), b"key")
