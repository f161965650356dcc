"""Which of two words on one incident is the later one, whichever controller heard it, and when.

The clocks of two controllers are never compared for that. Within one stream an agent's entries have
numbers. A new stream begins at each boot, and where the outbox was lost, and nothing says which of
two streams is the newer one. So it is decided by how agents use an id:

- No agent opens again what it has closed: what fails after that is a new incident under an id of
  its own. Of two words on one fault "closed" is the last one.
- An id is used again only by an agent that lost its memory, or has forgotten the first incident
  (it keeps the newest 200 that are closed), and finds the same wrong with the same life: a new
  fault, which began after the first one had ended. Both instants are of the clock of that host.
- What was closed in the place of a host that left was a guess: if the host joins again under its
  old id, its agent still has the incident open and says so, and that counts.
"""

from holdfast.facts.incidents import Incident, IncidentState

Told = tuple[str, int]  # By which entry: its stream, and its number there.

IN_ITS_PLACE = "left:"  # Before the stream of a host that tells nothing any more.


def in_its_place(told: Told) -> Told:
    """What follows this entry until its host tells something itself."""
    return IN_ITS_PLACE + told[0].removeprefix(IN_ITS_PLACE), told[1]


def is_later(one: Incident, told: Told, other: Incident, other_told: Told) -> bool | None:
    """None: nothing tells, and it makes no difference that counts."""
    stream, other_stream = (by[0].removeprefix(IN_ITS_PLACE) for by in (told, other_told))
    if stream == other_stream:
        places = [(by[1], by[0].startswith(IN_ITS_PLACE)) for by in (told, other_told)]
        return None if places[0] == places[1] else places[0] > places[1]
    if one.state is other.state:
        return _began_later(one, other)  # Or else they differ in words alone.
    if one.state is IncidentState.OPEN:
        return _outdates(one, other, other_told)
    opened = _outdates(other, one, told)
    return None if opened is None else not opened


def _outdates(opened: Incident, closed: Incident, closed_told: Told) -> bool | None:
    """Whether it was opened after the other one was closed."""
    if opened.host or closed.host:
        return None  # Of hosts each controller has its own, and hears itself in order.
    if _boot(opened) != _boot(closed):
        return _began_later(opened, closed)
    if closed_told[0].startswith(IN_ITS_PLACE):
        return True
    return opened.fault_at > max(closed.fault_at, closed.closed_at or 0)


def _began_later(one: Incident, other: Incident) -> bool | None:
    began: tuple[int, int] = one.fault_at, other.fault_at
    if _boot(one) != _boot(
        other
    ):  # Two that have one id by chance; the wall clock is their host's.
        began = one.fault_utc_ms, other.fault_utc_ms
    return None if began[0] == began[1] else began[0] > began[1]


def _boot(incident: Incident) -> str:
    return incident.life.boot if incident.life else ""
