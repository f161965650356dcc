"""What the catalogue says of one kind of alarm."""

from msgspec import Struct

from holdfast.facts.alarms import EventType, Severity
from holdfast.facts.subjects import SubjectKind


class AlarmType(Struct, frozen=True, kw_only=True):
    """`id` is the condition of the verdicts that raise it, the page's name and the metric label."""

    id: str
    title: str
    subject: SubjectKind
    event_type: EventType
    severity: Severity
    probable_cause: str
    means: str
    clears: str
    repair: str
    covers: tuple[str, ...]
    pushed: bool = True  # Reported within a second; else found by polling, within `period_s`.
    period_s: int = 0
    reported: str = ""  # When, where that is more than the two above can say.
