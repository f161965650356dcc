"""What agents told one controller of their incidents is known to all of them, through the store."""

from collections.abc import Callable

from msgspec import Struct

from holdfast.controller.incident_order import Told, is_later
from holdfast.controller.shared_folder import SharedFolder
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.ports import clock
from holdfast.ports.store import Store

FOLDER = "incidents"
CLOSED_MOST = 500


class SharedIncident(Struct, frozen=True, kw_only=True):
    """`told`: by which entry of its host's outbox."""

    host: str
    incident: Incident
    told: Told
    utc_ms: int

    @property
    def name(self) -> str:
        return f"{self.host}/{self.incident.id}"


class SharedIncidents:
    """`keep` takes what another controller was told."""

    def __init__(self, store: Store, keep: Callable[[str, Incident, Told], None]) -> None:
        self._keep = keep
        self.folder: SharedFolder[SharedIncident] = SharedFolder(
            store, FOLDER, SharedIncident, newer, taken=self._taken
        )

    def note(self, host: str, incident: Incident, told: Told) -> None:
        shared = SharedIncident(host=host, incident=incident, told=told, utc_ms=clock.utc_ms())
        self.folder.put(shared.name, shared)

    def outlived(self) -> list[str]:
        """The oldest of those that are closed, when they are too many."""
        closed = sorted(
            (shared.incident.fault_utc_ms, name)
            for name, shared in self.folder.all().items()
            if shared.incident.state is IncidentState.CLOSED
        )
        return [name for _, name in closed[:-CLOSED_MOST]]

    def _taken(self, shared: SharedIncident) -> None:
        self._keep(shared.host, shared.incident, shared.told)


def newer(one: SharedIncident, other: SharedIncident) -> SharedIncident:
    """The later word. Only where nothing tells which that is, the one that came later by the
    clocks of whoever heard them: it may be the wrong one, of two that say much the same."""
    found = is_later(one.incident, one.told, other.incident, other.told)
    if found is None:
        return max(one, other, key=lambda shared: (shared.utc_ms, shared.told))
    return one if found else other
