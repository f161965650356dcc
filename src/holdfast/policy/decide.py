"""The door of the policy room: one input in, the actions it calls for out.

`Decider.step` is a function of the world and the input alone: the journal holds every input in the
order it was consumed, so replaying it gives the same actions to the letter.
"""

from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action
from holdfast.facts.commands import Command, Wake
from holdfast.facts.instants import Instant
from holdfast.facts.outcomes import Outcome
from holdfast.facts.verdicts import (
    FaultCleared,
    FaultRaised,
    HostHeard,
    StopWanted,
    Verdict,
    VmProcessEnded,
    VmRan,
)
from holdfast.policy import alarms, faults, ladder, orders, recovery, service, stages
from holdfast.policy.world import VmRecord, World

Input = Verdict | Outcome | Command | Wake


class Decider:
    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()

    def step(self, fact: Input) -> list[Action]:
        """Consume one input. Within a boot time never runs backwards, whatever the input says."""
        world = self.world
        is_new_boot = isinstance(fact, told.Booted) and world.boot not in ("", fact.boot)
        if not is_new_boot:
            world.now = max(world.now, _instant(fact))
        match fact:
            case FaultRaised():
                actions = faults.raised(world, fact)
            case FaultCleared():
                actions = self._on_cleared(fact)
            case StopWanted():
                actions = self._on_stop(fact)
            case VmRan():
                actions = self._on_ran(fact)
            case VmProcessEnded():
                actions = self._on_ended(fact)
            case HostHeard():
                actions = []  # Hosts are the controllers' to judge.
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
        mending = ladder.deadline(self.world)
        if mending is not None:
            due.append(mending)
        return min(due, default=None)

    def _on_cleared(self, fault: FaultCleared) -> list[Action]:
        world = self.world
        mended = ladder.cleared(world, fault)
        if mended is not None:
            return mended
        key = alarms.key_of(world, fault)
        known = world.alarms.get(key)
        if known is None:
            return []
        reports: list[Action] = list(alarms.clear(world, key, fault.reason))
        record = world.vms.get(fault.subject.id)
        if record is None or record.incident != known.incident or not known.incident:
            return reports
        return [*reports, *service.mended(world, record, fault)]

    def _on_stop(self, stop: StopWanted) -> list[Action]:
        record = self.world.record(stop.life.vm)
        if self.world.is_past(stop.life, record):
            return []  # It has lived on since: this is about an earlier life.
        if record.ended_by_us == stop.life.key and not stop.moved_away:
            return []  # libvirt calls our own end of it wanted.
        if record.life is None:
            record.life = stop.life
        elif record.life != stop.life:
            stages.begin_life(self.world, record, stop.life)
        elif record.is_copy and not stop.moved_away:
            return []  # That it ends is what is wanted of it: its last sign is awaited.
        return service.stop_wanted(self.world, record, stop.reason, moved_away=stop.moved_away)

    def _on_ran(self, ran: VmRan) -> list[Action]:
        record = self.world.record(ran.life.vm, ran.name)
        if record.life == ran.life or self.world.is_past(ran.life, record):
            return []
        return service.ran(self.world, record, ran.life)

    def _on_ended(self, ended: VmProcessEnded) -> list[Action]:
        record = self.world.vms.get(ended.life.vm)
        if record is None or record.life != ended.life or record.is_gone:
            return []
        return recovery.process_gone(self.world, record)

    def _on_outcome(self, outcome: Outcome) -> list[Action]:
        world = self.world
        if isinstance(outcome, came.StepDone | came.StepFailed):
            return ladder.step_ended(world, outcome)
        record = self._of_incident(outcome.incident)
        if isinstance(outcome, came.LastWordsCaptured | came.LastWordsFailed):
            return recovery.evidence_in(world, record, outcome)
        if isinstance(outcome, came.VmStarted | came.StartFailed | came.StartUnknown):
            return self._on_start(outcome, record)
        if record is None:
            return []
        match outcome:
            case came.GoneProven():
                return self._on_proof(outcome, record)
            case came.GoneNotProven():
                return recovery.not_proven(world, record, outcome.reason)
            case came.VmEnded():
                return recovery.ended(world, record)
            case came.VmNotEnded():
                return recovery.not_ended(world, record, outcome.reason)
            case came.VmAnswered() if outcome.life == record.life:
                return service.answered(world, record, outcome.how, verified=outcome.verified)
            case came.AnswerOverdue() if outcome.life == record.life:
                return service.overdue(world, record, outcome.reason)
            case _:
                return []  # An answer about a life that is over.

    def _on_proof(self, outcome: came.GoneProven, record: VmRecord) -> list[Action]:
        """What libvirt says at the last look counts: somebody may have wanted this very end."""
        is_ours = record.life is not None and record.ended_by_us == record.life.key
        is_about_it = record.life is not None and outcome.proof.incarnation == record.life.key
        can_be_a_wish = is_about_it and not is_ours and not record.is_ordered
        if outcome.wanted and can_be_a_wish and not record.is_copy and not record.runs:
            return service.stop_wanted(self.world, record, outcome.wanted)
        return recovery.proven(self.world, record, outcome.proof)

    def _on_start(
        self,
        outcome: came.VmStarted | came.StartFailed | came.StartUnknown,
        record: VmRecord | None,
    ) -> list[Action]:
        """The start may have outlived its incident: another one may have waited for its outcome."""
        known = self.world.incidents.get(outcome.incident)
        owner = self.world.vms.get(known.vm) if known else None
        was_in_flight = owner is not None and owner.start_in_flight == outcome.incident
        if isinstance(outcome, came.StartUnknown):
            if owner is None or not was_in_flight:
                return []
            owner.start_unknown_at = self.world.now
            return recovery.start_unknown(self.world, owner, outcome.reason)
        told: list[Action] = []
        if isinstance(outcome, came.VmStarted):
            told = self._on_ran(VmRan(life=outcome.life, name="", at=outcome.at))
        if owner is not None and was_in_flight:
            owner.start_in_flight, owner.start_unknown_at = "", None
        if isinstance(outcome, came.VmStarted):
            return told
        record = record or (owner if was_in_flight else None)
        if record is None:
            return []
        final = outcome.is_final
        return recovery.start_failed(self.world, record, outcome.reason, is_final=final)

    def _of_incident(self, incident: str) -> VmRecord | None:
        known = self.world.incidents.get(incident)
        record = self.world.vms.get(known.vm) if known else None
        return record if record is not None and record.incident == incident else None


def _instant(fact: Input) -> Instant:
    return fact.detected_at if isinstance(fact, FaultRaised) else fact.at
