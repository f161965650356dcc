"""The wall clock is for people: when it is set, no deadline moves and no age is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from holdfast.agent.kept import Scribe
from holdfast.agent.questions import read_disarm
from holdfast.facts import wire
from holdfast.facts.alarms import Alarm, AlarmReport, AlarmState, Severity
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.promises import Disarm
from holdfast.facts.subjects import vm_subject
from holdfast.facts.verdicts import Certainty
from holdfast.ports.clock import CLOCK, now

DAY_S = 86_400
UTC_NS = 1_764_000_000 * NS_PER_S
JUMPS_S = [-400 * DAY_S, -DAY_S, -1, 1, DAY_S, 400 * DAY_S]


@dataclass
class Clocks:
    mono_ns: int = 10 * NS_PER_S
    utc_now_ns: int = UTC_NS

    def monotonic_ns(self) -> int:
        return self.mono_ns

    def utc_ns(self) -> int:
        return self.utc_now_ns

    def passes(self, seconds: float) -> None:
        self.mono_ns += int(seconds * NS_PER_S)
        self.utc_now_ns += int(seconds * NS_PER_S)

    def is_set(self, by_s: float) -> None:
        self.utc_now_ns += int(by_s * NS_PER_S)


@pytest.fixture
def clocks() -> Iterator[Clocks]:
    with clock_of(Clocks()) as clocks:
        yield clocks


@contextmanager
def clock_of(clocks: Clocks) -> Iterator[Clocks]:
    token = CLOCK.set(clocks)
    try:
        yield clocks
    finally:
        CLOCK.reset(token)


def alarm_at(at: Instant) -> Alarm:
    return Alarm(
        key="vm-1/b/1.1:vm-gone",
        condition="vm-gone",
        revision=1,
        state=AlarmState.RAISED,
        subject=vm_subject("vm-1", "web-1"),
        host="h",
        boot="boot-1",
        certainty=Certainty.CERTAIN,
        severity=Severity.CRITICAL,
        text="web-1 is gone",
        fault_at=at,
        detected_at=at,
    )


def sent(scribe: Scribe, kept: object) -> AlarmReport:
    frame = wire.decode(scribe.frame("s", 1, kept, 0))  # type: ignore[arg-type]
    assert isinstance(frame, wire.Entry)
    assert frame.alarm is not None
    return frame.alarm


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_a_report_that_waited_has_its_true_age(clocks: Clocks, jump_s: float) -> None:
    scribe = Scribe("h", "boot-1")
    kept = scribe.kept(alarm=alarm_at(now()))
    clocks.passes(30)
    clocks.is_set(jump_s)
    report = sent(scribe, kept)
    assert report.fault_age_us == report.detected_age_us == 30_000_000
    assert not report.is_estimated


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_after_a_boot_the_age_is_estimated_and_never_negative(
    clocks: Clocks, jump_s: float
) -> None:
    kept = Scribe("h", "boot-1").kept(alarm=alarm_at(now()))
    clocks.passes(60)
    clocks.is_set(jump_s)
    report = sent(Scribe("h", "boot-2"), kept)
    assert report.is_estimated
    assert report.fault_age_us == max(0, 60 + jump_s) * 1_000_000


@pytest.mark.parametrize("jump_s", JUMPS_S)
def test_a_disarm_ends_when_it_was_to_end(clocks: Clocks, jump_s: float) -> None:
    told = read_disarm({"seconds": 600, "reason": "disk swap"}, "anna", now())
    assert told.until == now() + 600 * NS_PER_S, "an instant: what the wall clock does is all one"
    clocks.passes(100)
    clocks.is_set(jump_s)
    # Told again by a controller, it is read by the wall clock: too short at worst, never longer.
    again = read_disarm({"disarm": told.disarm}, "anna", now())
    assert now() <= again.until <= now() + 600 * NS_PER_S


def test_a_disarm_of_the_future_lasts_no_longer_than_it_is_long() -> None:
    disarm = Disarm(owner="a", reason="r", since_utc_ms=1_000_000, until_utc_ms=1_060_000)
    assert disarm.left_ms(0) == 60_000
    assert disarm.left_ms(1_030_000) == 30_000
    assert disarm.left_ms(2_000_000) == 0
    assert NS_PER_MS * disarm.left_ms(1_059_999) == NS_PER_MS
