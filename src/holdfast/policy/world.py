"""What policy believes: the host, its VMs, open alarms and incidents. All of it fits a snapshot."""

from msgspec import Struct, field

from holdfast.facts.alarms import Alarm
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.promises import DEFAULT_GROUP, Disarm, Group, Protection
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof
from holdfast.policy.vm_states import VmState

SCHEMA = 1  # Raised whenever a snapshot of an older version could not be read as this one.
INCIDENTS_KEPT = 200
ALARMS_REMEMBERED = 1_000


class VmRecord(Struct, kw_only=True):
    """One VM. `life` is the newest known; `is_gone` whether its process has ended.

    `starts` are the instants of restarts by Holdfast, oldest first, within the budget's window.
    """

    vm: str
    name: str
    state: VmState = VmState.UNKNOWN
    life: Incarnation | None = None
    is_gone: bool = False
    protection: Protection | None = None
    incident: str = ""
    is_live_fault: bool = False  # The fault left the process alive: it must be ended first.
    tries: int = 0  # Proofs, or ends, asked for in this stage.
    stage_began: Instant = Instant(0)
    wake_at: Instant | None = None
    proof: LocalProof | None = None
    starts: list[Instant] = field(default_factory=list)
    attempt: int = 0


class World(Struct, kw_only=True):
    """`now` is the instant of the newest input: the only clock policy has."""

    now: Instant = Instant(0)
    host: str = ""
    host_name: str = ""
    boot: str = ""
    state_id: str = ""
    is_amnesiac: bool = False
    vms: dict[str, VmRecord] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)  # Open ones, by key.
    revisions: dict[str, int] = field(default_factory=dict)  # Of cleared ones: never fall back.
    incidents: dict[str, Incident] = field(default_factory=dict)
    disarm: Disarm | None = None
    disarmed_until: Instant | None = None

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

    def forget_old(self) -> None:
        """Bound what only history needs; open incidents and alarms always stay."""
        closed = [i.id for i in self.incidents.values() if i.state is IncidentState.CLOSED]
        for incident in closed[: max(0, len(closed) - INCIDENTS_KEPT)]:
            del self.incidents[incident]
        for key in list(self.revisions)[: max(0, len(self.revisions) - ALARMS_REMEMBERED)]:
            del self.revisions[key]
