"""Incidents as a list, and as one line when they open and close."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, STRONG, UNSURE, clock, table
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import spoken

LOSSES = ("host-lost", "host-frozen", "host-panicked")


def incidents_page(incidents: Sequence[Incident], now_ms: int) -> Iterator[Any]:
    """The newest last, where the eye is."""
    if not incidents:
        yield Text("There has been no incident.", style=GOOD)
        return
    yield table(
        ("INCIDENT", "WHERE", "FAULT AT", "STATE", "BACK AFTER", "WHAT"),
        [_row(incident, now_ms) for incident in incidents],
    )
    yield ""
    yield needs_you_line(incidents)
    yield "Its story: holdfast explain INCIDENT"


def _row(incident: Incident, now_ms: int) -> list[str | Text]:
    what = Text(incident.title)
    if incident.state is IncidentState.OPEN and incident.step:
        what.append(f"\n{incident.step}", style=UNSURE)
    return [
        incident.id,
        incident.name,
        clock(incident.fault_utc_ms, now_ms),
        _state(incident),
        _recovery(incident),
        what,
    ]


def _state(incident: Incident) -> Text:
    if incident.state is IncidentState.CLOSED:
        return Text("closed", style=GOOD)
    return Text("open", style=BAD if incident.needs_you else UNSURE)


def _recovery(incident: Incident) -> Text:
    """How long the VM was away, against what its service level allows."""
    if incident.recovered_ms is None:
        return Text("-")
    shown = Text(spoken(incident.recovered_ms))
    if incident.level_ms is not None and incident.recovered_ms > incident.level_ms:
        shown.append(f" (> {spoken(incident.level_ms)})", style=UNSURE)
    if not incident.verified:
        shown.append(" not verified", style=UNSURE)
    return shown


def needs_you_line(incidents: Sequence[Incident]) -> Text:
    """What a person must type, or that there is nothing to do."""
    wanting = [incident.needs_you for incident in incidents if incident.needs_you]
    awaited = [one for one in incidents if one.host and one.state is IncidentState.OPEN]
    if not wanting and awaited:
        lines = [f"{one.name} is awaited{then(one)}." for one in awaited]
        return Text("Nothing to do yet: " + "\n                   ".join(lines), style=UNSURE)
    if not wanting:
        return Text("Nothing to do.", style=GOOD)
    commands = list(dict.fromkeys(wanting))
    return Text("Needs you: " + "\n           ".join(commands), style=BAD)


def then(incident: Incident) -> str:
    """What to do about a host that is silent, should it stay so, by its alarm: no full stop."""
    losses = [one for one in incident.conditions if one in LOSSES]
    row = BY_ID.get((losses or incident.conditions or ("",))[-1])
    repair = row.repair.replace("HOST", incident.name).rstrip(".") if row else ""
    return repair and f"; if it stays so: {repair}"


def incident_line(incident: Incident, now_ms: int, at_ms: int = 0) -> Text:
    """One line for an incident that opened, moved on or closed (`at_ms`: when; else now)."""
    line = Text(f"{clock(at_ms or now_ms, now_ms)}  ")
    line.append_text(_state(incident))
    line.append(f"  {incident.name}", style=STRONG)
    if incident.state is IncidentState.OPEN:
        line.append(f"  {incident.step or incident.title}")
        line.append(f"  (incident {incident.id})")
    elif incident.recovered_ms is None:
        line.append(f"  incident {incident.id} is closed")
    else:
        line.append(f"  back in service {spoken(incident.recovered_ms)} after the fault")
    return line
