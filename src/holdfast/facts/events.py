"""What happened in the site, numbered: alarms, incidents, changes by people, hosts, leadership."""

from enum import StrEnum
from typing import Any

from msgspec import Struct


class EventKind(StrEnum):
    """Which thing an event tells of; new kinds may come, old ones stay."""

    ALARM = "alarm"  # `data` is the AlarmRecord, in whatever state it is now.
    INCIDENT = "incident"  # `data` is the Incident.
    CHANGE = "change"  # Somebody changed something, or tried to; `data` is the Change.
    HOST = "host"
    LEADERSHIP = "leadership"
    CONTROLLER = "controller"


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`number` rises by one within one log; `text` is a sentence for people."""

    number: int
    utc_ms: int
    kind: str
    text: str
    data: Any = None


class EventGap(Struct, frozen=True, kw_only=True):
    """Events that a reader asked for and cannot have: from this number to that one, and why."""

    first: int
    last: int
    reason: str


class Change(Struct, frozen=True, kw_only=True):
    """Who changed what, with which right, from where, and what came of it.

    It is kept twice: *under way* before it is done, then with its outcome under the same id.
    """

    id: str
    utc_ms: int
    who: str
    role: str
    origin: str
    what: str
    args: dict[str, Any] = {}
    outcome: str = "under way"  # Or: done, refused, not permitted, passed on, failed.
    reason: str = ""
    took_ms: float | None = None
