"""What a controller tells the policy of its site: who belongs to it, who leads, what others say."""

from msgspec import Struct

from holdfast.facts.alarms import Alarm
from holdfast.facts.commands import (
    Armed,
    Disarmed,
    GroupForgotten,
    GroupSet,
    IncidentSettled,
    RecoveryAsked,
    Told,
    Woke,
)
from holdfast.facts.definitions import HostSize, VmNeeds
from holdfast.facts.fencing import Fence, HostMode
from holdfast.facts.leases import HostLease
from holdfast.facts.mending import HandOver
from holdfast.facts.migrations import Drain, Migration, Prediction
from holdfast.facts.outcomes import SiteOutcome
from holdfast.facts.promises import Protection
from holdfast.facts.recoveries import Recovery
from holdfast.facts.verdicts import Verdict


class HostVm(Struct, frozen=True, kw_only=True):
    """A VM that runs on a host, as its agent said last.

    `generation` is that of the agent's tenure, 0 without one; `is_serving`: it runs, and no answer
    of its guest is awaited.
    """

    vm: str
    name: str
    memory_mib: int = 0
    generation: int = 0
    is_serving: bool = False


class HostSized(Told, frozen=True, kw_only=True):
    """What a host offers to VMs; `can_start`: its agent takes orders to start a VM of another;
    `can_move`: and to move one while it runs, which needs certificates of the site."""

    host: str
    size: HostSize
    can_start: bool = True
    can_move: bool = False


class ActingSet(Told, frozen=True, kw_only=True):
    """What the settings say of acting: after how long a silence a host is fenced, and of how many
    hosts out of a hundred that are silent at once a person decides. `hand_over`: what is done about
    a host that could not mend itself."""

    fence_after_ms: int
    brake_percent: int
    hand_over: HandOver = HandOver.REPORT


class HostModeSet(Told, frozen=True, kw_only=True):
    """What the store says of a host's fencing, without its secrets. `devices` are agents' names."""

    host: str
    mode: HostMode
    devices: tuple[str, ...] = ()
    dump_wait_s: int = 0


class PromiseSet(Told, frozen=True, kw_only=True):
    """A protected VM as the store has it now, and what it needs, where that is known."""

    protection: Protection
    needs: VmNeeds | None = None


class PromiseEnded(Told, frozen=True, kw_only=True):
    vm: str


class FenceSet(Told, frozen=True, kw_only=True):
    """A fence as the store has it now.

    `is_read`: the store held it when this controller began to follow it, and how long ago it was
    intended only wall clocks say (`age_ms`). All others are news.
    """

    fence: Fence
    age_ms: int = 0
    is_read: bool = False


class FenceForgotten(Told, frozen=True, kw_only=True):
    """The store has none of this host, or no more."""

    host: str


class LeaseSet(Told, frozen=True, kw_only=True):
    """The lease of a host as the store has it now: its agent acknowledged it."""

    lease: HostLease


class LeaseForgotten(Told, frozen=True, kw_only=True):
    """The store has none of this host, or no more."""

    host: str


class RecoverySet(Told, frozen=True, kw_only=True):
    """A recovery as the store has it now."""

    recovery: Recovery


class RecoveryForgotten(Told, frozen=True, kw_only=True):
    vm: str


class MigrationSet(Told, frozen=True, kw_only=True):
    """A migration as the store has it now."""

    migration: Migration


class MigrationForgotten(Told, frozen=True, kw_only=True):
    vm: str


class DrainSet(Told, frozen=True, kw_only=True):
    """A host is in maintenance."""

    drain: Drain


class DrainLifted(Told, frozen=True, kw_only=True):
    host: str


class PredictionSet(Told, frozen=True, kw_only=True):
    """A host is expected to fail soon; how long ago that was said, by wall clocks."""

    prediction: Prediction
    age_ms: int = 0


class PredictionLifted(Told, frozen=True, kw_only=True):
    host: str


class SiteBegan(Told, frozen=True, kw_only=True):
    """This controller started. `boot` is that of its host, whose clock all instants are of."""

    controller: str
    boot: str


class HostSet(Told, frozen=True, kw_only=True):
    """A host belongs to the site. `rack` and `switch` are what it shares with others, or empty;
    its VMs stay in its `zone`."""

    host: str
    name: str
    rack: str = ""
    switch: str = ""
    zone: str = ""


class HostLeft(Told, frozen=True, kw_only=True):
    host: str


class VmsSet(Told, frozen=True, kw_only=True):
    """All VMs that run on a host in this boot: they are lost with it. Those that its agent has
    given up are named beside them."""

    host: str
    boot: str
    vms: tuple[HostVm, ...]
    given_up: tuple[HostVm, ...] = ()
    handed_over: tuple[str, ...] = ()  # What it could not mend itself.
    may_stay: tuple[str, ...] = ()  # Those of it for which no VM has to leave.


class LeadChanged(Told, frozen=True, kw_only=True):
    """This controller leads now, in this term; or it does not (0)."""

    term: int


class AlarmShared(Told, frozen=True, kw_only=True):
    """Another controller has reported this alarm, and those who are told have it."""

    alarm: Alarm


SiteFact = (
    SiteBegan
    | HostSet
    | HostLeft
    | VmsSet
    | LeadChanged
    | AlarmShared
    | IncidentSettled
    | HostSized
    | HostModeSet
    | ActingSet
    | PromiseSet
    | PromiseEnded
    | FenceSet
    | FenceForgotten
    | LeaseSet
    | LeaseForgotten
    | RecoverySet
    | RecoveryForgotten
    | MigrationSet
    | MigrationForgotten
    | DrainSet
    | DrainLifted
    | PredictionSet
    | PredictionLifted
    | GroupSet
    | GroupForgotten
    | Disarmed
    | Armed
    | RecoveryAsked
    | SiteOutcome
    | Woke
    | Verdict
)
