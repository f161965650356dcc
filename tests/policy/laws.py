"""The laws of policy, checked at the moment an action is emitted, from the inputs alone.

The keeper of the laws believes nothing that policy believes: it follows the inputs with a model of
its own, and compares each action with that. Stories, swarm and random sequences all go through it.
"""

from holdfast.facts import commands as told
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
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.facts.verdicts import (
    Effect,
    FaultRaised,
)
from holdfast.policy.decide import Decider, Input
from holdfast.policy.promise import may_start
from tests.policy.law_model import Model


class LawBroken(AssertionError):
    """Which law, by which action or state, after which input."""


class Lawful(Model):
    """A Decider whose every step is watched. `steps` and `restarts` count, so that a test of
    nothing is seen as one."""

    def __init__(self, decider: Decider | None = None) -> None:
        super().__init__(decider)
        self.steps = self.restarts = self.ends = self.closed = 0
        self.refused = self.acted = 0
        self.copies_ended = self.ordered_starts = 0
        self._revisions: dict[str, int] = {}
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
        self.ordered_starts += self.decider.world.vms[tenure.vm].is_ordered
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
        self.copies_ended += vm.must_end
        vm.ended_by_us.add(action.life.key)

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
        mended = {mend.incident for mend in world.mends.open.values()}
        for incident in world.incidents.values():
            is_open = incident.state is IncidentState.OPEN
            record = world.vms.get(incident.vm)
            is_known = incident.id in mended or (record and record.incident == incident.id)
            if is_open and not is_known:
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
