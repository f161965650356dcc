"""What the agent leaves for the pulse, and the errands that it runs for a controller in doubt."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from holdfast.agent.board import Board
from holdfast.agent.identity import Identity, identify
from holdfast.agent.loop import now
from holdfast.agent.pulse_file import NAME, PulseFileWrong, read_pulse_file
from holdfast.agent.questions import Questions
from holdfast.agent.vitals import Vitals, keep_key, plan_pulse
from holdfast.agent.witness import Witness
from holdfast.facts import wire
from holdfast.facts.hearing import Layer, LayerState
from holdfast.facts.observations import LibvirtAnswered, LibvirtGone, LibvirtSilent
from holdfast.facts.pulse import encode_probe
from holdfast.facts.settings import ControllerPlace, Plane, Settings

KEY = b"k" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=str(tmp_path / "state"), run_dir=str(tmp_path / "run"))


@pytest.fixture
def me(settings: Settings) -> Identity:
    state = Path(settings.state_dir)
    return identify(state, Path(settings.run_dir), "h1", state / "tls")


def board_of(settings: Settings) -> dict[Layer, LayerState]:
    words = Board(Path(settings.run_dir) / "health-board").read_all(now())
    return {layer: word.state for layer, word in words.items()}


def test_a_host_alone_pulses_to_itself(settings: Settings, me: Identity) -> None:
    vitals = Vitals(settings, me)
    file = read_pulse_file(Path(settings.state_dir) / NAME)
    assert file.targets == (("local", "127.0.0.1", "127.0.0.1", 7312),)
    assert (file.host, file.key, file.period_ms) == (me.host, vitals.key, 50)
    assert vitals.addresses == {"local": "127.0.0.1"}


def test_an_agent_knows_whether_the_run_before_it_ended_on_purpose(
    settings: Settings, me: Identity
) -> None:
    async def say_well(vitals: Vitals) -> None:
        running = asyncio.create_task(vitals.run())
        await asyncio.sleep(0)
        running.cancel()  # As by kill -9: nothing more is said.

    first = Vitals(settings, me)
    assert not first.was_planned
    first.leave()
    second = Vitals(settings, me)
    assert second.was_planned
    asyncio.run(say_well(second))
    assert not Vitals(settings, me).was_planned


def test_a_host_of_a_site_pulses_to_every_controller_on_each_plane_of_both(
    settings: Settings, me: Identity
) -> None:
    site = Settings(
        planes=(Plane(name="a", address="10.0.0.4"), Plane(name="b", address="10.1.0.4")),
        controllers=(
            ControllerPlace(
                name="h1", address="10.0.0.1", planes={"a": "10.0.0.1", "b": "10.1.0.1"}
            ),
            ControllerPlace(name="h2", address="10.0.0.2", planes={"b": "10.1.0.2", "c": "x"}),
        ),
        pulse_port=9,
    )
    file = plan_pulse(site, me, "00" * 32)
    assert set(file.targets) == {
        ("a", "10.0.0.4", "10.0.0.1", 9),
        ("b", "10.1.0.4", "10.1.0.1", 9),
        ("b", "10.1.0.4", "10.1.0.2", 9),
    }
    assert file.answers == (("a", "10.0.0.4"), ("b", "10.1.0.4"))


def test_the_key_is_made_once_and_is_for_its_owner_alone(settings: Settings, me: Identity) -> None:
    key = Vitals(settings, me).key
    path = Path(settings.state_dir) / "pulse-key"
    assert path.read_text().strip() == key
    assert len(bytes.fromhex(key)) == 32
    assert Vitals(settings, me).key == key
    for name in ("pulse-key", NAME):
        assert (Path(settings.state_dir) / name).stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"\xff")
    assert keep_key(path) != key


def test_the_pulse_is_called_only_when_its_file_says_something_new(
    settings: Settings, me: Identity
) -> None:
    Vitals(settings, me)
    board = Board(Path(settings.run_dir) / "health-board")
    before = board.generation
    Vitals(settings, me)
    assert board.generation == before
    Vitals(Settings(**{**_fields(settings), "pulse_port": 9}), me)
    assert board.generation == before + 1


def test_a_pulse_file_that_is_damaged_is_written_anew(settings: Settings, me: Identity) -> None:
    async def work() -> None:
        kept = Vitals(settings, me, look_s=0.01)
        board = Board(Path(settings.run_dir) / "health-board")
        path = Path(settings.state_dir) / NAME
        whole, asked = path.read_text(), board.generation
        path.write_text("rubbish")
        task = asyncio.create_task(kept.run())
        try:
            async with asyncio.timeout(10):
                while board.generation == asked:  # noqa: ASYNC110  A thread writes it.
                    await asyncio.sleep(0.01)
            assert path.read_text() == whole
        finally:
            task.cancel()

    asyncio.run(work())


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def test_a_disk_that_cannot_be_written_does_not_stop_the_agent(
    settings: Settings, me: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(settings.state_dir) / "pulse-key"
    path.mkdir()
    assert Vitals(settings, me).key == ""
    assert "the pulse was not told where to go" in caplog.text


def test_the_agent_says_how_it_and_libvirt_are(settings: Settings, me: Identity) -> None:
    async def live() -> list[dict[Layer, LayerState]]:
        vitals = Vitals(settings, me)
        running = asyncio.create_task(vitals.run())
        found = []
        await asyncio.sleep(0)
        found.append(board_of(settings))
        for seen in (
            LibvirtAnswered(at=now()),
            LibvirtSilent(at=now(), since=now()),
            LibvirtAnswered(at=now()),
            LibvirtGone(at=now(), reason="closed"),
        ):
            vitals.see(seen)
            found.append(board_of(settings))
        running.cancel()
        vitals.leave()
        found.append(board_of(settings))
        return found

    well, ill = LayerState.WELL, LayerState.ILL
    found = asyncio.run(live())
    assert [states[Layer.LIBVIRT] for states in found[:-1]] == [
        *(LayerState.UNKNOWN, well, ill, well, ill)
    ]
    assert {states[Layer.AGENT] for states in found[:-1]} == {well}
    assert found[-1][Layer.AGENT] is LayerState.RESTARTING


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"host": 1}', "\x00", "[" * 100_000),
        json.dumps({"targets": [[1, 2]]}),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    with pytest.raises(PulseFileWrong, match="cannot be understood"):
        read_pulse_file(tmp_path / NAME)


def ask_witness(answer_port: int, **args: Any) -> wire.Reply:
    """Ask for an errand to the loopback, unless the arguments say otherwise."""
    questions = Questions()
    Witness(answer_port).add_to(questions)
    probe = encode_probe("0123abcd", "a", b"n" * 16, KEY).hex()
    given = {"address": "127.0.0.1", "port": answer_port, "data": probe, "limit_ms": 500, **args}
    return asyncio.run(questions.answer(wire.Question(id=1, name="witness", args=given)))


def test_a_witness_brings_back_what_came() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.bind(("127.0.0.1", 0))

        def answer() -> None:
            data, asker = host.recvfrom(2_048)
            host.sendto(data[::-1], asker)

        thread = threading.Thread(target=answer)
        thread.start()
        reply = ask_witness(host.getsockname()[1])
        thread.join()
    probe = encode_probe("0123abcd", "a", b"n" * 16, KEY)
    assert reply.data == {"data": probe[::-1].hex(), "is_kernel": False}


def test_a_witness_hears_the_kernel_of_a_host_whose_processes_are_frozen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        reply = ask_witness(mute.getsockname()[1], limit_ms=100)
    assert reply.data == {"data": "", "is_kernel": True}


def test_a_witness_hears_the_kernel_where_nobody_listens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert ask_witness(port).data == {"data": "", "is_kernel": True}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")
def test_a_witness_of_a_host_without_power_brings_nothing() -> None:
    """In a network of its own, at whose other end nobody is."""
    script = """
import asyncio, subprocess
from holdfast.adapters.drivers.errands import carry
for words in (
    "link set lo up", "link add p0 type veth peer name p1",
    "link set p0 up", "link set p1 up", "addr add 10.99.0.1/24 dev p0",
):
    subprocess.run(["ip", *words.split()], check=True)
print(*asyncio.run(carry("10.99.0.2", 7313, b"probe", 200, "10.99.0.1")))
"""
    shown = subprocess.run(
        ["unshare", "--net", "--", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert shown.stdout == "b'' False\n", shown.stderr


def test_a_host_that_is_doubted_says_itself_that_it_lives() -> None:
    questions = Questions()
    Witness(7_313, "boot-1").add_to(questions)
    reply = asyncio.run(questions.answer(wire.Question(id=1, name="alive")))
    assert reply.data == {"boot": "boot-1"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"port": 22}, "answer ports only"),
        ({"address": "224.0.0.1"}, "answer ports only"),
        ({"address": "example.org"}, "cannot be understood"),
        ({"data": "zz"}, "cannot be understood"),
        ({"data": "00" * 40}, "no probe"),
        ({"data": encode_probe("h", "a", b"n" * 16, KEY).hex() + "00" * 600}, "no probe"),
        ({"limit_ms": 60_000}, "waits up to 1000 ms"),
        ({"limit_ms": "nan"}, "waits up to 1000 ms"),
    ],
)
def test_a_witness_runs_no_other_errands(args: dict[str, Any], said: str) -> None:
    reply = ask_witness(7_313, **args)
    assert said in reply.error
