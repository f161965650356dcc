"""The JSON that notifiers pass on: documented in docs/operate/webhook.md; changes only add."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast.facts.alarms import Alarm, AlarmRecord, Severity
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.mending import HAND_OVER_AFTER_MS
from holdfast.ports.notifier import Notice

VERSION = 1
_encoder = msgspec.json.Encoder()


def render(notice: Notice, utc_ms: int) -> bytes:
    """One notice, as it is sent at `utc_ms`."""
    record = notice.record
    body: dict[str, Any] = {
        "version": VERSION,
        "kind": "heartbeat" if record is None else "alarm",
        "stream": notice.stream,
        "sequence": notice.sequence,
        "gap": notice.gap,
        "host": notice.host,
        "sent_utc": spoken_utc(utc_ms),
    }
    if record is not None:
        body["record"] = _record(record)
    return _encoder.encode(body)


def spoken_utc(utc_ms: int | None) -> str | None:
    """2026-01-31T09:05:07.250Z."""
    if utc_ms is None:
        return None
    at = datetime.fromtimestamp(utc_ms // 1_000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{utc_ms % 1_000:03d}Z"


def _record(record: AlarmRecord) -> dict[str, Any]:
    alarm = record.alarm
    acknowledged = None
    if record.acknowledged_by:
        acknowledged = {
            "by": record.acknowledged_by,
            "utc": spoken_utc(record.acknowledged_utc_ms),
        }
    return {
        "alarm": {
            "key": alarm.key,
            "condition": alarm.condition,
            "revision": alarm.revision,
            "state": alarm.state,
            "subject": alarm.subject,
            "host": alarm.host,
            "boot": alarm.boot,
            "certainty": alarm.certainty,
            "severity": alarm.severity,
            "text": alarm.text,
            "cause": alarm.cause,
            "root": alarm.root,
            "incident": alarm.incident,
            "repair": alarm.repair,
            "details": alarm.details,
        },
        "x733": _x733(alarm, record.fault_utc_ms),
        "times": {
            "fault_utc": spoken_utc(record.fault_utc_ms),
            "detected_utc": spoken_utc(record.detected_utc_ms),
            "sent_utc": spoken_utc(record.sent_utc_ms),
            "arrived_utc": spoken_utc(record.arrived_utc_ms),
            "raised_utc": spoken_utc(record.raised_utc_ms),
            "changed_utc": spoken_utc(record.changed_utc_ms),
            "cleared_utc": spoken_utc(record.cleared_utc_ms),
            "answered_utc": spoken_utc(record.answered_utc_ms),
            "hand_over_utc": spoken_utc(_hand_over_utc_ms(record)),
            "fault_to_arrival_ms": record.fault_to_arrival_ms,
            "fault_to_answer_ms": record.fault_to_answer_ms,
            "is_estimated": record.is_estimated,
        },
        "acknowledged": acknowledged,
    }


def _hand_over_utc_ms(record: AlarmRecord) -> int | None:
    """While a host mends it itself: when it hands that over; by the clock of that host."""
    after_ms = record.alarm.details.get(HAND_OVER_AFTER_MS, "")
    return record.fault_utc_ms + int(after_ms) if after_ms.isdigit() else None


def _x733(alarm: Alarm, fault_utc_ms: int) -> dict[str, Any]:
    """The fields of X.733, and cause and repair as the catalogue has them."""
    row = BY_ID.get(alarm.condition)
    is_cleared = alarm.state == "cleared"
    return {
        "eventType": row.event_type if row else None,
        "eventTime": spoken_utc(fault_utc_ms),
        "managedObject": f"{alarm.subject.kind}={alarm.subject.id}",
        "notificationIdentifier": alarm.key,
        "probableCause": row.probable_cause if row else "INDETERMINATE",
        "perceivedSeverity": Severity.CLEARED if is_cleared else alarm.severity,
        "specificProblem": alarm.condition,
        "additionalText": alarm.text,
        "correlatedNotifications": [alarm.root] if alarm.root else [],
        "proposedRepairActions": [row.repair] if row else [],
    }
