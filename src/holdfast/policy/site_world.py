"""What site policy believes: hosts, their VMs, what is wrong, and what was said of it."""

from msgspec import Struct, field

from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.site import HostVm
from holdfast.facts.verdicts import FaultRaised
from holdfast.policy.host_states import HostState

SCHEMA = 1  # Raised whenever a snapshot of an older version could not be read as this one.
INCIDENTS_KEPT = 200
ALARMS_REMEMBERED = 5_000  # Cleared ones, for their revisions.
DEFECT_TEXT_KEPT = 300


class HostRecord(Struct, kw_only=True):
    """One host. `boot` is the newest that was heard, or told of."""

    host: str
    name: str
    rack: str = ""
    switch: str = ""
    state: HostState = HostState.UNHEARD
    boot: str = ""
    faults: dict[str, FaultRaised] = field(default_factory=dict)  # Open ones, by condition.
    stale: list[str] = field(default_factory=list)  # Faults of before a restart, not found anew.
    vms_boot: str = ""
    vms: tuple[HostVm, ...] = ()
    incident: str = ""
    lost_at: Instant | None = None
    keys: tuple[str, ...] = ()  # Of its alarms that should be open, and of those of its VMs.
    together: str = ""  # The alarm on the rack or switch that this loss is a part of.
    ask_at: Instant | None = None  # When witnesses are asked anew.
    asked: int = 0  # How often they were, about this silence.
    page_at: Instant | None = None  # When the suspicion becomes a person's.
    back_by: Instant | None = None  # It stops on purpose: when it should be back.
    awaited: FaultRaised | None = None  # Its silence meanwhile, of which nothing is said.


class Loss(Struct, kw_only=True):
    """Hosts that fell silent together: what they share, as an id and for people."""

    key: str
    shared: str
    name: str
    hosts: list[str]
    fault_at: Instant
    detected_at: Instant


class SiteWorld(Struct, kw_only=True):
    """`wanted` are the alarms that should be open now, `reported` what the VIM has, by key.

    Whatever is wanted and not reported, or reported and not wanted, is said as soon as it is this
    controller's to say. Wanted ones have no revision; `said` is how each was when it was reported.
    """

    now: Instant = Instant(0)
    controller: str = ""
    boot: str = ""
    term: int = 0
    hosts: dict[str, HostRecord] = field(default_factory=dict)
    own_faults: dict[str, FaultRaised] = field(default_factory=dict)  # Of the controller itself.
    losses: dict[str, Loss] = field(default_factory=dict)
    wanted: dict[str, Alarm] = field(default_factory=dict)
    said: dict[str, Alarm] = field(default_factory=dict)
    reported: dict[str, Alarm] = field(default_factory=dict)
    over: dict[str, str] = field(default_factory=dict)  # Why what is not wanted is over.
    held: dict[str, Instant] = field(default_factory=dict)  # Left to others until then.
    take_over_at: Instant | None = None
    incidents: dict[str, Incident] = field(default_factory=dict)
    defects: int = 0
    newest_defect: str = ""

    def note_defect(self, text: str) -> None:
        """A defect of ours is counted and shown; the alarms of the same step go out."""
        self.defects += 1
        self.newest_defect = text[:DEFECT_TEXT_KEPT]

    def record(self, host: str, name: str = "") -> HostRecord:
        found = self.hosts.get(host)
        if found is None:
            found = self.hosts[host] = HostRecord(host=host, name=name or host)
        return found

    def is_open(self, key: str) -> bool:
        """Whether those who are told have it as open."""
        known = self.reported.get(key)
        return known is not None and known.state is not AlarmState.CLEARED

    def forget_old(self) -> None:
        """Bound what only history needs; what is open always stays."""
        closed = [i.id for i in self.incidents.values() if i.state is IncidentState.CLOSED]
        for incident in closed[: max(0, len(closed) - INCIDENTS_KEPT)]:
            del self.incidents[incident]
        if len(self.reported) > len(self.wanted) + ALARMS_REMEMBERED:
            cleared = [key for key in self.reported if not self.is_open(key)]
            for key in cleared[: max(0, len(cleared) - ALARMS_REMEMBERED)]:
                del self.reported[key]
                self.said.pop(key, None)
