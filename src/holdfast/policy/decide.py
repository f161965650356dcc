"""The door of the policy room: one input in, the actions it calls for out.

`Decider.step` is a function of the world and the input alone: the journal holds every input in the
order it was consumed, so replaying it gives the same actions to the letter.
"""

from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action, TellIncident
from holdfast.facts.commands import Command, Wake
from holdfast.facts.instants import Instant
from holdfast.facts.outcomes import Outcome
from holdfast.facts.subjects import SubjectKind
from holdfast.facts.tenure import Wanted
from holdfast.facts.verdicts import (
    Effect,
    FaultCleared,
    FaultRaised,
    StopWanted,
    Verdict,
    VmProcessEnded,
    VmRan,
)
from holdfast.policy import alarms, case_files, orders, recovery
from holdfast.policy.vm_states import VmState
from holdfast.policy.world import VmRecord, World

Input = Verdict | Outcome | Command | Wake


class Decider:
    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()

    def step(self, fact: Input) -> list[Action]:
        """Consume one input. Time never runs backwards, whatever the input says."""
        world = self.world
        world.now = max(world.now, _instant(fact))
        match fact:
            case FaultRaised():
                actions = self._on_raised(fact)
            case FaultCleared():
                actions = self._on_cleared(fact)
            case StopWanted():
                actions = self._on_stop(fact)
            case VmRan():
                actions = self._on_ran(fact)
            case VmProcessEnded():
                actions = self._on_ended(fact)
            case told.Woke() | told.Restarted() | told.Booted():
                actions = orders.wake(world, fact)
            case _ if isinstance(fact, told.Told):
                actions = orders.obey(world, fact)
            case _:
                actions = self._on_outcome(fact)
        world.forget_old()
        return actions

    def deadline(self) -> Instant | None:
        """When `Woke` must next be given, if ever."""
        due = [r.wake_at for r in self.world.vms.values() if r.wake_at is not None]
        if self.world.disarmed_until is not None:
            due.append(self.world.disarmed_until)
        return min(due, default=None)

    def _on_raised(self, fault: FaultRaised) -> list[Action]:
        world = self.world
        if fault.subject.kind is not SubjectKind.VM:
            return list(alarms.raise_or_change(world, fault))
        record = world.record(fault.subject.id, fault.subject.name)
        record.life = record.life or fault.life
        if record.state is VmState.ENDING:
            return []  # The end that we asked for.
        is_known = alarms.key_of(world, fault) in world.alarms
        incident = case_files.open_or_join(world, record, fault)
        reports: list[Action] = list(alarms.raise_or_change(world, fault, incident))
        reports += [TellIncident(incident=incident)] if reports else []
        if is_known and record.state is not VmState.UNEXPLAINED:
            return reports
        if fault.effect in (Effect.DEGRADED, Effect.DOOMED):
            return [*reports, *recovery.watch(world, record)]
        puzzled = fault.condition == "vm-stopped-unexplained"
        is_live = fault.effect is Effect.STUCK
        return [*reports, *recovery.begin(world, record, is_live=is_live, puzzled=puzzled)]

    def _on_cleared(self, fault: FaultCleared) -> list[Action]:
        world = self.world
        key = alarms.key_of(world, fault)
        known = world.alarms.get(key)
        if known is None:
            return []
        reports: list[Action] = list(alarms.clear(world, key, fault.reason))
        record = world.vms.get(fault.subject.id)
        if record is None or record.incident != known.incident or not known.incident:
            return reports
        return [*reports, *recovery.mended(world, record, fault)]

    def _on_stop(self, stop: StopWanted) -> list[Action]:
        record = self.world.record(stop.life.vm)
        if record.life is not None and record.life != stop.life and not record.is_gone:
            return []  # A newer life runs: this is about an old one.
        record.life = record.life or stop.life
        return recovery.stop_wanted(self.world, record, stop.reason)

    def _on_ran(self, ran: VmRan) -> list[Action]:
        record = self.world.record(ran.life.vm, ran.name)
        if record.life == ran.life and record.state is not VmState.UNKNOWN:
            return []
        record.life = ran.life
        actions = recovery.ran(self.world, record)
        return [*actions, *recovery.want(self.world, record, Wanted.RUNNING, "it runs")]

    def _on_ended(self, ended: VmProcessEnded) -> list[Action]:
        record = self.world.vms.get(ended.life.vm)
        if record is None or record.life != ended.life or record.is_gone:
            return []
        return recovery.process_gone(self.world, record)

    def _on_outcome(self, outcome: Outcome) -> list[Action]:
        world = self.world
        record = self._of_incident(outcome.incident)
        if isinstance(outcome, came.LastWordsCaptured | came.LastWordsFailed):
            return recovery.evidence_in(world, record, outcome)
        if record is None:
            return []
        match outcome:
            case came.GoneProven() if outcome.wanted and not record.is_live_fault:
                return recovery.stop_wanted(world, record, outcome.wanted)
            case came.GoneProven():
                return recovery.proven(world, record, outcome.proof)
            case came.GoneNotProven():
                return recovery.not_proven(world, record, outcome.reason)
            case came.VmEnded():
                return []  # The process's own end is the sign that counts.
            case came.VmNotEnded():
                return recovery.not_ended(world, record, outcome.reason)
            case came.VmStarted():
                return self._on_ran(VmRan(life=outcome.life, name=record.name, at=outcome.at))
            case came.StartFailed():
                final = outcome.is_final
                return recovery.start_failed(world, record, outcome.reason, is_final=final)
            case came.VmAnswered() if outcome.life == record.life:
                return recovery.answered(world, record, outcome.how, verified=outcome.verified)
            case came.AnswerOverdue() if outcome.life == record.life:
                return recovery.overdue(world, record, outcome.reason)
            case _:
                return []  # An answer about a life that is over.

    def _of_incident(self, incident: str) -> VmRecord | None:
        known = self.world.incidents.get(incident)
        record = self.world.vms.get(known.vm) if known else None
        return record if record is not None and record.incident == incident else None


def _instant(fact: Input) -> Instant:
    return fact.detected_at if isinstance(fact, FaultRaised) else fact.at
