"""Who is asked about a silent host, and what each answer is taken for.

covers: H7
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.controller.agents import Agents, Link
from holdfast.controller.witnesses import Witnesses
from holdfast.facts import wire
from holdfast.facts.hearing import Sign, WitnessKind, WitnessSpoke
from holdfast.ports import clock


@dataclass
class Question:
    address: str = "10.0.0.2"
    port: int = 7313
    data: bytes = b"probe"


class FakeProber:
    """The host itself answers `own`; what a witness brings back is its answer's first letter."""

    def __init__(self, own: Sign) -> None:
        self.own = own
        self.planes = {"a": "10.0.0.1", "b": "10.1.0.1"}

    async def probe(self, host: str, plane: str) -> Sign:
        del host, plane
        return self.own

    def make_probe(self, host: str, plane: str) -> Question:
        del host, plane
        return Question()

    def check_answer(self, probe: Any, data: bytes, *, is_kernel: bool) -> Sign:
        del probe
        if data == b"alive":
            return Sign.PULSE
        return Sign.KERNEL if is_kernel else Sign.NOTHING


def linked(agents: Agents, host: str, answer: wire.Reply | None) -> list[wire.Question]:
    """An agent that answers each question so; None: never."""
    asked: list[wire.Question] = []

    async def send(frame: wire.Frame) -> None:
        assert isinstance(frame, wire.Question)
        asked.append(frame)
        if answer is not None:
            link.replied(wire.Reply(id=frame.id, data=answer.data, error=answer.error))

    link = Link(send)
    hello = wire.Hello(
        version=1, host=host, host_name=f"name-{host}", boot="b", state_id="s", stream="x"
    )
    agents.greeted(hello, link)
    return asked


def ask(
    folder: Path,
    own: Sign,
    agents_say: dict[str, wire.Reply | None],
    peers: Sequence[WitnessSpoke] = (),
) -> list[tuple[str, str, str, str]]:
    agents = Agents(Shelf(folder / "kept.db"))
    said: list[WitnessSpoke] = []

    async def ask_peers(_host: str) -> Sequence[WitnessSpoke]:
        return peers

    async def work() -> None:
        for host, answer in agents_say.items():
            linked(agents, host, answer)
        await Witnesses(FakeProber(own), agents, said.append, ask_peers).ask("h2")

    asyncio.run(work())
    return [(str(one.kind), one.witness, one.plane, str(one.sign)) for one in said]


def test_a_host_that_nobody_reaches(tmp_path: Path) -> None:
    nothing = wire.Reply(id=0, data={"data": "", "is_kernel": False})
    said = ask(tmp_path, Sign.NOTHING, {"h2": None, "h3": nothing})
    assert ("agent", "h2", "", "nothing") in said
    assert ("agent", "name-h3", "a", "nothing") in said
    assert ("probe", "", "b", "nothing") in said


def test_a_witness_that_reaches_it_brings_its_signed_answer(tmp_path: Path) -> None:
    alive = wire.Reply(id=0, data={"data": b"alive".hex(), "is_kernel": False})
    assert ("agent", "name-h3", "a", "pulse") in ask(tmp_path, Sign.NOTHING, {"h3": alive})


def test_a_witness_that_cannot_say_says_nothing_against_it(tmp_path: Path) -> None:
    busy = wire.Reply(id=0, error="64 witnesses are under way already")
    said = ask(tmp_path, Sign.NOTHING, {"h3": busy, "h4": None})
    assert ("agent", "name-h3", "a", "unknown") in said
    assert ("agent", "name-h4", "b", "unknown") in said


def test_its_own_agent_comes_before_a_kernels_word(tmp_path: Path) -> None:
    """Else a host whose pulse died would be called frozen first."""
    unknown = wire.Reply(id=0, error="the agent does not know the question 'alive'")
    said = ask(tmp_path, Sign.KERNEL, {"h2": unknown})
    assert said[0] == ("agent", "h2", "", "pulse")
    assert ("probe", "", "a", "kernel") in said[1:]


def heard_by_controller() -> WitnessSpoke:
    return WitnessSpoke(
        at=clock.now(),
        host="h2",
        kind=WitnessKind.CONTROLLER,
        witness="c2",
        plane="",
        sign=Sign.PULSE,
    )


def test_other_controllers_are_asked_too(tmp_path: Path) -> None:
    said = ask(tmp_path, Sign.NOTHING, {}, [heard_by_controller()])
    assert ("controller", "c2", "", "pulse") in said


def test_what_a_witness_said_before_counts_no_more_when_it_cannot_be_asked(tmp_path: Path) -> None:
    """Its own agent's link broke, another witness left, and a controller is no more."""
    alive = wire.Reply(id=0, data={"data": b"alive".hex(), "is_kernel": False})
    agents = Agents(Shelf(tmp_path / "kept.db"))
    said: list[WitnessSpoke] = []
    peers = [heard_by_controller()]

    async def ask_peers(_host: str) -> Sequence[WitnessSpoke]:
        return peers

    async def work() -> None:
        for host in ("h2", "h3", "h4"):
            linked(agents, host, alive)
        witnesses = Witnesses(FakeProber(Sign.NOTHING), agents, said.append, ask_peers)
        await witnesses.ask("h2")
        peers.clear()
        for host in ("h2", "h3"):
            agents.by_host[host].link = None
        said.clear()
        await witnesses.ask("h2")

    asyncio.run(work())
    withdrawn = {(one.kind, one.witness, one.plane) for one in said if one.sign is Sign.UNKNOWN}
    assert withdrawn == {
        (WitnessKind.AGENT, "h2", ""),
        (WitnessKind.AGENT, "name-h3", "a"),
        (WitnessKind.AGENT, "name-h3", "b"),
        (WitnessKind.CONTROLLER, "c2", ""),
    }
    assert [one.sign for one in said if one.witness == "name-h4"] == [Sign.PULSE, Sign.PULSE]
