"""Alarms are shared beside telling them: merged, adopted by the next leader, never waited for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from msgspec import structs

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.following import Following
from holdfast.controller.shared import (
    SAFE_LIMIT_S,
    Missing,
    SharedAlarm,
    SharedAlarms,
    merged,
)
from holdfast.facts.alarms import AlarmRecord, AlarmState, record_of
from holdfast.ports.store import Txn
from tests.controller.fake_agent import report, wait_for

LIMIT_S = 0.1


def record(number: int = 1, revision: int = 1, **fields: object) -> AlarmRecord:
    made = record_of(report(number, revision), arrived_utc_ms=1_000)
    return structs.replace(made, **fields)


@dataclass
class Replica:
    store: StoreInMemory
    name: str
    quick: tuple[str, ...] = ("oss",)
    absorbed: list[AlarmRecord] = field(default_factory=list)
    handed: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shared = SharedAlarms(
            self.store,
            absorb=self.absorbed.append,
            hand=self._hand,
            forget=self.forgotten.append,
            notifiers={"oss": LIMIT_S, "pager": LIMIT_S},
            quick=self.quick,
        )
        self.following = Following(self.store)
        folder = self.shared.folder
        self.following.add("alarms", folder.loaded, folder.changed)

    def _hand(self, found: Sequence[Missing]) -> None:
        self.handed += [(record.alarm.key, tuple(names)) for record, names in found]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        works = [
            asyncio.create_task(work()) for work in (self.following.run, self.shared.folder.run)
        ]
        try:
            yield self
        finally:
            for work in works:
                work.cancel()
            await asyncio.wait(works)


def test_what_one_told_the_others_know_and_tell_nobody() -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with Replica(store, "a").running() as a, Replica(store, "b").running() as b:
            told = record()
            a.shared.note(told)
            await wait_for(lambda: b.absorbed)
            assert b.absorbed[0] == told
            assert b.handed == []

    asyncio.run(work())


def test_the_next_leader_hands_on_what_no_notifier_is_known_to_have_got() -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with Replica(store, "a").running() as a:
            for number in (1, 2, 3):
                a.shared.note(record(number))
            for name in ("oss", "pager"):
                a.shared.answered(record(1), name)
            a.shared.answered(record(2), "oss")
            a.shared.answered(record(3, 7), "oss")  # Of a revision that is not this one.
            await wait_for(lambda: not a.shared.folder.waiting)
        async with Replica(store, "b").running() as b:
            await wait_for(lambda: len(b.absorbed) == 3)
            b.shared.adopt(2)
            keys = [record(number).alarm.key for number in (2, 3)]
            assert sorted(b.handed) == [(keys[0], ("pager",)), (keys[1], ("oss", "pager"))]

    asyncio.run(work())


def test_the_leader_hands_on_what_another_one_does_not_tell_in_time() -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with Replica(store, "a").running() as a, Replica(store, "b").running() as b:
            assert b.shared.adopt(2), "this term has only begun"
            assert not b.shared.adopt(2)
            late, fresh = record(1), record(2)
            a.shared.note(late, told=("oss",))
            await wait_for(lambda: len(b.absorbed) == 1)
            b.shared.adopt(2)
            assert b.handed == [], "it is left to the one who was told"
            await asyncio.sleep(2 * LIMIT_S)
            a.shared.note(fresh)
            await wait_for(lambda: len(b.absorbed) == 2)
            for _ in range(3):
                b.shared.adopt(2)
            assert b.handed == [(late.alarm.key, ("pager",))], "once, and not what is fresh"
            b.shared.adopt(3)
            assert len(b.handed) == 3

    asyncio.run(work())


async def adopt_late(replica: Replica) -> None:
    """As it looks each second, until what waits is late."""
    replica.shared.adopt(2)
    await asyncio.sleep(2 * LIMIT_S)
    replica.shared.adopt(2)


def test_an_end_is_handed_on_again_when_it_becomes_known_who_had_heard_before() -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with Replica(store, "a").running() as a, Replica(store, "b").running() as b:
            b.shared.adopt(2)
            over = record(1, 2)
            a.shared.note(over, told=("oss",))
            await wait_for(lambda: len(b.absorbed) == 1)
            await adopt_late(b)
            a.shared.folder.put(over.alarm.key, SharedAlarm(record=over, heard=("pager",)))
            await wait_for(lambda: len(b.absorbed) == 2)
            await adopt_late(b)
            assert b.handed == [(over.alarm.key, ("pager",))] * 2

    asyncio.run(work())


@pytest.mark.slow
def test_a_store_that_is_away_delays_nothing_and_gets_it_later() -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with Replica(store, "a").running() as a:
            await wait_for(lambda: a.following.is_live)
            store.go_away()
            a.shared.note(record())
            a.shared.answered(record(), "oss")
            async with asyncio.timeout(0.1):
                await a.shared.wait_safe(record().alarm)
            loop = asyncio.get_running_loop()
            began = loop.time()
            a.shared.note(record(2))
            await a.shared.wait_safe(record(2).alarm)
            assert SAFE_LIMIT_S <= loop.time() - began < SAFE_LIMIT_S + 1
            store.come_back()
            await wait_for(lambda: not a.shared.folder.waiting)
            assert len(await store.list("alarms/")) == 2

    asyncio.run(work())


def test_without_a_quick_notifier_it_is_safe_once_the_store_has_it() -> None:
    async def work() -> None:
        async with Replica(StoreInMemory(), "a", quick=()).running() as a:
            a.shared.note(record())
            async with asyncio.timeout(SAFE_LIMIT_S / 2):
                await a.shared.wait_safe(record().alarm)

    asyncio.run(work())


def test_two_that_write_at_once_lose_nothing() -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with Replica(store, "a").running() as a, Replica(store, "b").running() as b:
            for number in range(20):
                a.shared.note(record(number))
                b.shared.note(record(number, 2 if number % 2 else 1))
                a.shared.answered(record(number), "oss")
                b.shared.answered(record(number, 2 if number % 2 else 1), "pager")
            await wait_for(lambda: not a.shared.folder.waiting + b.shared.folder.waiting)
            await wait_for(lambda: a.shared.folder.all() == b.shared.folder.all())
            for number in range(20):
                found = a.shared.folder.all()[record(number).alarm.key]
                assert found.record.alarm.revision == (2 if number % 2 else 1)
                told = {"pager"} if number % 2 else {"oss", "pager"}
                assert set(found.told) == told

    asyncio.run(work())


def test_a_lost_answer_of_the_store_writes_nothing_twice() -> None:
    async def work() -> None:
        for committed in (True, False):
            store = StoreInMemory()
            async with Replica(store, "a").running() as a:
                await wait_for(lambda a=a: a.following.is_live)  # type: ignore[misc]
                store.lose_next_answer(committed=committed)
                a.shared.note(record())
                await wait_for(lambda a=a: not a.shared.folder.waiting)  # type: ignore[misc]
                assert len(await store.list("alarms/")) == 1

    asyncio.run(work())


class LateAnswers(StoreInMemory):
    """`before_answer` happens between a commit and our answer to it."""

    before_answer: Callable[[], Awaitable[None]] | None = None

    async def txn(
        self,
        *,
        holds: Mapping[str, int],
        puts: Mapping[str, bytes | None],
        term: int | None = None,
    ) -> Txn:
        done = await super().txn(holds=holds, puts=puts, term=term)
        before, self.before_answer = self.before_answer, None
        if before is not None:
            await before()
        return done


def test_what_another_wrote_before_our_answer_came_is_not_forgotten() -> None:
    async def work() -> None:
        store = LateAnswers()
        async with Replica(store, "a").running() as a, Replica(store, "b").running() as b:
            await wait_for(lambda: a.following.is_live and b.following.is_live)
            key, both = record().alarm.key, asyncio.Event()

            async def b_writes() -> None:
                await wait_for(lambda: b.absorbed)
                b.shared.answered(record(), "pager")
                await wait_for(lambda: "pager" in a.shared.folder.all()[key].told)
                both.set()

            store.before_answer = b_writes
            a.shared.note(record())
            await wait_for(both.is_set)
            await wait_for(lambda: not a.shared.folder.waiting + b.shared.folder.waiting)
            assert a.shared.folder.all() == b.shared.folder.all()
            assert a.shared.folder.revision(key) == b.shared.folder.revision(key)
            assert a.shared.folder.all()[key].told == ("pager",)

    asyncio.run(work())


@pytest.mark.slow
def test_what_was_deleted_is_forgotten_also_when_the_watch_was_lost() -> None:
    async def work() -> None:
        store = StoreInMemory()
        term = await store.begin_term("a", 60_000)
        assert term is not None
        async with Replica(store, "a").running() as a, Replica(store, "b").running() as b:
            for number in (1, 2):
                a.shared.note(record(number))
            await wait_for(lambda: len(b.absorbed) == 2)
            await wait_for(lambda: not a.shared.folder.waiting)
            await a.shared.folder.delete([record(1).alarm.key], term)
            await wait_for(lambda: b.forgotten == [record(1).alarm.key])
            await store.lose_watches()
            await store.txn(holds={}, puts={f"alarms/{record(2).alarm.key}": None})
            await wait_for(lambda: len(b.forgotten) == 2)

    asyncio.run(work())


def test_of_one_revision_all_that_either_knows_is_kept() -> None:
    mine = SharedAlarm(record=record(acknowledged_by="anna", acknowledged_utc_ms=5), told=("oss",))
    theirs = SharedAlarm(record=record(answered_utc_ms=7), told=("pager",))
    for one, other in ((mine, theirs), (theirs, mine)):
        both = merged(one, other)
        assert set(both.told) == {"oss", "pager"}
        assert (both.record.acknowledged_by, both.record.answered_utc_ms) == ("anna", 7)
    newer = SharedAlarm(record=record(1, 2))
    seen = record(1, 2, acknowledged_by="anna", acknowledged_utc_ms=5)
    seen = structs.replace(seen, alarm=newer.record.alarm)
    whole = SharedAlarm(record=seen, heard=("oss",))
    assert merged(mine, newer) == merged(newer, mine) == whole


def test_who_acknowledged_an_earlier_revision_is_known_of_the_later_one() -> None:
    mine = SharedAlarm(record=record(acknowledged_by="anna", acknowledged_utc_ms=5))
    later = record(1, 2)
    later = structs.replace(
        later, alarm=structs.replace(later.alarm, state=AlarmState.CHANGED), raised_utc_ms=3
    )
    whole = merged(SharedAlarm(record=later), mine)
    assert (whole.record.alarm.revision, whole.record.acknowledged_by) == (2, "anna")
    anew = SharedAlarm(record=structs.replace(record(1, 3), raised_utc_ms=9_000))
    assert merged(anew, mine) == anew


def cleared(revision: int) -> AlarmRecord:
    made = record(1, revision)
    return structs.replace(made, alarm=structs.replace(made.alarm, state=AlarmState.CLEARED))


def test_who_has_heard_of_an_alarm_is_known_until_it_is_over() -> None:
    async def work() -> None:
        a = Replica(StoreInMemory(), "a")
        a.shared.note(record(1, 1), ("pager",))
        a.shared.note(record(1, 2))
        assert a.shared.was_told(record(1, 3), "pager")
        assert not a.shared.was_told(record(1, 3), "oss")
        a.shared.note(cleared(3))
        assert a.shared.was_told(cleared(3), "pager"), "so it must hear of the end"
        assert not a.shared.was_told(record(1, 4), "pager"), "that one is new"
        a.shared.answered(cleared(3), "oss")
        a.shared.note(record(1, 4))
        for name in ("oss", "pager"):
            assert not a.shared.was_told(record(1, 4), name)

    asyncio.run(work())


def test_only_what_was_cleared_long_ago_is_outlived() -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with Replica(store, "a").running() as a:
            old = record(1, 2)
            alarm = structs.replace(old.alarm, state=AlarmState.CLEARED)
            a.shared.note(structs.replace(old, alarm=alarm))
            a.shared.note(record(2))
            await wait_for(lambda: not a.shared.folder.waiting)
            assert a.shared.outlived() == [old.alarm.key]

    asyncio.run(work())
