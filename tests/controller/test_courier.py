"""A courier tells everything, in order, once where it can, and delays nobody else."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.outboxes.disk import DiskOutbox
from holdfast.adapters.simulated.notifier import NotifierInMemory
from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.controller.courier import Courier
from holdfast.controller.patience import LEFT_TO_LEADER_MS, Patience
from holdfast.facts.alarms import AlarmRecord, record_of
from holdfast.facts.verdicts import Certainty
from holdfast.policy.timing import PAGE_AFTER_MS
from holdfast.ports import clock
from tests.controller.fake_agent import report, wait_for


def record(number: int) -> AlarmRecord:
    return record_of(report(number), 1_000)


def numbers(notifier: NotifierInMemory) -> list[int]:
    return [
        int(notice.record.alarm.text.rpartition(" ")[2])
        for notice in notifier.told
        if notice.record is not None
    ]


@contextlib.asynccontextmanager
async def carrying(
    folder: Path, notifier: NotifierInMemory, patience: Patience | None = None
) -> AsyncIterator[Courier]:
    outbox = DiskOutbox(folder / notifier.name, "boot")
    refused = folder / "refused.jsonl"
    courier = Courier(notifier, outbox, host="controller-1", parked=refused, patience=patience)
    work = asyncio.create_task(courier.run())
    try:
        yield courier
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await courier.close()


def test_everything_is_told_in_order_when_the_receiver_comes_back(tmp_path: Path) -> None:
    async def work() -> None:
        notifier = NotifierInMemory()
        notifier.is_away = True
        async with carrying(tmp_path, notifier) as courier:
            for number in range(50):
                courier.hand(record(number))
            await wait_for(lambda: courier.delivery().reason)
            assert not courier.delivery().is_well
            assert courier.delivery().backlog == 50
            notifier.is_away = False
            await wait_for(lambda: len(notifier.told) == 50)
        assert numbers(notifier) == list(range(50))
        assert [notice.sequence for notice in notifier.told] == list(range(1, 51))

    asyncio.run(work())


@pytest.mark.slow
def test_news_are_tried_at_once_however_long_the_receiver_was_away(tmp_path: Path) -> None:
    async def work() -> None:
        notifier = NotifierInMemory()
        notifier.is_away = True
        async with carrying(tmp_path, notifier) as courier:
            courier.hand(record(1))
            await asyncio.sleep(1.6)  # It was tried until 1.5 s, and would be again at 3.1 s.
            notifier.is_away = False
            courier.hand(record(2))
            async with asyncio.timeout(1.0):
                await wait_for(lambda: len(notifier.told) == 2)
        assert numbers(notifier) == [1, 2]

    asyncio.run(work())


def test_what_waited_is_told_after_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        notifier = NotifierInMemory()
        notifier.is_away = True
        async with carrying(tmp_path, notifier) as courier:
            for number in range(5):
                courier.hand(record(number))
        notifier.is_away = False
        async with carrying(tmp_path, notifier) as courier:
            assert len(courier.waiting()) == 5
            courier.hand(record(5))
            await wait_for(lambda: len(notifier.told) == 6)
        assert numbers(notifier) == list(range(6))
        assert len({(notice.stream, notice.sequence) for notice in notifier.told}) == 6

    asyncio.run(work())


def test_a_lost_answer_is_repeated_under_the_same_number(tmp_path: Path) -> None:
    async def work() -> None:
        notifier = NotifierInMemory()
        notifier.loses_answers = 2
        async with carrying(tmp_path, notifier) as courier:
            courier.hand(record(1))
            courier.hand(record(2))
            await wait_for(lambda: courier.delivery().backlog == 0)
        assert [notice.sequence for notice in notifier.told] == [1, 1, 1, 2]

    asyncio.run(work())


def test_what_is_refused_is_laid_aside_and_the_next_goes_on(tmp_path: Path) -> None:
    async def work() -> None:
        notifier = NotifierInMemory()
        notifier.refuses = {2}
        async with carrying(tmp_path, notifier) as courier:
            for number in range(1, 4):
                courier.hand(record(number))
            await wait_for(lambda: courier.delivery().backlog == 0)
            assert courier.delivery().parked == 1
            assert f"in {tmp_path / 'refused.jsonl'}" in courier.refused()
        assert numbers(notifier) == [1, 3]
        [line] = (tmp_path / "refused.jsonl").read_text().splitlines()
        assert json.loads(line)["notice"]["sequence"] == 2
        async with carrying(tmp_path, notifier) as courier:
            assert courier.refused(), "also after a restart, until a person has taken it away"
            (tmp_path / "refused.jsonl").unlink()
            assert courier.refused() == ""

    asyncio.run(work())


def test_the_heart_beats_when_there_is_nothing_to_tell(tmp_path: Path) -> None:
    async def work() -> None:
        notifier = NotifierInMemory(heartbeat_s=0.05)
        async with carrying(tmp_path, notifier) as courier:
            await wait_for(lambda: len(notifier.told) >= 3)
            courier.hand(record(1))
            await wait_for(lambda: numbers(notifier) == [1])
        sequences = [notice.sequence for notice in notifier.told]
        assert sequences == list(range(1, len(sequences) + 1)), "heartbeats are numbered, too"

    asyncio.run(work())


def test_heartbeats_do_not_pile_up_while_the_receiver_is_away(tmp_path: Path) -> None:
    async def work() -> None:
        notifier = NotifierInMemory(heartbeat_s=0.01)
        notifier.is_away = True
        async with carrying(tmp_path, notifier) as courier:
            await wait_for(lambda: not courier.delivery().is_well)
            await asyncio.sleep(0.2)
            assert courier.delivery().backlog == 1

    asyncio.run(work())


def test_a_gap_is_told_with_the_next_notice(tmp_path: Path) -> None:
    async def work() -> None:
        notifier = NotifierInMemory()
        notifier.is_away = True
        async with carrying(tmp_path, notifier) as courier:
            for number in range(1, 4):
                courier.hand(record(number))
        [file] = (tmp_path / "memory").glob("*.out")
        data = file.read_bytes()
        file.write_bytes(data[:-20])
        notifier.is_away = False
        async with carrying(tmp_path, notifier) as courier:
            courier.hand(record(4))
            await wait_for(lambda: courier.delivery().backlog == 0)
            assert courier.delivery().gaps == 1
        assert numbers(notifier) == [1, 2, 4]
        assert [notice.gap for notice in notifier.told] == [1, 0, 0]

    asyncio.run(work())


def test_an_entry_that_nobody_can_read_blocks_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        outbox = DiskOutbox(tmp_path / "memory", "boot")
        outbox.append(b'{"record": "of another version"}')
        outbox.close()
        notifier = NotifierInMemory()
        async with carrying(tmp_path, notifier) as courier:
            courier.hand(record(1))
            await wait_for(lambda: courier.delivery().backlog == 0)
        assert [notice.gap for notice in notifier.told] == [1]

    asyncio.run(work())


def test_a_slow_one_delays_no_other(tmp_path: Path) -> None:
    async def work() -> None:
        slow, quick = NotifierInMemory("slow"), NotifierInMemory("quick")
        slow.delay_s = 3_600
        async with carrying(tmp_path, slow) as one, carrying(tmp_path, quick) as other:
            for number in range(20):
                one.hand(record(number))
                other.hand(record(number))
            await wait_for(lambda: len(quick.told) == 20)
            assert slow.told == []

    asyncio.run(work())


def test_a_page_that_is_due_is_told_at_once_by_who_comes_to_lead(tmp_path: Path) -> None:
    async def work() -> None:
        notifier, leads = NotifierInMemory(), False
        shelf = ShelfInMemory()
        patience = Patience(notifier.name, shelf)
        patience.is_ours = lambda: leads
        alarm = structs.replace(record(1).alarm, certainty=Certainty.SUSPECTED)
        stood_ms = PAGE_AFTER_MS + 1_000
        held = structs.replace(record(1), alarm=alarm, raised_utc_ms=clock.utc_ms() - stood_ms)
        async with carrying(tmp_path, notifier, patience) as courier:
            courier.hand(held)
            await asyncio.sleep(0.1)
            assert numbers(notifier) == [], "it is left to the leader for a while"
            leads = True
            courier.wake()
            await wait_for(lambda: numbers(notifier) == [1], LEFT_TO_LEADER_MS / 2_000)

    asyncio.run(work())
