"""A fault is reported first; what follows depends on its effect, and on which life it befell."""

from holdfast.facts.actions import Action, TellIncident
from holdfast.facts.alarms import Severity
from holdfast.facts.subjects import Incarnation, SubjectKind, vm_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised
from holdfast.policy import alarms, case_files, ladder, recovery, relying, service, stages
from holdfast.policy.vm_states import VmEvent, VmState
from holdfast.policy.world import VmRecord, World


def raised(world: World, fault: FaultRaised) -> list[Action]:
    is_vm = fault.subject.kind is SubjectKind.VM
    life = fault.life
    row = alarms.row_of(fault.condition, fault.subject)
    if not is_vm or life is None or row.severity is Severity.INDETERMINATE:
        mended = None if row.severity is Severity.INDETERMINATE else ladder.raised(world, fault)
        if mended is not None:
            return mended
        return list(alarms.raise_or_change(world, fault))  # Shown, and never acted on.
    record = world.record(fault.subject.id, fault.subject.name)
    if world.is_past(life, record):
        return _of_the_past(world, record, fault, life)
    if _has_left(record, fault):
        record.life = life  # The newest of it here, should this host be told to start it.
        return []
    if _is_old_news(world, record, fault, life):
        return []
    told: list[Action] = []
    if record.life != life and (record.life is not None or fault.effect is not Effect.GONE):
        told = _begin_life(world, record, fault, life)
    record.life = life
    if record.is_moved_by_leader and fault.effect is Effect.GONE:
        if record.held_back is None or fault.certainty is Certainty.CERTAIN:
            record.held_back = fault
        return []  # Its end here may be how it moves: told once the move is over.
    return [*_of_the_present(world, record, fault), *told]


def _begin_life(
    world: World, record: VmRecord, fault: FaultRaised, life: Incarnation
) -> list[Action]:
    """Its beginning was not seen. What an earlier life left open waits for the answer of one that
    goes on: it has not failed, and nobody may take it for what did."""
    if fault.effect in (Effect.DEGRADED, Effect.DOOMED):
        return service.ran(world, record, life)
    stages.begin_life(world, record, life)
    return []


def unjudged(world: World, record: VmRecord) -> FaultRaised | None:
    """Its process ended a while ago and no detector has said why: that is not to be lost."""
    is_believed = record.state in (VmState.RUNNING, VmState.ANSWERING)
    if record.life is None or not record.is_gone or not is_believed:
        return None
    record.wake_at = None
    return FaultRaised(
        detector="policy",
        condition="vm-stopped-unexplained",
        subject=vm_subject(record.vm, record.name),
        effect=Effect.GONE,
        certainty=Certainty.SUSPECTED,
        fault_at=record.stage_began,
        detected_at=world.now,
        reason=f"{record.name} has stopped, and nothing that was seen says why",
        life=record.life,
        cause="stopped, cause unknown",
    )


def _has_left(record: VmRecord, fault: FaultRaised) -> bool:
    """Nothing of it is left here, as was shown: so it left, and its holder has it."""
    is_anothers = record.protection is None and record.outranked > 0
    is_here = not record.is_gone or record.is_copy
    return is_anothers and not is_here and fault.effect is Effect.GONE


def _is_old_news(world: World, record: VmRecord, fault: FaultRaised, life: Incarnation) -> bool:
    """What is known to be over already, or says less than is known."""
    is_anothers = record.protection is None and record.outranked > 0
    if is_anothers and life.boot != world.boot:
        return True  # It fell with its host, and runs elsewhere since: the controllers told that.
    if record.half == life.key and fault.effect is Effect.GONE:
        return True  # It was never this host's.
    if record.life != life:
        return False
    if record.incident and record.ended_by_us == life.key and fault.effect is Effect.GONE:
        return True  # The end that we asked for.
    if record.state is VmState.STOPPED and fault.effect is not Effect.GONE:
        return True  # It was stopped on purpose since.
    key = alarms.key_of(world, fault)
    if not record.runs and key in world.revisions and fault.effect is Effect.GONE:
        return True  # It was reported, and is dealt with.
    is_suspicion = fault.effect is Effect.GONE and fault.certainty is not Certainty.CERTAIN
    is_judged = record.is_dying and record.state is not VmState.UNEXPLAINED
    return is_suspicion and is_judged and key not in world.alarms and bool(record.incident)


def _of_the_present(world: World, record: VmRecord, fault: FaultRaised) -> list[Action]:
    if fault.effect is Effect.GONE and relying.waits(world, record):
        fault = relying.as_known(record, fault)
    is_known = alarms.key_of(world, fault) in world.alarms
    is_sure = fault.certainty is Certainty.CERTAIN
    was_stuck = record.is_live_fault and not record.is_awaited
    joins = was_stuck and fault.effect is Effect.GONE and not is_known
    reports = (_join_stuck(world, record, fault) if joins else []) or _report(world, record, fault)
    if fault.effect in (Effect.DEGRADED, Effect.DOOMED):
        return [*reports, *([] if is_known else recovery.watch(world, record))]
    can_be_more = (VmState.RUNNING, VmState.ANSWERING, VmState.STOPPED)
    is_more = record.state in can_be_more or (is_sure and record.is_unexplained)
    if is_known and not is_more:
        return reports
    is_live = fault.effect is Effect.STUCK
    return [*reports, *recovery.begin(world, record, is_live=is_live, is_sure=is_sure)]


def _of_the_past(
    world: World, record: VmRecord, fault: FaultRaised, life: Incarnation
) -> list[Action]:
    """It was learned late: the VM has lived on since. It is reported, and nothing is restarted."""
    key = alarms.key_of(world, fault)
    if key in world.alarms:
        return _report(world, record, fault)
    if fault.effect is not Effect.GONE or key in world.revisions:
        return []
    if record.ended_by_us == life.key:
        return []  # The end that we asked for, judged only after the next start.
    is_first = not record.incident
    told = _report(world, record, fault)
    told.append(stages.capture(world, record, life))
    if not is_first:
        return told
    if record.state is VmState.STOPPED:
        reason = f"{record.name} was started again since, and stopped on purpose"
        return [*told, *case_files.close(world, record, reason)]
    stages.move(world, record, VmEvent.MENDED)
    return [*told, *stages.await_answer(world, record)]


def _join_stuck(world: World, record: VmRecord, fault: FaultRaised) -> list[Action]:
    """A VM that is stuck is ended by force, by an operator too: no alarm of its own says so."""
    incident = case_files.open_or_join(world, record, fault)
    root = alarms.root_of(world, incident.id)
    text = f"{incident.title}; since then: {fault.reason}"
    told: list[Action] = list(alarms.change(world, root, text=text))
    return [*told, TellIncident(incident=incident)] if told else []


def _report(world: World, record: VmRecord, fault: FaultRaised) -> list[Action]:
    incident = case_files.open_or_join(world, record, fault)
    told: list[Action] = list(alarms.raise_or_change(world, fault, incident))
    return [*told, TellIncident(incident=incident)] if told else told
