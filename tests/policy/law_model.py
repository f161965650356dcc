"""What is true as far as the inputs of policy tell: the model that its laws are judged by."""

from dataclasses import dataclass, field

from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.instants import Instant
from holdfast.facts.promises import DEFAULT_GROUP, Group, Owner, Protection
from holdfast.facts.subjects import Incarnation, SubjectKind
from holdfast.facts.verdicts import (
    Certainty,
    Effect,
    FaultRaised,
    StopWanted,
    VmProcessEnded,
    VmRan,
)
from holdfast.policy import ordered
from holdfast.policy.decide import Decider, Input
from holdfast.policy.vm_states import VmState


@dataclass
class VmModel:
    life: Incarnation | None = None
    ended: set[str] = field(default_factory=set)
    ended_by_us: set[str] = field(default_factory=set)
    proofs_asked: set[str] = field(default_factory=set)
    protection: Protection | None = None
    wanted_stopped: bool = False
    moved_away: bool = False
    explained: set[str] = field(default_factory=set)  # Lives whose end is known, or asked over.
    unknown_at: Instant | None = None
    told: dict[int, int] = field(default_factory=dict)  # Of a tenure: generation to revision.
    in_flight: int = 0
    restarts: list[Instant] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    outranked: int = 0  # The highest generation that is not this host's.
    must_end: bool = False  # Its tenure was another's, or taken back, while it may have run here.


class Model:
    """It follows each input before policy does."""

    def __init__(self, decider: Decider | None = None) -> None:
        self.decider = decider or Decider()
        self._vms: dict[str, VmModel] = {}
        self._groups: dict[str, Group] = {}
        self._boot = ""
        self._disarmed_until: Instant | None = None
        self._now = Instant(0)

    def _vm(self, vm: str) -> VmModel:
        return self._vms.setdefault(vm, VmModel())

    def _group(self, vm: VmModel) -> Group:
        name = vm.protection.group if vm.protection else ""
        return self._groups.get(name, DEFAULT_GROUP)

    def _forbidden(self, vm: VmModel) -> dict[str, bool]:
        return {
            "only what is protected": vm.protection is None,
            "only what holdfast recovers": self._group(vm).owner is not Owner.HOLDFAST,
            "nothing while disarmed": self._disarmed_until is not None,
            "what was stopped on purpose stays so": vm.wanted_stopped,
            "what moved away runs elsewhere": vm.moved_away,
        }

    def _follow(self, fact: Input) -> None:
        self._follow_time(fact)
        match fact:
            case VmRan():
                self._begin(fact.life)
            case FaultRaised() if fact.life is not None and fact.subject.kind is SubjectKind.VM:
                if fact.condition in BY_ID:
                    self._begin(fact.life)
                    self._vm(fact.life.vm).failed.add(fact.life.key)
                    is_down = fact.effect in (Effect.GONE, Effect.STUCK)
                    if is_down and fact.certainty is Certainty.CERTAIN:
                        self._vm(fact.life.vm).explained.add(fact.life.key)
            case StopWanted():
                self._begin(fact.life)
                vm = self._vm(fact.life.vm)
                was_ours = fact.life.key in vm.ended_by_us
                if vm.life == fact.life and not was_ours and not fact.moved_away:
                    vm.wanted_stopped = True
                vm.moved_away |= vm.life == fact.life and fact.moved_away
            case VmProcessEnded():
                if self._vm(fact.life.vm).life == fact.life:
                    self._vm(fact.life.vm).ended.add(fact.life.key)
            case came.GoneProven() | came.VmStarted() | came.StartFailed() | came.StartUnknown():
                self._follow_outcome(fact)
            case came.AnswerOverdue():
                self._vm(fact.life.vm).failed.add(fact.life.key)
            case told.Told():
                self._follow_order(fact)
            case _:
                pass

    def _follow_time(self, fact: Input) -> None:
        at = fact.detected_at if isinstance(fact, FaultRaised) else fact.at
        if isinstance(fact, told.Booted):
            is_new_boot = self._boot not in ("", fact.boot)
            for vm in self._vms.values():  # What ended and was not judged is to be found again.
                if is_new_boot and vm.life and vm.life.key not in vm.ended | vm.failed:
                    vm.explained.add(vm.life.key)  # It ran until its host went down.
                vm.ended.clear()
                vm.in_flight, vm.unknown_at = 0, None  # Whoever was to start it is no more.
            if is_new_boot:
                for vm in self._vms.values():
                    vm.restarts, vm.in_flight = [], 0
                if self._disarmed_until is not None:
                    self._disarmed_until = Instant(at + self._disarmed_until - self._now)
                self._now = at
            self._boot = fact.boot
        self._now = max(self._now, at)

    def _follow_outcome(
        self, fact: came.GoneProven | came.VmStarted | came.StartFailed | came.StartUnknown
    ) -> None:
        if isinstance(fact, came.VmStarted):
            self._begin(fact.life)
        incident = self.decider.world.incidents.get(fact.incident)
        if incident is None:
            return
        vm = self._vm(incident.vm)
        if isinstance(fact, came.GoneProven):
            if vm.unknown_at is not None and fact.proof.at > vm.unknown_at:
                vm.in_flight, vm.unknown_at = 0, None
            is_its = vm.life is not None and vm.life.key == fact.proof.incarnation
            if is_its and fact.proof.incarnation in vm.proofs_asked:
                vm.ended.add(fact.proof.incarnation)
            record = self.decider.world.vms[incident.vm]
            is_asked = record.incident == fact.incident and record.state is VmState.PROVING
            if is_its and is_asked and fact.proof.boot == self._boot and not vm.in_flight:
                vm.must_end = False
            can_be_wish = is_its and not record.is_ordered and not record.is_copy
            if fact.wanted and can_be_wish and fact.proof.incarnation not in vm.ended_by_us:
                vm.wanted_stopped |= record.incident == fact.incident and not record.runs
        elif self.decider.world.vms[incident.vm].start_in_flight == fact.incident:
            if isinstance(fact, came.StartUnknown):
                vm.unknown_at = self._now
                return
            is_over = isinstance(fact, came.StartFailed) and not fact.is_final
            if is_over and vm.restarts and any(self._forbidden(vm).values()):
                vm.restarts.pop()  # It never began.
            vm.in_flight, vm.unknown_at = 0, None

    def _follow_order(self, fact: told.Told) -> None:
        match fact:
            case told.StartOrdered() | told.StartRefused() | told.CopyOutranked():
                self._follow_leader(fact)
            case told.ProtectionGranted():
                self._follow_grant(fact.protection)
            case told.ProtectionEnded():
                self._vm(fact.vm).protection = None
                self._vm(fact.vm).told.clear()  # A promise made anew counts anew.
            case told.GroupSet():
                self._groups[fact.group.name] = fact.group
            case told.GroupForgotten():
                self._groups.pop(fact.name, None)
            case told.Restarted():
                for vm in self._vms.values():
                    vm.in_flight, vm.unknown_at = 0, None
            case told.Disarmed() | told.Armed() | told.Woke():
                self._follow_disarm(fact)
            case told.RecoveryAsked():
                vm = self._vm(fact.vm)
                record = self.decider.world.vms.get(fact.vm)
                if record is not None and record.incident:
                    vm.wanted_stopped, vm.restarts = False, []
                    vm.explained |= {vm.life.key} if vm.life else set()
            case told.IncidentSettled():
                self._follow_settled(fact)
            case _:
                pass

    def _follow_grant(self, granted: Protection) -> None:
        vm = self._vm(granted.vm)
        held, record = vm.protection, self.decider.world.vms.get(granted.vm)
        is_copy = record is not None and record.is_copy
        if is_copy or granted.tenure.generation <= vm.outranked:
            return
        vm.must_end = False
        if held is None or held.tenure.generation <= granted.tenure.generation:
            vm.protection = granted
        if held is None and vm.life is not None and vm.life.key in vm.failed:
            vm.wanted_stopped = False  # It failed, and is promised from now on.

    def _follow_leader(
        self, fact: told.StartOrdered | told.StartRefused | told.CopyOutranked
    ) -> None:
        match fact:
            case told.StartOrdered():
                self._follow_start_order(fact)
            case told.StartRefused():
                self._vm(fact.vm).outranked = max(self._vm(fact.vm).outranked, fact.generation)
            case told.CopyOutranked():
                self._follow_outranked(fact)

    def _follow_start_order(self, order: told.StartOrdered) -> None:
        """Policy may refuse it for more reasons; then it starts nothing, which breaks no law."""
        tenure = order.protection.tenure
        vm = self._vm(tenure.vm)
        held = vm.protection.tenure.generation if vm.protection else 0
        if held == tenure.generation and tenure.boot == self._boot:
            return
        is_newest = tenure.generation > max(held, vm.outranked)
        record = self.decider.world.vms.get(tenure.vm)
        is_copy = record is not None and record.is_copy
        is_held_up = is_copy or self._disarmed_until is not None
        is_held_up |= bool(ordered.refusal(self.decider.world, order.protection))
        if not is_newest or tenure.boot != self._boot or is_held_up:
            vm.outranked = max(vm.outranked, tenure.generation)
            return
        vm.protection = order.protection
        vm.wanted_stopped = vm.moved_away = vm.must_end = False
        vm.told.clear()
        if vm.life is None or vm.life.boot != self._boot:
            elsewhere = {"boot": order.was, "pid": 0, "started_ticks": tenure.generation}
            vm.life = Incarnation(vm=tenure.vm, **elsewhere)  # type: ignore[arg-type]
        vm.explained.add(vm.life.key)

    def _follow_outranked(self, fact: told.CopyOutranked) -> None:
        vm = self._vm(fact.vm)
        held = vm.protection
        if held is not None and held.tenure.generation > fact.generation:
            return
        vm.outranked = max(vm.outranked, fact.generation)
        vm.must_end |= held is not None
        vm.protection = None

    def _follow_settled(self, fact: told.IncidentSettled) -> None:
        for record in self.decider.world.vms.values():
            is_its = record.incident and record.incident == fact.incident
            if is_its and not record.runs:
                self._vm(record.vm).wanted_stopped = True

    def _follow_disarm(self, fact: told.Disarmed | told.Armed | told.Woke) -> None:
        is_over = self._disarmed_until is not None and self._disarmed_until <= self._now
        if isinstance(fact, told.Disarmed):
            self._disarmed_until = fact.until
        elif isinstance(fact, told.Armed) or is_over:
            self._disarmed_until = None

    def _begin(self, life: Incarnation) -> None:
        vm = self._vm(life.vm)
        if vm.life is not None and self._rank(life) <= self._rank(vm.life):
            return
        if vm.life is not None and life.boot not in (vm.life.boot, self._boot):
            return  # Of a boot that is over.
        vm.life, vm.wanted_stopped, vm.moved_away = life, False, False
        if vm.unknown_at is not None:
            vm.in_flight, vm.unknown_at = 0, None

    def _rank(self, life: Incarnation) -> tuple[bool, int]:
        return life.boot == self._boot, life.started_ticks
