"""A controller misses whom it heard, or whose agent greeted it; others' word alone is not enough.

covers: H5 H7
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.controller.agents import Agents
from holdfast.controller.hearing import SHELF, Hearing, Known
from holdfast.controller.known_hosts import follow_hosts
from holdfast.controller.registry import Known as Recorded
from holdfast.controller.registry import Registry
from holdfast.controller.watch import Watch
from holdfast.controller.watching import begin
from holdfast.detectors.panel import Panel
from holdfast.facts.hearing import (
    EarBegan,
    HostExpected,
    PlaneHeard,
    PlaneSilent,
    Sign,
)
from holdfast.facts.instants import Instant
from holdfast.facts.settings import Settings
from holdfast.facts.wire import Hello
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_world import SiteWorld
from holdfast.ports.store import Held

_NO_STORE: Any = None  # Nobody asks it here.
KEY, PLANES = "00" * 32, ("a", "b")
HOST, NAME = "host-1", "alpha-1"


class Noted:
    """A detector that notes what it is shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def observe(self, seen: Any) -> tuple[()]:
        self.seen.append(seen)
        return ()

    def wake(self, _now: Instant) -> tuple[()]:
        return ()

    def deadline(self) -> None:
        return None


async def _nothing(*_: Any) -> None:
    return None


class Room:
    """A controller's hearing and watch, without an ear; `shelf` outlives it."""

    def __init__(self, shelf: Shelf, world: SiteWorld | None = None) -> None:
        self.shown, self.is_reliable = Noted(), True
        self.decider = SiteDecider(world)
        self.watch = Watch(
            decider=self.decider,
            journal=JournalInMemory(1, lambda: b"{}"),
            folder=Path(),
            controller="c1",
            boot="b",
            report=_nothing,
            keep=lambda _: None,
            ask=_nothing,
            term=lambda: None,
            is_reliable=lambda: self.is_reliable,
            panel=Panel({"noted": self.shown}),
        )
        self.hearing = Hearing(Settings(), self.watch.see, shelf=shelf, host_name="c1")
        self.registry = Registry(_NO_STORE, lambda: None)
        self.agents = Agents(shelf)
        self.agents.on_greeted = self.watch.greeted
        follow_hosts(self.registry, self.hearing, self.watch)
        begin(self.watch, self.agents, self.hearing)

    def store_says(self, name: str = NAME) -> None:
        record = Recorded(
            host=HOST,
            host_name=name,
            boot="boot-1",
            state_id="s",
            pulse_key=KEY,
            addresses=dict.fromkeys(PLANES, "127.0.0.1"),
        )
        held = Held(value=msgspec.json.encode(record), revision=1)
        self.registry.take_all({f"agents/{HOST}": held}, 1)

    def greeted(self) -> None:
        addresses = dict.fromkeys(PLANES, "127.0.0.1")
        hello = Hello(
            version=1,
            host=HOST,
            host_name=NAME,
            boot="boot-1",
            state_id="s",
            stream="x",
            pulse_key=KEY,
            addresses=addresses,
        )
        self.hearing.greeted(hello)
        self.watch.greeted(hello)

    def silence(self) -> None:
        for plane in PLANES:
            self.watch.see(
                PlaneSilent(
                    at=Instant(2),
                    host=HOST,
                    plane=plane,
                    boot="boot-1",
                    last_heard=Instant(1),
                    missed=20,
                )
            )

    def hear(self) -> None:
        self.watch.see(PlaneHeard(at=Instant(2), host=HOST, plane="a", boot="boot-1"))

    def names(self) -> list[str]:
        return [type(one).__name__ for one in self.shown.seen]


@pytest.fixture
def shelf() -> Shelf:
    return ShelfInMemory()


def run(work: Any) -> None:
    async def all_of_it() -> None:
        work()

    asyncio.run(all_of_it())


def test_a_host_that_only_the_store_names_is_shown_and_not_missed(shelf: Shelf) -> None:
    def work() -> None:
        room = Room(shelf)
        room.store_says()
        room.silence()
        assert room.names() == []
        assert room.watch.sign_of(HOST) is Sign.UNKNOWN, "it is no witness against it either"
        [row] = room.watch.host_rows()
        assert (row["host_name"], row["said"]) == (NAME, "has not been heard yet")

    run(work)


def test_a_controller_that_doubts_itself_is_no_witness(shelf: Shelf) -> None:
    def work() -> None:
        room = Room(shelf)
        room.greeted()
        room.hear()
        assert room.watch.sign_of(HOST) is Sign.PULSE
        room.is_reliable = False
        assert room.watch.sign_of(HOST) is Sign.UNKNOWN
        room.is_reliable = True
        room.watch.see(EarBegan(at=Instant(3)))
        assert room.watch.sign_of(HOST) is Sign.UNKNOWN, "this ear has not heard it yet"
        room.hear()
        assert room.watch.sign_of(HOST) is Sign.PULSE

    run(work)


def test_from_its_first_pulse_on_it_is_missed(shelf: Shelf) -> None:
    def work() -> None:
        room = Room(shelf)
        room.store_says()
        room.hear()
        room.silence()
        assert room.names() == ["HostExpected", "PlaneHeard", "PlaneSilent", "PlaneSilent"]
        assert (room.shown.seen[0].name, room.shown.seen[0].planes) == (NAME, PLANES)
        room.store_says("renamed")
        assert room.shown.seen[-1].name == "renamed"

    run(work)


def test_from_the_greeting_of_its_agent_on_it_is_missed(shelf: Shelf) -> None:
    def work() -> None:
        room = Room(shelf)
        room.store_says()
        room.greeted()
        assert room.names() == ["HostExpected", "LinkChanged"]

    run(work)


def test_the_next_controller_here_misses_it_if_its_agent_greeted(shelf: Shelf) -> None:
    def work() -> None:
        before = Room(shelf)
        before.greeted()
        room = Room(shelf, before.decider.world)
        assert room.names() == ["HostExpected"]
        assert (room.shown.seen[0].host, room.shown.seen[0].name) == (HOST, NAME)

    run(work)


def test_the_next_controller_here_does_not_miss_whom_only_the_store_named(shelf: Shelf) -> None:
    def work() -> None:
        Room(shelf).store_says()
        room = Room(shelf)
        room.silence()
        assert room.names() == []
        room.store_says()
        room.hear()
        assert room.names() == ["HostExpected", "PlaneHeard"]

    run(work)


@pytest.mark.parametrize(("sequence", "names"), [(7, ["HostExpected"]), (0, [])])
def test_who_was_heard_in_an_earlier_run_is_missed_in_this(
    shelf: Shelf, sequence: int, names: list[str]
) -> None:
    def work() -> None:
        known = Known(key=KEY, boots={"boot-1": sequence})
        shelf.put(SHELF, HOST, msgspec.json.encode(known))
        assert Room(shelf).names() == names

    run(work)


def test_one_that_left_and_is_heard_again_is_nobody_whom_we_know(shelf: Shelf) -> None:
    def work() -> None:
        room = Room(shelf)
        room.store_says()
        room.watch.forget(HOST)
        room.hear()
        assert not [one for one in room.shown.seen if isinstance(one, HostExpected)]

    run(work)
