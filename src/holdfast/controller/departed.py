"""What a host that left the site has told, and what it was asked to mend, ends with it.

Nobody else may take its alarms back: its agent for its VMs, its controller for what it alone
believed. They would stay open for ever, at everybody who was told of them.
"""

from collections.abc import Callable, Mapping

from msgspec import structs

from holdfast.adapters.vims.builtin import Builtin
from holdfast.controller.entries import Entries
from holdfast.controller.incident_order import in_its_place
from holdfast.facts.alarms import AlarmRecord, AlarmReport, AlarmState, Severity
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.ports import clock

US_PER_MS = 1_000


class Departed:
    """`is_needed`: whether an alarm is still wanted by the watch here, which then owns it;
    `shared` tells the watch what became of one."""

    def __init__(
        self,
        vim: Builtin,
        entries: Entries,
        *,
        term: Callable[[], int | None],
        is_needed: Callable[[str], bool],
        shared: Callable[[AlarmRecord], None],
    ) -> None:
        self._vim, self._entries = vim, entries
        self._term, self._is_needed, self._shared = term, is_needed, shared

    async def end(self, gone: Mapping[str, str]) -> None:
        """Of these hosts, by id, with a name that no host of the site has now. Done as often as
        one looks: who leads may have come to it since, and a last word may have come late."""
        for host in gone:
            for incident in self._entries.incidents_of(host):
                if incident.state is IncidentState.OPEN:
                    self._close(host, gone[host], incident)
        names = set(gone.values())
        for record in self._vim.open_ones():
            if self._term() is None:
                return
            alarm = record.alarm
            if alarm.host in names and not self._is_needed(alarm.key):
                await self._entries.report(_cleared(record), clock.now())
                now = self._vim.find(alarm.key)
                if now is not None:
                    self._shared(now)

    def _close(self, host: str, name: str, incident: Incident) -> None:
        age_ms = max(0, clock.utc_ms() - incident.fault_utc_ms)
        closed = structs.replace(
            incident,
            state=IncidentState.CLOSED,
            closed_at=Instant(incident.fault_at + age_ms * NS_PER_MS),
            step=f"{name} left the site before this was over: nobody follows it any more",
            needs_you="",
        )
        told = in_its_place(self._entries.told_by(host, incident.id))
        self._entries.keep_incident(host, closed, told)
        if self._term() is not None:
            self._entries.share_incident(host, closed, told)


def _cleared(record: AlarmRecord) -> AlarmReport:
    """Its instants are of a clock that is gone: the ages are by the wall clock."""
    utc_ms, alarm = clock.utc_ms(), record.alarm
    return AlarmReport(
        alarm=structs.replace(
            alarm,
            revision=alarm.revision + 1,
            state=AlarmState.CLEARED,
            severity=Severity.CLEARED,
            text=f"{alarm.host}, which told this, left the site: whether it is over is not known."
            f" It was: {alarm.text}",
            repair="",
            details={},
        ),
        fault_age_us=max(0, utc_ms - record.fault_utc_ms) * US_PER_MS,
        detected_age_us=max(0, utc_ms - record.detected_utc_ms) * US_PER_MS,
        sent_utc_ms=utc_ms,
        is_estimated=True,
    )
