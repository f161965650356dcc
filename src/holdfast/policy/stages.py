"""What every stage of a recovery shares: the step in the table, evidence, answers, hand-over."""

from holdfast.facts.actions import Action, AwaitAnswer, CaptureLastWords
from holdfast.facts.definitions import Rebuild
from holdfast.facts.promises import Answer
from holdfast.facts.subjects import Incarnation, vm_subject
from holdfast.policy import alarms, case_files, promise, timing
from holdfast.policy.vm_states import ImpossibleStepError, VmEvent, follow
from holdfast.policy.world import VmRecord, World


def move(world: World, record: VmRecord, event: VmEvent) -> bool:
    """Follow the table; whether the state changed. A new stage counts its tries from zero.

    A step that is impossible keeps the state and is noted: what else is to be said must be said.
    """
    before = record.state
    try:
        record.state = follow(before, event)
    except ImpossibleStepError as defect:
        world.note_defect(f"{record.name}: {defect}")
        return False
    if record.state is before:
        return False
    record.stage_began = world.now
    record.tries = 0
    record.wake_at = None
    return True


def copy_gone(world: World, record: VmRecord) -> list[Action]:
    """Nothing is left of a VM whose tenure is over here: that closes its case."""
    whose = f"{record.holder} holds it" if record.holder else "this host gave it back"
    reason = f"nothing of {record.name} is left here, and {whose}"
    move(world, record, VmEvent.STOP_WANTED)
    life = record.life
    told = case_files.close(world, record, reason)
    return [*told, *(alarms.clear_of_life(world, life, reason) if life else [])]


def begin_life(world: World, record: VmRecord, life: Incarnation) -> None:
    """It runs, whoever began it: what was under way for the life before is over."""
    record.life = life
    record.is_gone = record.is_dying = record.is_live_fault = record.is_awaited = False
    record.is_unexplained = record.is_elsewhere = record.is_ordered = record.is_asked_for = False
    record.start_due = record.wake_at = record.rebuild = None
    if record.start_unknown_at is not None:  # It has happened, or can not any more: it runs.
        record.start_in_flight, record.start_unknown_at = "", None
    move(world, record, VmEvent.RAN)


def rebuild_of(record: VmRecord) -> Rebuild | None:
    """Disks that were ordered anew for the tenure by which it starts now."""
    tenure = record.protection.tenure if record.protection else None
    made = record.rebuild
    return made if made and tenure and made.generation == tenure.generation else None


def capture(world: World, record: VmRecord, life: Incarnation) -> CaptureLastWords:
    group = world.group_of(record)
    is_live = life == record.life and record.runs
    ours = [one for one in world.alarms.values() if one.key.startswith(f"{life.key}:")]
    fault = max(ours, key=lambda one: one.detected_at, default=None)
    return CaptureLastWords(
        incident=record.incident,
        life=life,
        name=record.name,
        screenshot=is_live,
        dump=is_live and group.dump,
        budget_ms=timing.evidence_limit_ms(group, is_live=is_live),
        cause=fault.cause if fault else "",
        title=fault.text if fault else "",
        fault_at=fault.fault_at if fault else None,
    )


def ask_answer(record: VmRecord) -> list[Action]:
    """Wait for the answer of the life that runs; a repeat takes the place of what waits."""
    if record.life is None:
        return []
    record.is_awaited = True
    answer = record.protection.answer if record.protection else Answer()
    return [
        AwaitAnswer(
            incident=record.incident,
            life=record.life,
            name=record.name,
            answer=answer,
            limit_ms=timing.ANSWER_LIMIT_MS,
        )
    ]


def await_answer(world: World, record: VmRecord) -> list[Action]:
    return [*ask_answer(record), *case_files.step(world, record, "runs, its answer is awaited")]


def give_up(world: World, record: VmRecord, reason: str) -> list[Action]:
    """Hand over with the reason. Nothing is started any more until a person says so."""
    move(world, record, VmEvent.GIVEN_UP)
    record.wake_at = record.start_due = None
    subject = vm_subject(record.vm, record.name)
    text = f"{record.name} is not brought back: {reason}"
    told: list[Action] = []
    told += alarms.own(world, "recovery-given-up", subject, text, world.now, record.incident)
    command = f"holdfast vm recover {record.name}"
    if record.protection and not promise.is_held_here(world, record):
        command = f"holdfast settle {record.incident}"  # A start could run it twice.
    told += case_files.step(world, record, f"is handed over: {reason}", command)
    if record.protection:
        told += promise.judge_group(world, record.protection.group)
    return told
