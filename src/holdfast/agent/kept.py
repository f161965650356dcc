"""What waits in the outbox, and how it is sent: with ages that are counted anew each time."""

import msgspec
from msgspec import Struct

from holdfast.facts import wire
from holdfast.facts.alarms import Alarm, AlarmReport, AlarmState
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import Instant
from holdfast.facts.tenure import Tenure
from holdfast.ports.clock import now, utc_ms

US = 1_000


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One outbox entry as it is stored. Ages are as of writing; `boot` says whose clock."""

    boot: str
    written_at: Instant
    written_utc_ms: int
    alarm: Alarm | None = None
    is_repeat: bool = False
    tenure: Tenure | None = None
    tenure_reason: str = ""
    incident: Incident | None = None

    @property
    def timed_from(self) -> Instant | None:
        """When the fault was, if it was seen as it happened, and is told for the first time."""
        alarm = self.alarm
        if (
            self.is_repeat
            or alarm is None
            or alarm.state is not AlarmState.RAISED
            or alarm.not_before is not None
        ):
            return None
        return alarm.fault_at


class Scribe:
    """Writes entries in this boot of this host, and turns them into frames."""

    def __init__(self, host: str, boot: str) -> None:
        self._host, self._boot = host, boot

    def kept(self, **what: object) -> Kept:
        made = {"boot": self._boot, "written_at": now(), "written_utc_ms": utc_ms()}
        return msgspec.convert({**made, **what}, Kept)

    def frame(self, stream: str, sequence: int, kept: Kept, gap: int) -> bytes:
        return wire.encode(
            wire.Entry(
                host=self._host,
                stream=stream,
                sequence=sequence,
                gap=gap,
                alarm=None if kept.alarm is None else self._aged(kept, kept.alarm),
                tenure=kept.tenure,
                tenure_reason=kept.tenure_reason,
                incident=kept.incident,
            )
        )

    def _aged(self, kept: Kept, alarm: Alarm) -> AlarmReport:
        """Ages now: on the monotonic clock within one boot, by wall clocks across boots."""
        is_same_boot = kept.boot == self._boot
        sent_utc_ms = utc_ms()
        if is_same_boot:
            base, extra_us = now(), 0
        else:
            base = kept.written_at
            extra_us = max(0, sent_utc_ms - kept.written_utc_ms) * US
        return AlarmReport(
            alarm=alarm,
            fault_age_us=max(0, base - alarm.fault_at) // US + extra_us,
            detected_age_us=max(0, base - alarm.detected_at) // US + extra_us,
            sent_utc_ms=sent_utc_ms,
            is_estimated=not is_same_boot,
            is_repeat=kept.is_repeat,
        )
