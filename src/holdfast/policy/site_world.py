"""What site policy believes: hosts, their VMs, what is wrong, and what was said of it."""

from msgspec import Struct, field

from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.definitions import HostSize, VmNeeds
from holdfast.facts.fencing import Fence, FenceStep, HostMode
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.leases import HostLease
from holdfast.facts.mending import HandOver
from holdfast.facts.migrations import Drain, End, Migration, Prediction
from holdfast.facts.promises import DEFAULT_GROUP, Disarm, Group, Protection
from holdfast.facts.recoveries import Recovery
from holdfast.facts.site import HostVm, VmsSet
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.facts.verdicts import Effect, FaultRaised
from holdfast.policy import rebuilding, timing
from holdfast.policy.host_states import HEARD, HostState

SCHEMA = 1  # Raised whenever a snapshot of an older version could not be read as this one.
INCIDENTS_KEPT = 200
ALARMS_REMEMBERED = 5_000  # Cleared ones, for their revisions.
DEFECT_TEXT_KEPT = 300
LOSS = (Effect.GONE, Effect.STUCK)


class HostRecord(Struct, kw_only=True):
    """One host. `boot` is the newest that was heard, or told of."""

    host: str
    name: str
    rack: str = ""
    switch: str = ""
    zone: str = ""
    state: HostState = HostState.UNHEARD
    boot: str = ""
    faults: dict[str, FaultRaised] = field(default_factory=dict)  # Open ones, by condition.
    stale: list[str] = field(default_factory=list)  # Faults of before a restart, not found anew.
    vms_boot: str = ""
    vms: tuple[HostVm, ...] = ()
    told_boot: str = ""  # Of which its agent told what runs.
    incident: str = ""
    lost_at: Instant | None = None
    keys: tuple[str, ...] = ()  # Of its alarms that should be open, and of those of its VMs.
    together: str = ""  # The alarm on the rack or switch that this loss is a part of.
    ask_at: Instant | None = None  # When witnesses are asked anew.
    asked: int = 0  # How often they were, about this silence.
    page_at: Instant | None = None  # When the suspicion becomes a person's.
    back_by: Instant | None = None  # It stops on purpose: when it should be back.
    awaited: FaultRaised | None = None  # Its silence meanwhile, of which nothing is said.
    was_heard: bool = False  # By this controller, since it began.
    heard_at: Instant = Instant(0)  # When it was heard anew, in this boot or after a silence.
    given_up: tuple[HostVm, ...] = ()  # VMs that its agent has given up.
    handed_over: tuple[str, ...] = ()  # What it could not mend itself.
    may_stay: tuple[str, ...] = ()  # Those of it for which no VM has to leave.
    size: HostSize | None = None
    can_start: bool = False  # Its agent takes orders to start a VM of another host.
    can_move: bool = False  # And to move one while it runs.
    mode: HostMode = HostMode.REPORT
    devices: tuple[str, ...] = ()  # Its fence agents, first one first.
    dump_wait_s: int = 0  # It is left alone for so long when its kernel panicked.
    fencing: "Fencing | None" = None
    why_nothing: str = ""  # Why its VMs do not start elsewhere, as their alarms say.

    def has_heard(self, fact: VmsSet) -> bool:
        """Whether its agent has said just that already."""
        known = (self.told_boot, self.vms_boot, self.vms, self.given_up)
        unmended = (self.handed_over, self.may_stay) == (fact.handed_over, fact.may_stay)
        return unmended and known == (fact.boot, fact.boot, fact.vms, fact.given_up)

    def hear(self, fact: VmsSet) -> None:
        """Believe all that its agent says of it."""
        self.vms, self.vms_boot, self.given_up = fact.vms, fact.boot, fact.given_up
        self.told_boot, self.handed_over = fact.boot, fact.handed_over
        self.may_stay = fact.may_stay

    @property
    def to_leave_for(self) -> tuple[str, ...]:
        """What it could not mend itself, and for which its VMs should leave."""
        return tuple(one for one in self.handed_over if one not in self.may_stay)

    @property
    def place(self) -> dict[str, str]:
        return {"rack": self.rack, "switch": self.switch, "zone": self.zone}

    @property
    def pulses(self) -> bool:
        """Silent is also who was to stop, whom a person has dealt with, or who was never heard."""
        return self.state in HEARD and self.awaited is None


class Fencing(Struct, kw_only=True):
    """What this leader does about a host's fence, beside what the store says of it.

    `asked_at` is when the newest commit was asked for; `failed` what the devices said last, and
    `failed_at` when they had failed first.
    """

    number: int = 0
    asked_at: Instant | None = None
    is_switching: bool = False
    tries: int = 0
    again_at: Instant | None = None
    proof: DeathProof | None = None
    proven_at: Instant | None = None
    failed: str = ""
    failed_at: Instant | None = None
    held: str = ""  # Why nothing is done now, as it was said last.


class Promise(Struct, kw_only=True):
    """A protected VM of the site; `needs` is None while its definition is not known."""

    protection: Protection
    needs: VmNeeds | None = None


class Starting(Struct, kw_only=True):
    """What this leader does about a VM that is to start elsewhere, beside what the store says.

    `target` is where it was asked to be placed, until the store says so; `refused` are hosts that
    gave it back, with what they said; `obstacle` why it is nowhere placed, or not told to start;
    `unanswered` what kept the target from answering, until it does. Once many have been tried it
    rests until `rests_until`, or until a host could take it that is not of `able_then`.
    """

    asked_at: Instant | None = None
    target: str = ""
    is_asked: bool = False  # The target was told, and has not answered yet.
    again_at: Instant | None = None
    refused: dict[str, str] = field(default_factory=dict)
    obstacle: str = ""
    unanswered: str = ""
    rests_until: Instant | None = None
    able_then: list[str] = field(default_factory=list)  # Hosts that could, each with its boot.


class Moving(Struct, kw_only=True):
    """What this leader does about a VM that migrates, or that a drain wants away, beside what the
    store says. `refusal` is why an end takes no part; `stuck` why a drain leaves it where it is.
    """

    number: int = 0
    asked_at: Instant | None = None
    is_told: bool = False  # Its ends were told to move it, or an earlier leader may have told them.
    is_asking: bool = False  # They were asked, and have not answered yet.
    again_at: Instant | None = None
    refusal: str = ""
    source: End = End.UNKNOWN
    target: End = End.UNKNOWN
    both_ran: int = 0  # In so many looks in a row.
    pause_ms: int | None = None
    stuck: str = ""
    tries_again_at: Instant | None = None


class Loss(Struct, kw_only=True):
    """Hosts that fell silent together: what they share, as an id and for people."""

    key: str
    shared: str
    name: str
    hosts: list[str]
    fault_at: Instant
    detected_at: Instant


def loss_of(record: HostRecord) -> FaultRaised | None:
    """Why its VMs are lost; there is one such fault at most."""
    return next((one for one in record.faults.values() if one.effect in LOSS), None)


def boots_of(fence: Fence) -> tuple[str, ...]:
    """The boots that its proof covers, or would."""
    return (fence.boot, *fence.earlier)


def is_of_lease(fence: Fence) -> bool:
    """Whether a lease that ran out is all that is proven: its host may live."""
    return fence.proof is not None and fence.proof.kind is ProofKind.WATCHDOG


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
    led_at: Instant = Instant(0)  # Since when it leads, and since when it runs.
    began_at: Instant = Instant(0)
    promises: dict[str, Promise] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    fences: dict[str, Fence] = field(default_factory=dict)
    leases: dict[str, HostLease] = field(default_factory=dict)
    recoveries: dict[str, Recovery] = field(default_factory=dict)
    starting: dict[str, Starting] = field(default_factory=dict)
    migrations: dict[str, Migration] = field(default_factory=dict)
    drains: dict[str, Drain] = field(default_factory=dict)
    predictions: dict[str, Prediction] = field(default_factory=dict)
    moving: dict[str, Moving] = field(default_factory=dict)
    adrift: dict[str, Instant] = field(default_factory=dict)  # VMs that nobody has; since when.
    disarm: Disarm | None = None
    disarmed_until: Instant | None = None
    fenced_at: dict[str, Instant] = field(default_factory=dict)  # When, as seen from here.
    storm_at: dict[str, Instant] = field(
        default_factory=dict
    )  # Since when it counts for the brake.
    fence_after_ms: int = timing.FENCE_AFTER_MS  # As the settings say.
    brake_percent: int = timing.BRAKE_PERCENT
    hand_over: HandOver = HandOver.REPORT
    acts_at: Instant | None = None  # When it must be looked again at what is under way.
    brake: str = ""  # Why nothing is done now, for the whole site.
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

    def group_of(self, protection: Protection) -> Group:
        return self.groups.get(protection.group, DEFAULT_GROUP)

    def tie_of(self, promise: Promise) -> str:
        """Why no other host could start it, by its definition and its policy; or empty."""
        protection, needs = promise.protection, promise.needs
        group = self.group_of(protection)
        return rebuilding.obstacle(needs, protection, group) if needs is not None else ""

    def death_of(self, record: HostRecord) -> Fence | None:
        """The fence that proved the boot dead in which this host was known last."""
        fence = self._proven(record)
        return None if fence is None or is_of_lease(fence) else fence

    def lapse_of(self, record: HostRecord) -> Fence | None:
        """The fence that proved no more of that boot than the end of what relied on its lease."""
        fence = self._proven(record)
        return fence if fence is not None and is_of_lease(fence) else None

    def _proven(self, record: HostRecord) -> Fence | None:
        fence = self.fences.get(record.host)
        is_proven = fence is not None and fence.step is FenceStep.OFF
        return fence if is_proven and fence and record.boot in boots_of(fence) else None

    def is_refuted(self, record: HostRecord, fence: Fence) -> bool:
        """It pulses since it was to be switched off, in the boot that the proof is about."""
        was_heard = record.heard_at > self.fenced_at.get(record.host, self.now)
        return was_heard and record.pulses and record.boot in boots_of(fence)

    def is_contradicted(self, record: HostRecord) -> bool:
        """It was proven dead, and pulses in the boot that is over: the proof was wrong."""
        fence = self.death_of(record)
        return fence is not None and self.is_refuted(record, fence)

    def recovery_ahead(self, promise: Promise) -> Recovery | None:
        """One that gives the VM to another host: the store tells of the tenure in a moment."""
        recovery = self.recoveries.get(promise.protection.vm)
        if recovery is None or recovery.generation <= promise.protection.tenure.generation:
            return None
        return recovery

    def recovery_of(self, promise: Promise) -> Recovery | None:
        """The recovery that gave a VM to its present holder, if one did."""
        recovery = self.recoveries.get(promise.protection.vm)
        tenure = promise.protection.tenure
        if recovery is None or recovery.generation != tenure.generation:
            return None
        return recovery if recovery.target == tenure.host else None

    def look_at(self, at: Instant) -> None:
        """What is under way must be looked at again then, at the latest."""
        self.acts_at = at if self.acts_at is None else min(self.acts_at, at)

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
