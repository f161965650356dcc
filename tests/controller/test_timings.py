"""From the fault to the answer: of what was seen as it happened, and told for the first time."""

import pytest
from msgspec import structs

from holdfast.controller.timings import Timings
from holdfast.facts.alarms import AlarmReport
from holdfast.facts.instants import NS_PER_MS, Instant
from tests.controller.fake_agent import report


def timed(told: AlarmReport) -> float | None:
    """Received at 0, and answered outside 5 ms later."""
    timings = Timings(is_answered_outside=True)
    timings.received(told, 0)
    timings.answered(told.alarm.key, told.alarm.revision, 5 * NS_PER_MS)
    return timings.p99_ms()


def test_it_is_the_age_at_sending_and_the_time_since() -> None:
    assert timed(structs.replace(report(), fault_age_us=2_000)) == 7.0


def test_what_is_waited_for_on_purpose_is_no_slow_report() -> None:
    told = report()
    told = structs.replace(told, fault_age_us=5_000_000, detected_age_us=1_000)
    away = structs.replace(told.alarm, condition="pulse-away")
    assert timed(structs.replace(told, alarm=away)) == 6.0
    assert timed(told) == 5_005.0, "of others it is the fault that counts"


@pytest.mark.parametrize("how", ["is_estimated", "is_repeat"])
def test_what_was_told_late_for_another_reason_does_not_count(how: str) -> None:
    assert timed(structs.replace(report(), **{how: True})) is None


def test_what_was_found_later_does_not_count() -> None:
    told = report()
    found = structs.replace(told.alarm, not_before=Instant(1))
    assert timed(structs.replace(told, alarm=found)) is None
