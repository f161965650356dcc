"""What becomes an event that people follow: alarms, incidents, and who leads."""

from holdfast.controller.events import Events
from holdfast.controller.leadership import Leadership
from holdfast.facts.alarms import AlarmRecord, AlarmState
from holdfast.facts.events import EventKind
from holdfast.facts.incidents import Incident


class Noting:
    def __init__(self, events: Events, leadership: Leadership, host_name: str) -> None:
        self._events, self._leadership, self._host_name = events, leadership, host_name
        self._noted_term: int | None = None

    def seen(self, record: AlarmRecord) -> None:
        text = f"{record.acknowledged_by} has seen: {record.alarm.text}"
        self._events.note(EventKind.ALARM, text, record)

    def alarm(self, record: AlarmRecord) -> None:
        alarm = record.alarm
        is_over = alarm.state is AlarmState.CLEARED  # Then its severity says that once more.
        how = alarm.state if is_over else f"{alarm.state} ({alarm.severity})"
        self._events.note(EventKind.ALARM, f"{how}: {alarm.text}", record)

    def incident(self, incident: Incident) -> None:
        now = incident.step or incident.state
        text = f"{incident.title}. Now: {now} ({incident.id})"
        self._events.note(EventKind.INCIDENT, text, incident)

    def term(self) -> None:
        """Whether this controller leads, where that is news."""
        term = self._leadership.term
        if term != self._noted_term:
            lead = f"it leads in term {term}" if term is not None else "it does not lead"
            why = f": {self._leadership.reason}" if self._leadership.reason else ""
            self._events.note(EventKind.LEADERSHIP, f"{self._host_name}: {lead}{why}")
            self._noted_term = term
