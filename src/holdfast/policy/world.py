"""What policy believes: the host, its VMs, open alarms and incidents. All of it fits a snapshot."""

from msgspec import Struct, field

from holdfast.facts.alarms import Alarm
from holdfast.facts.definitions import Rebuild
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.promises import DEFAULT_GROUP, Disarm, Group, Protection
from holdfast.facts.subjects import Incarnation
from holdfast.facts.verdicts import FaultRaised
from holdfast.policy.mends import Mends
from holdfast.policy.vm_states import VmState

SCHEMA = 1  # Raised whenever a snapshot of an older version could not be read as this one.
INCIDENTS_KEPT = 200
ALARMS_REMEMBERED = 1_000
STOPPED_VMS_REMEMBERED = 1_000
OUTRANKED_REMEMBERED = 10_000
DEFECT_TEXT_KEPT = 300


class VmRecord(Struct, kw_only=True):
    """One VM. `life` is the newest known.

    `starts` are the instants of restarts by Holdfast, oldest first, within the budget's window.
    """

    vm: str
    name: str
    state: VmState = VmState.UNKNOWN
    life: Incarnation | None = None
    is_dying: bool = False  # Its end has been judged.
    is_gone: bool = False  # Its process has ended.
    is_live_fault: bool = False  # The fault left the process alive: it must be ended first.
    is_awaited: bool = False  # An answer of this life is awaited.
    ended_by_us: str = ""  # The life that Holdfast asked to end.
    start_in_flight: str = ""  # The incident whose start has no outcome yet.
    start_unknown_at: Instant | None = None  # That start may happen at any moment since then.
    is_unexplained: bool = False  # Nobody can say why it stopped: only a person has it started.
    is_elsewhere: bool = False  # It moved to another host, and has not run here since.
    is_asked_for: bool = False  # A person wants it back, whatever its policy says.
    rebuild: Rebuild | None = None  # Disks that are made anew before it runs here first.
    is_ordered: bool = False  # Its start was ordered: an earlier end of it here says nothing.
    start_limit: int = 0  # Until it has answered: then another host is to try; 0: its budget.
    is_copy: bool = False  # Its tenure is over: what runs of it here must end, and never starts.
    is_quiet: bool = (
        False  # Nothing of that copy was seen in this boot: its case is told to nobody.
    )
    holder: str = ""  # Of such a copy: the host that holds the VM by now, where that is known.
    outranked: int = 0  # The highest generation that is known and is not this host's.
    is_free: bool = False  # It was another's, and nobody protects it any more.
    moves: str = ""  # "out" or "in" while the leader moves it; "found": others do.
    half: str = ""  # The life of it that came in half here, and was ended with its migration.
    held_back: FaultRaised | None = None  # What was seen to befall it meanwhile.
    protection: Protection | None = None
    incident: str = ""
    is_across_boot: bool = False  # Its incident is older than this boot, whose clock is another.
    tries: int = 0  # Proofs, or ends, asked for in this stage.
    stage_began: Instant = Instant(0)
    wake_at: Instant | None = None
    start_due: Instant | None = None
    starts: list[Instant] = field(default_factory=list)
    attempt: int = 0

    @property
    def runs(self) -> bool:
        """As far as is known: a life of it began, and nothing says that it ended or is ending."""
        return self.life is not None and not self.is_dying and not self.is_gone

    @property
    def is_moved_by_leader(self) -> bool:
        """Then the leader judges what befalls it."""
        return self.moves in ("out", "in")


class HostReliance(Struct, frozen=True, kw_only=True):
    """The VMs that rely on this host's lease, as its leader ordered last, in this boot."""

    epoch: int = 0
    vms: tuple[str, ...] = ()


class World(Struct, kw_only=True):
    """`now` is the instant of the newest input: the only clock policy has."""

    now: Instant = Instant(0)
    host: str = ""
    host_name: str = ""
    boot: str = ""
    state_id: str = ""
    is_amnesiac: bool = False
    forgot_in: str = ""  # The boot in which the memory was lost: what ran before it is not known.
    vms: dict[str, VmRecord] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)  # Open ones, by key.
    revisions: dict[str, int] = field(default_factory=dict)  # Of cleared ones: never fall back.
    forgotten_revision: int = 0  # The highest of those that were forgotten.
    incidents: dict[str, Incident] = field(default_factory=dict)
    disarm: Disarm | None = None
    disarmed_until: Instant | None = None
    reliance: HostReliance = HostReliance()
    lapsed: dict[str, int] = field(
        default_factory=dict
    )  # Ended with a lease: up to which generation.
    mends: Mends = field(default_factory=Mends)
    defects: int = 0  # Steps that the table calls impossible: the state was kept.
    newest_defect: str = ""

    def note_defect(self, text: str) -> None:
        """A defect of ours is counted and shown; the alarms of the same step go out."""
        self.defects += 1
        self.newest_defect = text[:DEFECT_TEXT_KEPT]

    def record(self, vm: str, name: str = "") -> VmRecord:
        found = self.vms.get(vm)
        if found is None:
            found = self.vms[vm] = VmRecord(vm=vm, name=name or vm)
        elif name and found.name != name:
            found.name = name
        return found

    def group_of(self, record: VmRecord) -> Group:
        if record.protection is None:
            return DEFAULT_GROUP
        return self.groups.get(record.protection.group, DEFAULT_GROUP)

    def is_past(self, life: Incarnation, record: VmRecord) -> bool:
        """Whether the VM has lived on since: its newest known life is a later one."""
        newest = record.life
        if newest is None or life == newest:
            return False
        if life.boot == newest.boot:
            return life.started_ticks <= newest.started_ticks
        return life.boot != self.boot

    def forget_old(self) -> None:
        """Bound what only history needs; open incidents and alarms always stay."""
        closed = [i.id for i in self.incidents.values() if i.state is IncidentState.CLOSED]
        for incident in _oldest(closed, INCIDENTS_KEPT):
            del self.incidents[incident]
        for key in _oldest(list(self.revisions), ALARMS_REMEMBERED):
            self.forgotten_revision = max(self.forgotten_revision, self.revisions.pop(key))
        idle = [
            record
            for record in self.vms.values()
            if record.state in (VmState.STOPPED, VmState.UNKNOWN) and record.protection is None
        ]
        stopped = [r.vm for r in idle if r.state is VmState.STOPPED and not r.outranked]
        for vm in _oldest(stopped, STOPPED_VMS_REMEMBERED):
            del self.vms[vm]
        for vm in _oldest([r.vm for r in idle if r.outranked], OUTRANKED_REMEMBERED):
            del self.vms[vm]


def _oldest(all_of_them: list[str], kept: int) -> list[str]:
    return all_of_them[: max(0, len(all_of_them) - kept)]
