"""The controller judges itself by the limits that the agents' detectors have."""

import asyncio

from holdfast.adapters.simulated.vims import VimInMemory
from holdfast.controller.own_alarms import OwnAlarms, add_up
from holdfast.detectors import records_lost, reporting_slow
from holdfast.facts.instants import NS_PER_MS
from holdfast.ports.journal import Losses

NONE = Losses()


async def conditions(vim: VimInMemory) -> list[str]:
    return [record.alarm.condition for record in await vim.alarms()]


def test_slow_begins_where_the_detector_says() -> None:
    async def work() -> None:
        vim = VimInMemory()
        own = OwnAlarms(vim, "controller-1", "boot-1")
        slow = reporting_slow.LIMIT_MS + 1
        await own.look(slow, reporting_slow.FEWEST - 1, NONE, 0)
        await own.look(reporting_slow.LIMIT_MS, reporting_slow.FEWEST, NONE, 0)
        assert await conditions(vim) == []
        await own.look(slow, reporting_slow.FEWEST, NONE, 0)
        assert await conditions(vim) == ["reporting-slow"]

    asyncio.run(work())


def test_lost_records_are_over_when_the_detector_says() -> None:
    async def work() -> None:
        vim = VimInMemory()
        own = OwnAlarms(vim, "controller-1", "boot-1")
        lost = Losses(count=1, reason="full")
        await own.look(None, 0, lost, 0)
        await own.look(None, 0, lost, records_lost.QUIET_MS * NS_PER_MS - 1)
        assert await conditions(vim) == ["records-lost"]
        await own.look(None, 0, lost, records_lost.QUIET_MS * NS_PER_MS)
        assert await conditions(vim) == []

    asyncio.run(work())


def test_a_refused_notice_is_an_alarm_until_somebody_has_taken_it_away() -> None:
    async def work() -> None:
        vim = VimInMemory()
        own = OwnAlarms(vim, "controller-1", "boot-1")
        said = "webhook noc refused notices (the last: it answered 422)"
        for at in range(3):
            await own.look(None, 0, NONE, at, said)
        [record] = await vim.alarms()
        assert (record.alarm.condition, record.alarm.text) == ("notice-refused", said)
        assert record.alarm.revision == 1, "a webhook that refuses it too is not asked again"
        await own.look(None, 0, NONE, 3)
        assert await conditions(vim) == []

    asyncio.run(work())


def test_other_words_for_the_same_are_not_told_again() -> None:
    """A count that rises each second would be a message each second."""

    async def work() -> None:
        vim = VimInMemory()
        own = OwnAlarms(vim, "controller-1", "boot-1")
        for count in (1, 2, 3):
            await own.look(None, 0, Losses(count=count, reason="full"), count)
        [record] = await vim.alarms()
        assert (record.alarm.revision, "1 records" in record.alarm.text) == (1, True)

    asyncio.run(work())


def test_each_that_lost_anything_says_why() -> None:
    alarms, events = Losses(count=1, reason="damaged"), Losses(count=2, reason="the disk is full")
    lost = add_up({"alarms": lambda: alarms, "audit": lambda: NONE, "events": lambda: events})
    assert lost == Losses(count=3, reason="alarms: damaged; events: the disk is full")
