"""An entry is answered when what it tells is safe, and not before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.simulated.vims import VimInMemory
from holdfast.controller.agents import Agents, Link
from holdfast.controller.entries import Entries
from holdfast.controller.timings import Timings
from holdfast.facts import wire
from holdfast.facts.alarms import AlarmState
from holdfast.facts.incidents import Incident
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.policy import tenures
from holdfast.ports.store import StoreAway
from tests.controller.fake_agent import report, wait_for

HELLO = wire.Hello(
    version=1, host="host-a", host_name="a", boot="boot-1", state_id="s", stream="boot-1.x"
)
TENURE = Tenure(
    vm="vm-1",
    generation=1,
    host="host-a",
    boot="boot-1",
    state=TenureState.HELD,
    wanted=Wanted.STOPPED,
)


@dataclass
class Desk:
    """Entries with nothing but fakes around it."""

    vim: VimInMemory = field(default_factory=VimInMemory)
    answered: list[int] = field(default_factory=list)
    tenures: list[Tenure] = field(default_factory=list)
    said: list[Incident] = field(default_factory=list)
    is_store_away: bool = False
    anothers: str = ""  # A VM that is another host's.

    async def take_tenure(self, tenure: Tenure) -> None:
        if self.is_store_away:
            raise StoreAway("away")
        self.tenures.append(tenure)

    async def send(self, frame: wire.Frame) -> None:
        assert isinstance(frame, wire.EntryAnswered)
        self.answered.append(frame.sequence)

    @contextlib.asynccontextmanager
    async def at_work(self, folder: Path) -> AsyncIterator[Entries]:
        shelf = Shelf(folder / "kept.db")
        agents = Agents(shelf)
        agents.greeted(HELLO, Link(self.send))
        timings = Timings(is_answered_outside=False)
        entries = Entries(
            self.vim,
            agents,
            shelf,
            timings,
            self.take_tenure,
            self.said.append,
            is_anothers=lambda vm, _host: vm == self.anothers,
        )
        try:
            yield entries
        finally:
            await entries.close()
            await asyncio.to_thread(shelf.close)


@dataclass
class DeskWithDefect(Desk):
    """The first tenure meets a defect. `held` is what the store makes of them."""

    held: Tenure = TENURE
    is_sound: bool = False

    async def take_tenure(self, tenure: Tenure) -> None:
        if not self.is_sound:
            self.is_sound = True
            raise ZeroDivisionError
        await super().take_tenure(tenure)
        self.held = tenures.told(self.held, tenure)


def entry(sequence: int, *, tenure: Tenure | None = None) -> wire.Entry:
    alarm = None if tenure else report(sequence)
    return wire.Entry(
        host="host-a", stream="boot-1.x", sequence=sequence, alarm=alarm, tenure=tenure
    )


@pytest.mark.slow
def test_an_alarm_is_not_answered_before_the_vim_has_it(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk()
        desk.vim.is_away = True
        async with desk.at_work(tmp_path) as entries:
            entries.take(entry(1))
            await asyncio.sleep(0.2)
            assert desk.answered == []
            desk.vim.is_away = False
            await wait_for(lambda: desk.answered == [1])
            assert len(await desk.vim.alarms()) == 1

    asyncio.run(work())


def test_what_was_not_answered_before_a_kill_is_taken_again(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk()
        desk.is_store_away = True
        async with desk.at_work(tmp_path) as entries:
            entries.take(entry(1))
            entries.take(entry(2, tenure=TENURE))
            entries.take(entry(3))
            await wait_for(lambda: sorted(desk.answered) == [1, 3])
        desk.is_store_away = False
        desk.answered.clear()
        async with desk.at_work(tmp_path) as entries:
            entries.take(entry(2, tenure=TENURE))
            entries.take(entry(3))
            await wait_for(lambda: sorted(desk.answered) == [2, 3])
            assert desk.tenures == [TENURE], "a later entry that was done hides no earlier one"
            assert entries.gaps == 0

    asyncio.run(work())


@pytest.mark.slow
def test_a_tenure_waits_for_the_store_and_delays_no_alarm(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk()
        desk.is_store_away = True
        async with desk.at_work(tmp_path) as entries:
            entries.take(entry(1, tenure=TENURE))
            entries.take(entry(2))
            await wait_for(lambda: desk.answered == [2])
            desk.is_store_away = False
            await wait_for(lambda: desk.answered == [2, 1])

    asyncio.run(work())


@pytest.mark.slow
def test_a_tenure_that_a_retry_brings_late_does_not_undo_a_newer_one(tmp_path: Path) -> None:
    older = structs.replace(TENURE, wanted=Wanted.RUNNING, revision=1)
    newer = structs.replace(TENURE, revision=2)

    async def work() -> None:
        desk = DeskWithDefect()
        async with desk.at_work(tmp_path) as entries:
            entries.take(entry(1, tenure=older))
            entries.take(entry(2, tenure=newer))
            await wait_for(lambda: desk.answered == [2, 1], 15.0)
            assert entries.defects == 1
            assert desk.tenures == [newer, older], "they were swapped"
            assert desk.held == newer

    asyncio.run(work())


def test_what_the_vim_refuses_is_answered_and_counted(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk()
        desk.vim.refuses = "vm-gone"
        async with desk.at_work(tmp_path) as entries:
            entries.take(entry(1))
            await wait_for(lambda: desk.answered == [1])
            assert entries.refused == 1

    asyncio.run(work())


@pytest.mark.parametrize(
    ("boot", "anothers", "is_told"),
    [
        ("boot-0", "vm-1", False),
        ("boot-0", "vm-2", True),  # Nobody else runs it.
        ("boot-1", "vm-1", True),  # It may have moved here a moment ago.
    ],
)
def test_a_vm_that_lives_elsewhere_is_not_told_as_gone_by_its_host_of_before(
    tmp_path: Path, boot: str, anothers: str, is_told: bool
) -> None:
    async def work() -> None:
        desk = Desk(anothers=anothers)
        async with desk.at_work(tmp_path) as entries:
            told = report(1)
            gone = structs.replace(told.alarm, key=f"vm-1/{boot}/7.1:vm-gone")
            entries.take(structs.replace(entry(1), alarm=structs.replace(told, alarm=gone)))
            await wait_for(lambda: desk.answered == [1])
            assert [one.alarm.key for one in await desk.vim.alarms()] == [gone.key] * is_told

    asyncio.run(work())


def test_that_it_is_over_is_told_whoever_has_the_vm_now(tmp_path: Path) -> None:
    async def work() -> None:
        desk = Desk()
        async with desk.at_work(tmp_path) as entries:

            async def tell(number: int, state: AlarmState) -> int:
                told = report(1, revision=number, state=state)
                gone = structs.replace(told.alarm, key="vm-1/boot-0/7.1:vm-gone")
                entries.take(
                    structs.replace(entry(number), alarm=structs.replace(told, alarm=gone))
                )
                await wait_for(lambda: number in desk.answered)
                return len(await desk.vim.alarms())

            assert await tell(1, AlarmState.RAISED) == 1
            desk.anothers = "vm-1"
            assert await tell(2, AlarmState.CLEARED) == 0

    asyncio.run(work())
