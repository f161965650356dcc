"""A program that wakes people hears of a suspicion when it has stood, or became certain.

covers: H5 H7
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.controller.patience import LEFT_TO_LEADER_MS, Patience
from holdfast.facts.alarms import AlarmRecord, AlarmState, record_of
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.verdicts import Certainty
from holdfast.policy.timing import PAGE_AFTER_MS
from holdfast.ports.clock import CLOCK
from tests.controller.fake_agent import report


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def monotonic_ns(self) -> int:
        return self.ms * NS_PER_MS

    def utc_ns(self) -> int:
        return self.ms * NS_PER_MS


@pytest.fixture
def hands() -> Iterator[Hands]:
    one = Hands()
    before = CLOCK.set(one)
    yield one
    CLOCK.reset(before)


def shelf(folder: Path) -> Shelf:
    return Shelf(folder / "kept.db")


def record(
    hands: Hands,
    certainty: Certainty = Certainty.SUSPECTED,
    state: AlarmState = AlarmState.RAISED,
    revision: int = 1,
) -> AlarmRecord:
    made = record_of(report(1, revision, state), hands.ms)
    return structs.replace(made, alarm=structs.replace(made.alarm, certainty=certainty))


def test_what_is_certain_is_told_at_once(tmp_path: Path, hands: Hands) -> None:
    patience = Patience("mail", shelf(tmp_path))
    assert not patience.keeps(record(hands, Certainty.CERTAIN))
    assert not patience.keeps(record(hands, Certainty.CERTAIN, AlarmState.CLEARED, 2))


def test_a_suspicion_that_is_taken_back_is_never_told(tmp_path: Path, hands: Hands) -> None:
    patience = Patience("mail", shelf(tmp_path))
    assert patience.keeps(record(hands))
    hands.ms += PAGE_AFTER_MS - 1
    assert patience.take_due() == []
    assert patience.keeps(record(hands, state=AlarmState.CLEARED, revision=2))
    hands.ms += PAGE_AFTER_MS
    assert patience.take_due() == []
    assert patience.wait_s() is None


def test_a_suspicion_that_stands_is_told_as_it_is_by_then(tmp_path: Path, hands: Hands) -> None:
    patience = Patience("mail", shelf(tmp_path))
    assert patience.keeps(record(hands))
    hands.ms += 20_000
    assert patience.keeps(record(hands, state=AlarmState.CHANGED, revision=2))
    hands.ms += PAGE_AFTER_MS - 20_000
    assert [one.alarm.revision for one in patience.take_due()] == [2]
    assert not patience.keeps(record(hands, state=AlarmState.CLEARED, revision=3))


def test_a_suspicion_that_becomes_certain_is_told_at_once(tmp_path: Path, hands: Hands) -> None:
    patience = Patience("mail", shelf(tmp_path))
    assert patience.keeps(record(hands))
    assert not patience.keeps(record(hands, Certainty.CERTAIN, AlarmState.CHANGED, 2))
    hands.ms += PAGE_AFTER_MS
    assert patience.take_due() == [], "once is enough"


def test_a_restart_forgets_neither_what_is_held_nor_what_was_told(
    tmp_path: Path, hands: Hands
) -> None:
    kept = shelf(tmp_path)
    first = Patience("mail", kept)
    held = record(hands)
    assert first.keeps(held)
    hands.ms += 25_000
    kept.close()
    kept = shelf(tmp_path)
    second = Patience("mail", kept)
    second.restore([held])
    assert second.wait_s() == pytest.approx(5.0)
    hands.ms += 5_000
    assert second.take_due() == [held]
    kept.close()
    third = Patience("mail", shelf(tmp_path))
    third.restore([held])
    assert third.wait_s() is None
    assert not third.keeps(record(hands, state=AlarmState.CLEARED, revision=2))


def other(tmp_path: Path, told: list[str], *, leads: bool = False) -> Patience:
    """Of one controller among several; `told` are the keys that another has told."""
    patience = Patience("mail", shelf(tmp_path))
    patience.is_ours = lambda: leads
    patience.told_elsewhere = lambda record: record.alarm.key in told
    return patience


def test_what_another_one_took_back_is_never_told(tmp_path: Path, hands: Hands) -> None:
    patience = other(tmp_path, [])
    assert patience.keeps(record(hands))
    hands.ms += 20_000
    over = record(hands, state=AlarmState.CLEARED, revision=2)
    assert not patience.absorb(over, is_end_told=False)
    hands.ms += PAGE_AFTER_MS + LEFT_TO_LEADER_MS
    assert patience.take_due() == []


def test_the_leader_tells_what_others_reported(tmp_path: Path, hands: Hands) -> None:
    patience = other(tmp_path, [], leads=True)
    suspected = record(hands)
    assert not patience.absorb(suspected, is_end_told=False)
    hands.ms += PAGE_AFTER_MS
    assert patience.take_due() == [suspected]


def test_the_others_leave_it_to_the_leader_and_tell_what_that_one_did_not(
    tmp_path: Path, hands: Hands
) -> None:
    told: list[str] = []
    patience = other(tmp_path, told)
    suspected = record(hands)
    assert patience.keeps(suspected)
    hands.ms += PAGE_AFTER_MS
    assert patience.take_due() == []
    assert patience.wait_s() == pytest.approx(LEFT_TO_LEADER_MS / 1_000)
    hands.ms += LEFT_TO_LEADER_MS
    told.append(suspected.alarm.key)
    assert patience.take_due() == [], "the leader did"
    told.clear()
    patience.restore([suspected])
    hands.ms += LEFT_TO_LEADER_MS
    assert patience.take_due() == [suspected], "nobody did"


def test_what_another_one_told_is_taken_back_here(tmp_path: Path, hands: Hands) -> None:
    suspected = record(hands)
    patience = other(tmp_path, [suspected.alarm.key], leads=True)
    assert not patience.keeps(record(hands, state=AlarmState.CLEARED, revision=2))


def test_who_told_it_says_that_it_is_over_when_whoever_ended_it_did_not_know(
    tmp_path: Path, hands: Hands
) -> None:
    patience = other(tmp_path, [], leads=True)
    over = record(hands, state=AlarmState.CLEARED, revision=2)
    for is_end_told in (True, False):
        assert patience.keeps(record(hands))
        hands.ms += PAGE_AFTER_MS
        assert len(patience.take_due()) == 1
        assert patience.absorb(over, is_end_told=is_end_told) is not is_end_told
        assert not patience.absorb(over, is_end_told=False), "once is enough"
