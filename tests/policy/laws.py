"""The laws of policy, checked at the moment an action is emitted, from the inputs alone.

The keeper of the laws believes nothing that policy believes: it follows the inputs with a model of
its own, and compares each action with that. Stories, swarm and random sequences all go through it.
"""

from dataclasses import dataclass, field

from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts.actions import (
    Action,
    EndVm,
    ProveGone,
    Report,
    RestartElsewhere,
    RestartHere,
    TellTenure,
)
from holdfast.facts.alarms import AlarmState
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.promises import DEFAULT_GROUP, Group, Owner, Protection
from holdfast.facts.subjects import Incarnation, SubjectKind
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.facts.verdicts import (
    Certainty,
    Effect,
    FaultRaised,
    StopWanted,
    VmProcessEnded,
    VmRan,
)
from holdfast.policy.decide import Decider, Input
from holdfast.policy.promise import may_start
from holdfast.policy.vm_states import VmState


class LawBroken(AssertionError):
    """Which law, by which action or state, after which input."""


@dataclass
class _Vm:
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


class Lawful:
    """A Decider whose every step is watched. `steps` and `restarts` count, so that a test of
    nothing is seen as one."""

    def __init__(self, decider: Decider | None = None) -> None:
        self.decider = decider or Decider()
        self.steps = self.restarts = self.ends = self.closed = 0
        self.refused = self.acted = 0
        self._vms: dict[str, _Vm] = {}
        self._groups: dict[str, Group] = {}
        self._revisions: dict[str, int] = {}
        self._boot = ""
        self._disarmed_until: Instant | None = None
        self._now = Instant(0)
        self._was_open: set[str] = set()

    def deadline(self) -> Instant | None:
        return self.decider.deadline()

    def step(self, fact: Input) -> list[Action]:
        self.steps += 1
        self._follow(fact)
        actions = self.decider.step(fact)
        for action in actions:
            self._judge(action, fact)
        self._judge_order(actions, fact)
        self._judge_world(fact)
        return actions

    def _vm(self, vm: str) -> _Vm:
        return self._vms.setdefault(vm, _Vm())

    def _group(self, vm: _Vm) -> Group:
        name = vm.protection.group if vm.protection else ""
        return self._groups.get(name, DEFAULT_GROUP)

    # What is true, as far as the inputs tell.

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

    # What must hold.

    def _judge(self, action: Action, fact: Input) -> None:
        match action:
            case RestartHere():
                self.restarts += 1
                self._judge_restart(action, fact)
            case EndVm():
                self.ends += 1
                self._judge_end(action, fact)
            case ProveGone():
                self._vm(action.life.vm).proofs_asked.add(action.life.key)
            case Report():
                self._judge_revision(action, fact)
            case TellTenure():
                self._judge_tenure(action, fact)
            case RestartElsewhere():
                raise LawBroken(f"nothing may be restarted elsewhere yet; after {fact}")
            case _:
                pass

    def _judge_restart(self, action: RestartHere, fact: Input) -> None:
        vm, proof, tenure = self._vm(action.tenure.vm), action.proof, action.tenure
        life, group = vm.life, self._group(vm)
        window_ns = group.restarts_window_s * NS_PER_S
        recent = [at for at in vm.restarts if self._now - at < window_ns]
        highest = vm.protection.tenure.generation if vm.protection else -1
        broken = {
            "a restart needs a proof of this very VM": proof.vm != tenure.vm,
            "a restart needs a proof of this boot": proof.boot != self._boot,
            "the proof is about the newest life": life is None or proof.incarnation != life.key,
            "the last life was seen to end": life is None or life.key not in vm.ended,
            "never two starts in flight": vm.in_flight > 0,
            "never more restarts than the budget": len(recent) >= group.restarts,
            "a start that may yet happen is not repeated": vm.unknown_at is not None,
            "an end that nobody can explain is a person's": not life
            or life.key not in vm.explained,
            "the tenure says wanted running": tenure.wanted is not Wanted.RUNNING,
            "the tenure says held": tenure.state is not TenureState.HELD,
            "the tenure is of this boot": tenure.boot != self._boot,
            "the tenure is of the newest generation": tenure.generation != highest,
            "what is outranked is never started": tenure.generation <= vm.outranked,
            **self._forbidden(vm),
        }
        self._complain(broken, action, fact)
        vm.in_flight += 1
        vm.restarts.append(self._now)

    def act(self, asked: RestartHere) -> str:
        """The executor's question right before a start, and what must have been answered."""
        vm, said = self._vm(asked.tenure.vm), may_start(self.decider.world, asked)
        if said:
            self.refused += 1
            return said
        life = vm.life
        broken = {
            "a start is acted on while it is in flight": vm.in_flight != 1,
            "a start is acted on with its own proof": not life
            or asked.proof.incarnation != life.key
            or life.key not in vm.ended,
            "a start is acted on in its boot": asked.proof.boot != self._boot,
            "what is outranked is never started": asked.tenure.generation <= vm.outranked,
            **self._forbidden(vm),
        }
        self._complain(broken, asked, told.Woke(at=self._now))
        self.acted += 1
        return ""

    def _judge_tenure(self, action: TellTenure, fact: Input) -> None:
        vm, tenure = self._vm(action.tenure.vm), action.tenure
        known = vm.told.get(tenure.generation, -1)
        is_held = tenure.state is TenureState.HELD
        broken = {
            "what moved away is not held by a wish": vm.moved_away and is_held,
            "the revision of a tenure rises": tenure.revision <= known,
        }
        self._complain(broken, action, fact)
        vm.told[tenure.generation] = tenure.revision

    def _judge_end(self, action: EndVm, fact: Input) -> None:
        vm = self._vm(action.life.vm)
        failed = {
            "only what failed is ended": action.life.key not in vm.failed,
            "only a copy is ended by force": action.is_forced,
            **self._forbidden(vm),
        }
        broken = {
            "only the newest life is ended": action.life != vm.life,
            "what has ended is not ended again": action.life.key in vm.ended,
            **({} if vm.must_end else failed),
            "a copy is not of our own tenure": vm.must_end and vm.protection is not None,
        }
        self._complain(broken, action, fact)
        vm.ended_by_us.add(action.life.key)

    def _forbidden(self, vm: _Vm) -> dict[str, bool]:
        return {
            "only what is protected": vm.protection is None,
            "only what holdfast recovers": self._group(vm).owner is not Owner.HOLDFAST,
            "nothing while disarmed": self._disarmed_until is not None,
            "what was stopped on purpose stays so": vm.wanted_stopped,
            "what moved away runs elsewhere": vm.moved_away,
        }

    def _judge_revision(self, action: Report, fact: Input) -> None:
        alarm = action.alarm
        known = self._revisions.get(alarm.key, 0)
        is_repeat = isinstance(fact, told.Restarted) and alarm.revision == known
        if alarm.revision <= known and not is_repeat:
            raise LawBroken(f"the revision of {alarm.key} does not rise; after {fact}")
        if action.is_repeat is not is_repeat:
            raise LawBroken(f"{alarm.key} is told once more, or is not, and says otherwise")
        self._revisions[alarm.key] = alarm.revision

    def _judge_order(self, actions: list[Action], fact: Input) -> None:
        if not isinstance(fact, FaultRaised):
            return
        raised = [
            index
            for index, action in enumerate(actions)
            if isinstance(action, Report) and action.alarm.state is not AlarmState.CLEARED
        ]
        if raised and raised[0] != 0:
            raise LawBroken(f"report before recovery: {actions[0]} came first; after {fact}")
        if fact.effect is Effect.GONE and actions and not raised:
            raise LawBroken(f"nothing is done about a fault that is not reported; after {fact}")

    def _judge_world(self, fact: Input) -> None:
        world = self.decider.world
        if world.defects:
            raise LawBroken(f"an impossible step: {world.newest_defect}; after {fact}")
        for incident in world.incidents.values():
            is_open = incident.state is IncidentState.OPEN
            if is_open and world.vms[incident.vm].incident != incident.id:
                raise LawBroken(f"{incident.id} is open and nobody knows it; after {fact}")
        open_ones = {i.id for i in world.incidents.values() if i.state is IncidentState.OPEN}
        for alarm in world.alarms.values():
            if alarm.incident and alarm.incident not in open_ones:
                raise LawBroken(f"{alarm.key} outlives its incident; after {fact}")
        for record in world.vms.values():
            if record.wake_at is not None and not record.incident and not record.is_gone:
                raise LawBroken(f"{record.name} waits for nothing; after {fact}")
            if record.incident and record.incident not in open_ones:
                raise LawBroken(f"{record.name} has a closed incident; after {fact}")
        due = self.deadline()
        if isinstance(fact, told.Woke) and due is not None and due <= self._now:
            raise LawBroken(f"woken, and wants to be woken at once again; after {fact}")
        self.closed += len(self._was_open - open_ones)
        self._was_open = open_ones

    @staticmethod
    def _complain(broken: dict[str, bool], action: Action, fact: Input) -> None:
        laws = [law for law, is_broken in broken.items() if is_broken]
        if laws:
            raise LawBroken(f"{'; '.join(laws)}: {action}\nafter {fact}")
