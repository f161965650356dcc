"""What a person, or the controller for one, tells an agent. Each is an input of policy."""

from msgspec import Struct

from holdfast.facts.definitions import RebuiltDisk
from holdfast.facts.instants import Instant
from holdfast.facts.mending import RepairLadder
from holdfast.facts.promises import Disarm, Group, Protection


class Told(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    at: Instant


class ProtectionGranted(Told, frozen=True, kw_only=True):
    """The store gave this host the tenure of a VM (protect, or a grant after a boot)."""

    protection: Protection
    by: str


class ProtectionEnded(Told, frozen=True, kw_only=True):
    vm: str
    by: str


class GroupSet(Told, frozen=True, kw_only=True):
    """A group's settings are these now. Known groups that are not named stay as they are."""

    group: Group


class GroupForgotten(Told, frozen=True, kw_only=True):
    name: str


class Disarmed(Told, frozen=True, kw_only=True):
    """`until` is the monotonic instant that matches disarm.until_utc_ms when it was told."""

    disarm: Disarm
    until: Instant


class Armed(Told, frozen=True, kw_only=True):
    by: str


class RecoveryAsked(Told, frozen=True, kw_only=True):
    """A person says: try again (`holdfast vm recover NAME`). Back-off and budget begin anew."""

    vm: str
    by: str


class StartOrdered(Told, frozen=True, kw_only=True):
    """The leader gave this host the tenure of a VM whose host is proven dead: start it here.

    `was` names the host that it ran on, or is empty for a new VM of a group; `fault_at` is when
    that died, by this host's clock; `incident` is the controllers' about that host. `rebuilds` are
    made here before it starts. `tries` is how often it may be started here before another host has
    its turn; 0: as often as its group's budget allows, for none is left.
    """

    protection: Protection
    was: str
    fault_at: Instant
    incident: str
    rebuilds: tuple[RebuiltDisk, ...] = ()
    tries: int = 0


class StartRefused(Told, frozen=True, kw_only=True):
    """This host will not start the VM: no order of this generation or an older one is taken any
    more. What runs of it here, if anything does, is left alone."""

    vm: str
    name: str
    generation: int
    reason: str


class CopyOutranked(Told, frozen=True, kw_only=True):
    """Another host holds this VM in this generation, or the leader takes it back (no `holder`):
    what runs of an older tenure of it here, or of this one, must end."""

    vm: str
    generation: int
    holder: str


class MigrationBegan(Told, frozen=True, kw_only=True):
    """The leader moves this VM from here, or to here: whatever happens to it until the migration
    has ended is for the leader to judge. `revision` is that of the tenure that says so."""

    vm: str
    name: str
    generation: int
    revision: int
    is_source: bool


class MigrationEnded(Told, frozen=True, kw_only=True):
    """A migration is over. At the source of one that was undone it `is_held` again; without
    anything left of it at either end, it died meanwhile."""

    vm: str
    generation: int
    revision: int
    is_held: bool = False
    is_lost: bool = False
    reason: str = ""


class MoveSeen(Told, frozen=True, kw_only=True):
    """libvirt's job says that somebody else moves it from here (virsh, Nova); or, not under way,
    that it is over and the VM cannot have left."""

    vm: str
    is_under_way: bool


class LeaseOrdered(Told, frozen=True, kw_only=True):
    """These VMs rely on this host's lease from now on, and no others. `held` are all that the
    leader knows to be held here in this boot."""

    epoch: int
    vms: tuple[str, ...]
    held: tuple[str, ...]


class LeaseRanOut(Told, frozen=True, kw_only=True):
    """No controller granted it in time: what relies on it is ended."""


class LeaseHolds(Told, frozen=True, kw_only=True):
    """It was granted again, in this epoch: the leader has given none of these VMs away since."""

    epoch: int


class IncidentSettled(Told, frozen=True, kw_only=True):
    """A person says: this is dealt with. The incident closes and its alarms clear."""

    incident: str
    by: str


class LaddersSet(Told, frozen=True, kw_only=True):
    """The repairs that this host knows, as its settings say: these and no others."""

    ladders: tuple[RepairLadder, ...]


Command = (
    ProtectionGranted
    | ProtectionEnded
    | GroupSet
    | GroupForgotten
    | Disarmed
    | Armed
    | RecoveryAsked
    | StartOrdered
    | StartRefused
    | CopyOutranked
    | MigrationBegan
    | MigrationEnded
    | MoveSeen
    | LeaseOrdered
    | LeaseRanOut
    | LeaseHolds
    | IncidentSettled
    | LaddersSet
)


class Woke(Told, frozen=True, kw_only=True):
    """A deadline that policy asked for has come."""


class Restarted(Told, frozen=True, kw_only=True):
    """The agent came back in the same boot: what was under way is unknown and is done again."""


class Booted(Told, frozen=True, kw_only=True):
    """The agent started: who it is. `amnesiac`: its memory is new, corrupt or rolled back.

    In a new boot it holds nothing until it is granted again.
    """

    host: str
    host_name: str
    boot: str
    state_id: str
    is_amnesiac: bool = False


Wake = Woke | Restarted | Booted
