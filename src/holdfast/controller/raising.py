"""An alarm that a controller raises of its own knowledge: open while it is so, and then cleared."""

import re
from collections.abc import Iterable

from msgspec import Struct

from holdfast.facts.alarms import Alarm, AlarmRecord, AlarmReport, AlarmState, Severity
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import Subject
from holdfast.facts.verdicts import Certainty
from holdfast.ports import clock
from holdfast.ports.vim import Vim


class Wanted(Struct, frozen=True, kw_only=True):
    """`text` says what is wrong; empty: nothing is, any more. `host` and `boot` are of the
    controller that says it. `is_followed`: another text is told as a change of the alarm, unless
    only its numbers are others."""

    key: str
    condition: str
    subject: Subject
    host: str
    boot: str
    text: str
    repair: str = ""
    is_followed: bool = False


async def set_alarms(vim: Vim, all_wanted: Iterable[Wanted], at: int) -> None:
    """Raise, change or clear each, unless the VIM has it so. Raises VimAway, VimRefused."""
    known = {record.alarm.key: record for record in await vim.alarms(include_cleared=True)}
    for wanted in all_wanted:
        await _set(vim, wanted, known.get(wanted.key), at)


async def _set(vim: Vim, wanted: Wanted, before: AlarmRecord | None, at: int) -> None:
    state = _next(before, wanted)
    if state is None:
        return
    row, is_over = BY_ID[wanted.condition], state is AlarmState.CLEARED
    alarm = Alarm(
        key=wanted.key,
        condition=wanted.condition,
        revision=before.alarm.revision + 1 if before else 1,
        state=state,
        subject=wanted.subject,
        host=wanted.host,
        boot=wanted.boot,
        certainty=Certainty.CERTAIN,
        severity=Severity.CLEARED if is_over else row.severity,
        text=wanted.text or f"over: {row.title.lower()}",
        fault_at=Instant(at),
        detected_at=Instant(at),
        repair=wanted.repair or row.repair,
    )
    utc_ms = clock.utc_ms()
    await vim.report(
        AlarmReport(alarm=alarm, fault_age_us=0, detected_age_us=0, sent_utc_ms=utc_ms)
    )


def _next(before: AlarmRecord | None, wanted: Wanted) -> AlarmState | None:
    """What is to be told, or nothing."""
    if before is None or before.alarm.state is AlarmState.CLEARED:
        return AlarmState.RAISED if wanted.text else None
    if not wanted.text:
        return AlarmState.CLEARED
    is_news = wanted.is_followed and _gist(before.alarm.text) != _gist(wanted.text)
    return AlarmState.CHANGED if is_news else None


def _gist(text: str) -> str:
    return re.sub(r"\d+", "", text)
