"""The catalogue's rows on guarded processes of a host."""

from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.alarms import EventType, Severity
from holdfast.facts.subjects import SubjectKind

PROCESSES: tuple[AlarmType, ...] = (
    AlarmType(
        id="process-failed",
        title="A guarded process of a host is gone or stuck",
        subject=SubjectKind.PROCESS,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="SOFTWARE_PROGRAM_ABNORMALLY_TERMINATED",
        means="It ended though nobody stopped it, or it runs and does not serve. Its host lives,"
        " and so do the VMs there.",
        clears="When it has run for a second and its probe is answered, if it has one; retracted"
        " when it turns out that somebody stopped it.",
        reported="within a second: killed or stopped by a signal, and where its probe is asked that"
        " often; else within the period and the limit of its probe.",
        repair="Holdfast restarts it where its guard lets it; the alarm says what was tried. Then"
        " look at its log: holdfast explain, journalctl -u UNIT.",
        covers=("H1", "H18", "H19"),
    ),
)
