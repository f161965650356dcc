"""A disarm lasts as long as people said, whatever the clock of the controller says that took it."""

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.agent.questions import read_disarm
from holdfast.controller.registry import DISARM, Registry
from holdfast.facts.instants import NS_PER_S
from holdfast.facts.promises import Disarm
from holdfast.ports.clock import now
from holdfast.ports.store import Changed
from tests.agent.test_wall_clock import UTC_NS, Clocks, clock_of

HOUR_S = 3_600
UTC_MS = UTC_NS // 1_000_000
# Written by a controller whose clock is an hour slow: by all others it has ended before it began.
SLOW = Disarm(
    owner="ann",
    reason="a switch is replaced",
    since_utc_ms=UTC_MS - HOUR_S * 1_000,
    until_utc_ms=UTC_MS - (HOUR_S - 600) * 1_000,
)


@pytest.fixture
def clocks() -> Iterator[Clocks]:
    with clock_of(Clocks()) as clocks:
        yield clocks


def heard(registry: Registry, disarm: Disarm | None, revision: int = 5) -> None:
    value = msgspec.json.encode(disarm) if disarm is not None else None
    registry.take(Changed(key=DISARM, value=value, revision=revision))


def test_who_hears_it_being_made_measures_it_from_then(clocks: Clocks) -> None:
    registry = Registry(StoreInMemory(), lambda: None)
    heard(registry, SLOW)
    assert (registry.disarm(), registry.disarm_left_ms()) == (SLOW, 600_000)
    clocks.passes(599)
    clocks.is_set(-HOUR_S)
    assert (registry.disarm(), registry.disarm_left_ms()) == (SLOW, 1_000)
    clocks.passes(1)
    assert (registry.disarm(), registry.disarm_left_ms()) == (None, 0)


def test_who_comes_to_lead_later_reads_the_store_anew_and_knows_it_still(clocks: Clocks) -> None:
    async def work() -> None:
        store = StoreInMemory()
        term = await store.begin_term("h1", 60_000)
        first = Registry(store, lambda: term)
        await first.change(lambda: {DISARM: SLOW})
        assert first.disarm_left_ms() == 600_000, "also who made it"
        clocks.passes(60)
        await first.begin(term or 0)
        assert first.disarm_left_ms() == 540_000
        begun_anew = Registry(store, lambda: None)
        await begun_anew.load()
        assert begun_anew.disarm() is None, "it has only read its end"

    asyncio.run(work())


def test_the_next_one_is_measured_anew_and_an_end_is_an_end(clocks: Clocks) -> None:
    registry = Registry(StoreInMemory(), lambda: None)
    heard(registry, SLOW)
    clocks.passes(100)
    longer = msgspec.structs.replace(SLOW, until_utc_ms=SLOW.until_utc_ms + 60_000)
    heard(registry, longer, 6)
    assert registry.disarm_left_ms() == 660_000
    heard(registry, None, 7)
    assert (registry.disarm(), registry.disarm_left_ms()) == (None, 0)


def test_an_agent_is_told_how_long_it_lasts(clocks: Clocks) -> None:
    told = read_disarm({"disarm": SLOW, "left_ms": 540_000}, "ann", now())
    assert told.until == now() + 540 * NS_PER_S
    of_before = read_disarm({"disarm": SLOW}, "ann", now())
    assert of_before.until == now(), "a controller of an earlier version says only its end"
