"""What every notifier keeps: the contract that the real ones and the fake are tested by."""

import asyncio
import time

import pytest

from holdfast.facts.alarms import record_of
from holdfast.ports.notifier import Notice, Notifier, NotifyFailed, NotifyRefused
from tests.adapters.contract_vim import told

LIMIT_S = 20.0


def notice(sequence: int = 1, gap: int = 0) -> Notice:
    return Notice(
        stream="boot.1a2b",
        sequence=sequence,
        host="controller-1",
        record=record_of(told(sequence), time.time_ns() // 1_000_000),
        gap=gap,
    )


def heartbeat(sequence: int = 1) -> Notice:
    return Notice(stream="boot.1a2b", sequence=sequence, host="controller-1")


class NotifierContract:
    """How to make a notifier, what it was told (sequences), and how to make its receiver fail."""

    def make(self) -> Notifier:
        raise NotImplementedError

    def told(self) -> list[int]:
        raise NotImplementedError

    def fail(self, how: str) -> None:
        """`away`, `refuse`, or `` for well again."""
        raise NotImplementedError

    def run(self, *notices: Notice) -> None:
        async def whole() -> None:
            notifier = self.make()
            try:
                async with asyncio.timeout(LIMIT_S):
                    for one in notices:
                        await notifier.notify(one)
            finally:
                await notifier.close()

        asyncio.run(whole())

    def test_what_was_told_has_arrived_in_order(self) -> None:
        self.run(*(notice(number) for number in range(1, 6)), heartbeat(6))
        assert self.told() == [1, 2, 3, 4, 5, 6]

    def test_what_did_not_arrive_is_told_again(self) -> None:
        self.fail("away")
        with pytest.raises(NotifyFailed) as failure:
            self.run(notice(1))
        assert not isinstance(failure.value, NotifyRefused)
        assert str(failure.value)
        self.fail("")
        self.run(notice(1))
        assert self.told() == [1]

    def test_what_is_refused_says_so(self) -> None:
        self.fail("refuse")
        with pytest.raises(NotifyRefused):
            self.run(notice(1))

    def test_it_has_a_name_and_says_whether_its_heart_beats(self) -> None:
        notifier = self.make()
        assert notifier.name
        assert notifier.heartbeat_s >= 0
