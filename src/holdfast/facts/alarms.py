"""An alarm: X.733-shaped, alive, with an identity and an order.

Key = (incarnation of the subject, condition). Only the owner (the agent for its VMs) changes or
clears one, with rising revisions; receivers keep the highest, so a late message reopens nothing.
"""

from enum import StrEnum

from msgspec import Struct, structs

from holdfast.facts.instants import Instant
from holdfast.facts.subjects import Subject
from holdfast.facts.verdicts import Certainty


class Severity(StrEnum):
    """perceivedSeverity of X.733."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    WARNING = "warning"
    INDETERMINATE = "indeterminate"
    CLEARED = "cleared"


class EventType(StrEnum):
    """eventType of X.733."""

    COMMUNICATIONS = "communicationsAlarm"
    QUALITY = "qualityOfServiceAlarm"
    PROCESSING = "processingErrorAlarm"
    EQUIPMENT = "equipmentAlarm"
    ENVIRONMENTAL = "environmentalAlarm"


class AlarmState(StrEnum):
    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"


class Alarm(Struct, frozen=True, kw_only=True):
    """One revision of one alarm, as its owner states it.

    `root` is the key of the alarm that caused this one; empty for a root cause. Instants are
    those of host `host` in boot `boot`; what leaves the host carries ages (AlarmReport).
    """

    key: str
    condition: str
    revision: int
    state: AlarmState
    subject: Subject
    host: str
    boot: str
    certainty: Certainty
    severity: Severity
    text: str
    fault_at: Instant
    detected_at: Instant
    cause: str = ""
    root: str = ""
    incident: str = ""
    not_before: Instant | None = None
    repair: str = ""  # What is being done, or what a person should do.
    details: dict[str, str] = {}


class AlarmReport(Struct, frozen=True, kw_only=True):
    """An alarm on its way: with ages at sending, so that no two clocks are ever subtracted.

    Ages are microseconds before `sent`; `sent_utc_ms` is the sender's wall clock, for people.
    `is_estimated` says that the ages come from wall clocks since the host was booted in between,
    `is_repeat` that an agent before this one may have told it already.
    """

    alarm: Alarm
    fault_age_us: int
    detected_age_us: int
    sent_utc_ms: int
    is_estimated: bool = False
    is_repeat: bool = False


class AlarmRecord(Struct, frozen=True, kw_only=True):
    """An alarm as the VIM keeps it: the highest revision, every time in UTC, who acknowledged."""

    alarm: Alarm
    raised_utc_ms: int
    changed_utc_ms: int
    fault_utc_ms: int
    detected_utc_ms: int
    sent_utc_ms: int
    arrived_utc_ms: int
    cleared_utc_ms: int | None = None
    fault_to_arrival_ms: float | None = None
    acknowledged_by: str = ""
    acknowledged_utc_ms: int | None = None
    answered_utc_ms: int | None = None  # When the first receiver outside had answered for it.
    fault_to_answer_ms: float | None = None
    is_estimated: bool = False  # Times of the fault come from wall clocks across a boot.


def record_of(
    report: AlarmReport, arrived_utc_ms: int, before: AlarmRecord | None = None
) -> AlarmRecord:
    """The record of an alarm after this report. Times of the fault are by the sender's clock.

    `before` is the record of an earlier revision; a cleared alarm that comes back begins anew.
    """
    alarm = report.alarm
    is_cleared = alarm.state is AlarmState.CLEARED
    fault_utc_ms = report.sent_utc_ms - report.fault_age_us // 1_000
    if before is None or (before.alarm.state is AlarmState.CLEARED and not is_cleared):
        before = AlarmRecord(
            alarm=alarm,
            raised_utc_ms=arrived_utc_ms,
            changed_utc_ms=arrived_utc_ms,
            fault_utc_ms=fault_utc_ms,
            detected_utc_ms=report.sent_utc_ms - report.detected_age_us // 1_000,
            sent_utc_ms=report.sent_utc_ms,
            arrived_utc_ms=arrived_utc_ms,
            fault_to_arrival_ms=report.fault_age_us / 1_000,
            is_estimated=report.is_estimated,
        )
    return structs.replace(
        before,
        alarm=alarm,
        changed_utc_ms=arrived_utc_ms,
        fault_utc_ms=fault_utc_ms,
        sent_utc_ms=report.sent_utc_ms,
        arrived_utc_ms=arrived_utc_ms,
        cleared_utc_ms=arrived_utc_ms if is_cleared else None,
    )


def completed(record: AlarmRecord, other: AlarmRecord) -> AlarmRecord:
    """With what another one knows of the same revision: who acknowledged it, who answered it."""
    record = with_acknowledgement(record, other)
    if record.answered_utc_ms is not None or other.answered_utc_ms is None:
        return record
    return structs.replace(
        record,
        answered_utc_ms=other.answered_utc_ms,
        fault_to_answer_ms=other.fault_to_answer_ms,
    )


def with_acknowledgement(record: AlarmRecord, other: AlarmRecord) -> AlarmRecord:
    """With what a person said of the same or an earlier revision, unless it may have ended since:
    then it is another one, which nobody has seen yet."""
    if record.acknowledged_by or not other.acknowledged_by:
        return record
    now, then = record.alarm, other.alarm
    is_next = now.revision == then.revision + 1 and now.state is not AlarmState.RAISED
    is_later = is_next or record.raised_utc_ms == other.raised_utc_ms
    was_open = then.state is not AlarmState.CLEARED
    if now.revision != then.revision and not (was_open and is_later):
        return record
    return structs.replace(
        record,
        acknowledged_by=other.acknowledged_by,
        acknowledged_utc_ms=other.acknowledged_utc_ms,
    )


def alarm_key(incarnation: str, condition: str) -> str:
    return f"{incarnation}:{condition}"


def condition_of(key: str) -> str:
    return key.rpartition(":")[2]
