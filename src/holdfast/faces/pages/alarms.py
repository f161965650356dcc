"""Alarms as lists: what is open, one line for each that comes, and the catalogue of all types."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import GOOD, QUIET, STRONG, clock, counted, severity, table
from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.alarms import Alarm, AlarmRecord, AlarmState, condition_of
from holdfast.facts.catalogue import CATALOGUE
from holdfast.facts.hardware import is_part
from holdfast.facts.instants import spoken
from holdfast.facts.subjects import SubjectKind

OVER = "-"  # Instead of a number.
_OF_EACH_HOST = (SubjectKind.PROCESS, SubjectKind.HOLDFAST, SubjectKind.PORT)


def alarms_page(records: Sequence[AlarmRecord], now_ms: int) -> Iterator[Any]:
    """Numbers are those that `alarms ack` takes: open ones have them, and each the same in the
    list of all."""
    if not records:
        yield Text("No open alarms.", style=GOOD)
        return
    open_ones = [one for one in records if one.alarm.state is not AlarmState.CLEARED]
    numbers = {one.alarm.key: OVER for one in records}
    numbers |= {one.alarm.key: str(number) for number, one in enumerate(open_ones, start=1)}
    yield table(
        ("#", "SEVERITY", "SINCE", "SUBJECT", "ALARM", "WHAT"),
        [_row(numbers, record, now_ms) for record in records],
    )
    waiting = sum(1 for record in records if _is_unacknowledged(record))
    if waiting:
        yield ""
        yield f"{counted(waiting, 'alarm')} not acknowledged: holdfast alarms ack NUMBER"


def _is_unacknowledged(record: AlarmRecord) -> bool:
    return not record.acknowledged_by and record.alarm.state is not AlarmState.CLEARED


def _row(numbers: Mapping[str, str], record: AlarmRecord, now_ms: int) -> list[str | Text]:
    alarm = record.alarm
    is_cleared = alarm.state is AlarmState.CLEARED
    what = Text(alarm.text)
    if alarm.certainty != "certain":
        what.append(f" ({alarm.certainty})")
    for said in _beside(record, numbers, now_ms):
        what.append(f"\n{said}", style=QUIET)
    return [
        numbers[alarm.key],
        severity("cleared" if is_cleared else str(alarm.severity)),
        clock(record.fault_utc_ms, now_ms),
        _subject(alarm),
        alarm.condition,
        what,
    ]


def _subject(alarm: Alarm) -> str:
    """Every host has a libvirt, an agent, a bridge br0: whose is meant."""
    subject = alarm.subject
    is_of_each = subject.kind in _OF_EACH_HOST and subject.id == subject.name
    is_of_each |= is_part(subject)
    return f"{subject.name} on {alarm.host}" if is_of_each and alarm.host else subject.name


def _beside(record: AlarmRecord, numbers: Mapping[str, str], now_ms: int) -> Iterator[str]:
    alarm = record.alarm
    if record.fault_to_arrival_ms is not None:
        yield f"reported {spoken(record.fault_to_arrival_ms)} after the fault"
    if record.cleared_utc_ms:
        yield f"cleared {clock(record.cleared_utc_ms, now_ms)}"
    elif alarm.repair:
        yield alarm.repair
    if numbers.get(alarm.root) == OVER:
        yield f"caused by {condition_of(alarm.root)}, which is cleared"
    elif alarm.root in numbers:
        yield f"caused by alarm {numbers[alarm.root]}"
    elif alarm.root:
        yield f"caused by {condition_of(alarm.root)}, which is not among these"
    if record.acknowledged_by:
        when = clock(record.acknowledged_utc_ms, now_ms)
        yield f"acknowledged by {record.acknowledged_by}, {when}"


def alarm_line(record: AlarmRecord, now_ms: int) -> Text:
    """One line for an alarm that just came, changed or cleared."""
    alarm = record.alarm
    line = Text(f"{clock(record.changed_utc_ms, now_ms)}  ")
    line.append_text(severity("cleared" if alarm.state is AlarmState.CLEARED else alarm.severity))
    line.append(f"  {_subject(alarm)}", style=STRONG)
    line.append(f"  {alarm.text}")
    if alarm.certainty != "certain" and alarm.state is not AlarmState.CLEARED:
        line.append(f" ({alarm.certainty})")
    if alarm.state is AlarmState.RAISED and record.fault_to_arrival_ms is not None:
        line.append(f"  (reported in {spoken(record.fault_to_arrival_ms)})", style=QUIET)
    return line


def news_line(record: AlarmRecord, now_ms: int) -> Text:
    """Likewise; that somebody has seen it is told as just that, not as one that was raised."""
    is_open = record.alarm.state is not AlarmState.CLEARED
    seen_ms = record.acknowledged_utc_ms or 0
    if not (is_open and record.acknowledged_by and seen_ms >= record.changed_utc_ms):
        return alarm_line(record, now_ms)
    line = Text(f"{clock(seen_ms, now_ms)}  acknowledged by {record.acknowledged_by}", style=QUIET)
    return line.append(f"  {_subject(record.alarm)}  {record.alarm.text}")


def catalogue_page(rows: Iterable[AlarmType] = CATALOGUE) -> Iterator[Any]:
    for row in rows:
        title = Text(row.id, style=STRONG)
        title.append(f"  {row.title}  ", style="not bold")
        title.append_text(severity(row.severity))
        yield title
        when = "reported within a second" if row.pushed else f"found within {row.period_s} s"
        yield f"  means   {row.means} ({when})"
        yield f"  clears  {row.clears}"
        yield f"  do      {row.repair}"
        yield ""
