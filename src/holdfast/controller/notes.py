"""The controller's own log of events: alarms, incidents, and who leads."""

from holdfast.controller.events import Events
from holdfast.controller.leadership import Leadership
from holdfast.facts.alarms import AlarmRecord, AlarmState
from holdfast.facts.events import EventKind
from holdfast.facts.incidents import Incident


class Notes:
    def __init__(self, events: Events, host_name: str) -> None:
        self._events, self._host_name = events, host_name
        self._term: int | None = None

    def alarm(self, record: AlarmRecord) -> None:
        alarm = record.alarm
        is_over = alarm.state is AlarmState.CLEARED  # Then its severity says that once more.
        how = alarm.state if is_over else f"{alarm.state} ({alarm.severity})"
        self._events.note(EventKind.ALARM, f"{how}: {alarm.text}", record)

    def seen(self, record: AlarmRecord) -> None:
        text = f"{record.acknowledged_by} has seen: {record.alarm.text}"
        self._events.note(EventKind.ALARM, text, record)

    def incident(self, incident: Incident) -> None:
        now = incident.step or incident.state
        text = f"{incident.title}. Now: {now} ({incident.id})"
        self._events.note(EventKind.INCIDENT, text, incident)

    def term(self, leadership: Leadership) -> None:
        """Said when it changed."""
        term = leadership.term
        if term == self._term:
            return
        lead = f"it leads in term {term}" if term is not None else "it does not lead"
        why = f": {leadership.reason}" if leadership.reason else ""
        self._events.note(EventKind.LEADERSHIP, f"{self._host_name}: {lead}{why}")
        self._term = term
