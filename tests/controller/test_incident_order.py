"""Of two words on one incident the later one counts, whatever the controllers' clocks say."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from msgspec import structs

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.controller.incident_order import Told, in_its_place
from holdfast.controller.shared_incidents import SharedIncident, newer
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import Incarnation
from tests.controller.test_entries import Desk

LIFE = Incarnation(vm="vm-1", boot="boot-1", pid=7, started_ticks=1)
OPEN = Incident(
    id="web-1-0001",
    vm="vm-1",
    name="web-1",
    life=LIFE,
    state=IncidentState.OPEN,
    title="web-1 is stuck",
    fault_at=Instant(5_000),
    detected_at=Instant(5_000),
)
CLOSED = structs.replace(OPEN, state=IncidentState.CLOSED, closed_at=Instant(9_000))
FIRST, NEXT = ("boot-1.x", 9), ("boot-2.y", 1)
HOUR = 3_600_000

CLOCKS = pytest.mark.parametrize("ahead_ms", [-HOUR, 0, HOUR])


def heard(incident: Incident, told: Told, utc_ms: int = 0) -> SharedIncident:
    return SharedIncident(host="h4", incident=incident, told=told, utc_ms=HOUR + utc_ms)


def kept(folder: Path, *words: SharedIncident) -> Incident:
    """What a controller keeps that hears of them in this order; also when it is started again."""

    async def work() -> Incident:
        async with Desk().at_work(folder) as entries:
            for word in words:
                entries.keep_incident(word.host, word.incident, word.told)
            [found] = entries.incidents()
        shelf = Shelf(folder / "kept.db")
        try:
            assert [one.state for one in _on_disk(shelf)] == [found.state]
        finally:
            shelf.close()
        return found

    return asyncio.run(work())


def _on_disk(shelf: Shelf) -> list[Incident]:
    raw = shelf.all("incident").values()
    return [msgspec.convert(msgspec.json.decode(one)["incident"], Incident) for one in raw]


def check(folder: Path, earlier: SharedIncident, later: SharedIncident) -> None:
    """In the store, and at a controller that hears of both in either order."""
    assert newer(earlier, later) == newer(later, earlier) == later
    for words in ((earlier, later), (later, earlier)):
        with TemporaryDirectory(dir=folder) as name:
            assert kept(Path(name), *words) == later.incident


@CLOCKS
def test_what_was_closed_stays_closed(tmp_path: Path, ahead_ms: int) -> None:
    """The host boots between both, and who heard the first has another time than we."""
    check(tmp_path, heard(OPEN, FIRST, ahead_ms), heard(CLOSED, NEXT))


@CLOCKS
def test_within_a_stream_the_numbers_count(tmp_path: Path, ahead_ms: int) -> None:
    check(tmp_path, heard(OPEN, ("boot-1.x", 9), ahead_ms), heard(CLOSED, ("boot-1.x", 10)))


@CLOCKS
def test_what_fails_anew_under_the_same_id_is_open(tmp_path: Path, ahead_ms: int) -> None:
    """Its agent lost its memory and its outbox while the VM lived on."""
    anew = structs.replace(OPEN, fault_at=Instant(20_000), detected_at=Instant(20_000))
    check(tmp_path, heard(CLOSED, FIRST, ahead_ms), heard(anew, ("boot-1.z", 1)))
    over = structs.replace(anew, state=IncidentState.CLOSED, closed_at=Instant(30_000))
    check(tmp_path, heard(anew, ("boot-1.z", 1), ahead_ms), heard(over, NEXT))
    check(tmp_path, heard(CLOSED, FIRST, ahead_ms), heard(over, NEXT))


@CLOCKS
def test_a_fault_that_was_found_a_second_time_is_over_with_the_first(
    tmp_path: Path, ahead_ms: int
) -> None:
    """An agent without memory dates it anew, before it is closed."""
    found_again = structs.replace(OPEN, fault_at=Instant(6_000))
    check(tmp_path, heard(found_again, ("boot-1.z", 1), ahead_ms), heard(CLOSED, NEXT))


@CLOCKS
def test_what_was_closed_for_a_host_that_left_is_closed(tmp_path: Path, ahead_ms: int) -> None:
    check(tmp_path, heard(OPEN, FIRST, ahead_ms), heard(CLOSED, in_its_place(FIRST)))


@CLOCKS
def test_a_host_that_joins_again_says_that_it_is_open_still(tmp_path: Path, ahead_ms: int) -> None:
    left = heard(CLOSED, in_its_place(FIRST), ahead_ms)
    for told in (("boot-1.x", 10), NEXT):
        check(tmp_path, left, heard(OPEN, told))
        check(tmp_path, heard(OPEN, told), heard(CLOSED, in_its_place(told)))


def test_what_is_said_again_is_no_news(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk()
        async with desk.at_work(tmp_path) as entries:
            for _ in range(2):
                entries.keep_incident("h4", OPEN, FIRST)
            entries.keep_incident("h4", CLOSED, NEXT)
            entries.keep_incident("h4", OPEN, FIRST)
        assert desk.said == [OPEN, CLOSED]

    asyncio.run(work())
