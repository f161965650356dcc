"""What is done for a VM in each state: evidence, end, proof, back-off, start, answer, hand-over."""

import msgspec

from holdfast.facts.actions import (
    Action,
    AwaitAnswer,
    CaptureLastWords,
    EndVm,
    ProveGone,
    RestartHere,
    TellIncident,
    TellTenure,
)
from holdfast.facts.instants import after, elapsed_ms, spoken
from holdfast.facts.outcomes import LastWordsCaptured, LastWordsFailed
from holdfast.facts.promises import Answer, Owner
from holdfast.facts.subjects import vm_subject
from holdfast.facts.tenure import LocalProof, Wanted
from holdfast.facts.verdicts import FaultCleared
from holdfast.policy import alarms, case_files, promise, timing
from holdfast.policy.vm_states import VmEvent, VmState, follow
from holdfast.policy.world import VmRecord, World


def move(world: World, record: VmRecord, event: VmEvent) -> bool:
    """Follow the table; whether the state changed. A new stage counts its tries from zero."""
    before = record.state
    record.state = follow(before, event)
    if record.state is before:
        return False
    record.stage_began = world.now
    record.tries = 0
    record.wake_at = None
    return True


def begin(world: World, record: VmRecord, *, is_live: bool, puzzled: bool) -> list[Action]:
    """A fault of effect gone or stuck: decide whose recovery is, and what comes first."""
    if record.state in (VmState.PROVING, VmState.WAITING):
        return []  # It joins what is under way.
    if record.state is VmState.HANDED_OVER:
        return [_capture(world, record, is_live=is_live)]
    joins = record.state is VmState.FAILED and record.is_live_fault and not is_live
    record.is_live_fault = is_live
    took: list[Action] = [_capture(world, record, is_live=is_live)]
    reason = promise.not_ours(world, record)
    if reason:
        move(world, record, VmEvent.LEAVE)
        return [*took, *_leave(world, record, reason)]
    if world.disarm is not None:
        move(world, record, VmEvent.HOLD)
        text = f"recovery is disarmed by {world.disarm.owner}: {world.disarm.reason}"
        return [*took, *case_files.step(world, record, text, "holdfast arm")]
    if promise.awaits_grant(world, record):
        move(world, record, VmEvent.HOLD)
        return [*took, *case_files.step(world, record, "waits until this boot is granted it")]
    reason = promise.obstacle(world, record)
    if reason:
        return [*took, *give_up(world, record, reason)]
    if puzzled:
        move(world, record, VmEvent.PUZZLED)
        record.wake_at = after(world.now, timing.UNEXPLAINED_WAIT_MS)
        return took
    move(world, record, VmEvent.STUCK if is_live else VmEvent.FAILED)
    if is_live:
        limit_ms = timing.evidence_limit_ms(world.group_of(record))
        record.wake_at = after(world.now, limit_ms)
    elif joins:  # Somebody may have ended the stuck VM by force: hear libvirt first.
        record.wake_at = after(world.now, timing.SETTLE_MS)
    elif record.is_gone:
        took += prove(world, record)
    return took


def _capture(world: World, record: VmRecord, *, is_live: bool) -> CaptureLastWords:
    assert record.life is not None, "what failed has lived"
    group = world.group_of(record)
    return CaptureLastWords(
        incident=record.incident,
        life=record.life,
        name=record.name,
        screenshot=is_live,
        dump=is_live and group.dump,
        budget_ms=timing.LAST_WORDS_BUDGET_MS,
    )


def _leave(world: World, record: VmRecord, reason: str) -> list[Action]:
    if record.protection and world.group_of(record).owner is Owner.EXTERNAL:
        return case_files.step(world, record, f"not restarted: {reason}")
    command = f"virsh start {record.name}" if record.is_gone or not record.is_live_fault else ""
    command = command or f"virsh reset {record.name}"
    return case_files.step(world, record, f"not restarted: {reason}", command)


def evidence_taken(world: World, record: VmRecord) -> list[Action]:
    """The evidence of a live fault is in, or its time is over: the VM may be ended."""
    if record.state is not VmState.FAILED or not record.is_live_fault:
        return []
    if record.is_gone:
        return prove(world, record)
    move(world, record, VmEvent.EVIDENCE_TAKEN)
    return end(world, record)


def evidence_in(
    world: World, record: VmRecord | None, outcome: LastWordsCaptured | LastWordsFailed
) -> list[Action]:
    """The bundle belongs to its incident even if that is closed by now."""
    known = world.incidents.get(outcome.incident)
    if known is None:
        return []
    told: list[Action] = []
    if isinstance(outcome, LastWordsCaptured):
        cause = outcome.cause or known.cause
        kept = case_files.update(world, known.id, bundle=outcome.bundle, cause=cause)
        told.append(TellIncident(incident=kept))
    return [*told, *evidence_taken(world, record)] if record else told


def watch(world: World, record: VmRecord) -> list[Action]:
    """It serves worse, or mends itself: keep the evidence and leave it alone."""
    took = _capture(world, record, is_live=True)
    return [took, *case_files.step(world, record, "is left alone: it may mend itself")]


def mended(world: World, record: VmRecord, fault: FaultCleared) -> list[Action]:
    """One fault of the incident is over. With the last one the incident is, if the VM runs."""
    if any(alarm.incident == record.incident for alarm in world.alarms.values()):
        return []
    was = record.state
    move(world, record, VmEvent.MENDED)
    if fault.was_wrong and was is VmState.UNEXPLAINED:
        return case_files.close(world, record, f"retracted: {fault.reason}")
    if record.state in (VmState.RUNNING, VmState.STOPPED):
        return case_files.close(world, record, fault.reason, answered=not fault.was_wrong)
    return []


def end(world: World, record: VmRecord) -> list[Action]:
    assert record.life is not None, "what is ended has lived"
    record.tries += 1
    record.wake_at = None
    reason = f"{record.name} does not serve and must end before it can start again"
    asked = EndVm(incident=record.incident, life=record.life, name=record.name, reason=reason)
    return [asked, *case_files.step(world, record, "is being ended, to start again")]


def not_ended(world: World, record: VmRecord, reason: str) -> list[Action]:
    if record.state is not VmState.ENDING:
        return []
    if record.tries >= timing.END_TRIES:
        return give_up(world, record, f"it could not be ended: {reason}")
    record.wake_at = after(world.now, timing.END_RETRY_MS)
    return case_files.step(world, record, f"could not be ended yet: {reason}")


def process_gone(world: World, record: VmRecord) -> list[Action]:
    """The last sign. What waited for it goes on to the proof."""
    record.is_gone = True
    move(world, record, VmEvent.GONE)
    waits_for_libvirt = record.is_live_fault and record.wake_at is not None
    if record.state is VmState.ENDING or (record.state is VmState.FAILED and not waits_for_libvirt):
        return prove(world, record)
    if record.state is VmState.FAILED:
        record.wake_at = after(world.now, timing.SETTLE_MS)
    return []


def prove(world: World, record: VmRecord) -> list[Action]:
    assert record.life is not None, "what is proven gone has lived"
    move(world, record, VmEvent.PROVE)
    record.tries += 1
    record.wake_at = None
    return [ProveGone(incident=record.incident, life=record.life, name=record.name)]


def not_proven(world: World, record: VmRecord, reason: str) -> list[Action]:
    if record.state is not VmState.PROVING:
        return []
    if elapsed_ms(record.stage_began, world.now) > timing.PROVE_GIVE_UP_MS:
        return give_up(world, record, f"it could not be shown to be gone: {reason}")
    record.wake_at = after(world.now, timing.prove_retry_ms(record.tries))
    if record.tries < len(timing.PROVE_RETRY_MS) - 3:  # Said only when it takes seconds.
        return []
    return case_files.step(world, record, f"not restarted yet: {reason}")


def proven(world: World, record: VmRecord, proof: LocalProof) -> list[Action]:
    """Nothing of it is left. Start it, at once or after the back-off, if nothing forbids it."""
    if record.state is not VmState.PROVING:
        return []
    obstacle = promise.obstacle(world, record)
    if world.disarm is not None and not promise.not_ours(world, record):
        move(world, record, VmEvent.HOLD)
        return case_files.step(world, record, f"not restarted: {obstacle}", "holdfast arm")
    if obstacle:
        return give_up(world, record, obstacle)
    move(world, record, VmEvent.PROVEN)
    record.proof = proof
    wait_ms = timing.back_off_ms(promise.restarts_in_window(world, record))
    if wait_ms == 0:
        return start(world, record)
    record.wake_at = after(world.now, wait_ms)
    text = f"waits {spoken(wait_ms)} before restart {record.attempt + 1}"
    return case_files.step(world, record, text)


def start(world: World, record: VmRecord) -> list[Action]:
    """Start it in place. The proof is used once: another start needs another look."""
    obstacle = promise.obstacle(world, record)
    if obstacle:
        return give_up(world, record, obstacle)
    proof, record.proof = record.proof, None
    if proof is None or proof.boot != world.boot:
        return prove(world, record)
    assert record.protection is not None, "a VM without protection has an obstacle"
    move(world, record, VmEvent.START)
    window_ns = world.group_of(record).restarts_window_s * 1_000_000_000
    record.starts = [at for at in record.starts if world.now - at < window_ns] + [world.now]
    record.attempt += 1
    return [
        RestartHere(
            incident=record.incident,
            name=record.name,
            tenure=record.protection.tenure,
            proof=proof,
            attempt=record.attempt,
            reason=f"{record.name} is wanted running and nothing of it is left on this host",
        ),
        *case_files.step(world, record, f"is being restarted (attempt {record.attempt})"),
    ]


def start_failed(world: World, record: VmRecord, reason: str, *, is_final: bool) -> list[Action]:
    if record.state is not VmState.STARTING:
        return []
    text = f"attempt {record.attempt} to start it failed: {reason}"
    if is_final:
        return give_up(world, record, text)
    return [*case_files.step(world, record, text), *prove(world, record)]


def ran(world: World, record: VmRecord) -> list[Action]:
    """A new life: whoever began it, an open incident now waits for its answer."""
    record.is_gone = False
    record.is_live_fault = False
    move(world, record, VmEvent.RAN)
    if not record.incident:
        return []
    return await_answer(world, record)


def await_answer(world: World, record: VmRecord) -> list[Action]:
    assert record.life is not None, "what answers lives"
    answer = record.protection.answer if record.protection else Answer()
    return [
        AwaitAnswer(
            incident=record.incident,
            life=record.life,
            name=record.name,
            answer=answer,
            limit_ms=timing.ANSWER_LIMIT_MS,
        ),
        *case_files.step(world, record, "runs, its answer is awaited"),
    ]


def answered(world: World, record: VmRecord, how: str, *, verified: bool) -> list[Action]:
    if not record.incident:
        return []
    move(world, record, VmEvent.ANSWERED)
    if record.state is not VmState.RUNNING:
        return []
    record.attempt = 0
    word = "" if verified else " (not verified)"
    text = f"{record.name} is back: {how}{word}"
    return case_files.close(world, record, text, answered=True, verified=verified)


def overdue(world: World, record: VmRecord, reason: str) -> list[Action]:
    """It runs and does not answer. Ending it could hurt more than waiting: a person decides."""
    if record.state is VmState.ANSWERING:
        told = give_up(world, record, reason)
    else:
        told = []
    return [*told, *await_answer(world, record)]


def give_up(world: World, record: VmRecord, reason: str) -> list[Action]:
    """Hand over with the reason. Nothing is started any more until a person says so."""
    move(world, record, VmEvent.GIVEN_UP)
    subject = vm_subject(record.vm, record.name)
    text = f"{record.name} is not brought back: {reason}"
    told: list[Action] = []
    told += alarms.own(world, "recovery-given-up", subject, text, world.now, record.incident)
    command = f"holdfast vm recover {record.name}"
    told += case_files.step(world, record, f"handed over: {reason}", command)
    if record.protection:
        told += promise.judge_group(world, record.protection.group)
    return told


def stop_wanted(world: World, record: VmRecord, reason: str) -> list[Action]:
    """Somebody stopped it. That settles any incident, and the store learns what is wanted."""
    if record.state is VmState.ENDING:
        return []  # libvirt calls our own destroy wanted.
    move(world, record, VmEvent.STOP_WANTED)
    record.is_gone = True
    told = case_files.close(world, record, f"somebody stopped it: {reason}")
    return [*told, *want(world, record, Wanted.STOPPED, reason)]


def want(world: World, record: VmRecord, wanted: Wanted, reason: str) -> list[Action]:
    if record.protection is None or record.protection.tenure.wanted is wanted:
        return []
    tenure = msgspec.structs.replace(record.protection.tenure, wanted=wanted)
    record.protection = msgspec.structs.replace(record.protection, tenure=tenure)
    told: list[Action] = [TellTenure(tenure=tenure, reason=reason)]
    return [*told, *promise.judge_group(world, record.protection.group)]


def try_again(world: World, record: VmRecord) -> list[Action]:
    """From wherever it was left: prove it gone, or end what lives, and start it."""
    if record.state not in _LEFT_STATES or not record.incident:
        return []
    if not record.is_gone and not record.is_live_fault:
        return await_answer(world, record)
    if not record.is_gone:
        record.state = VmState.FAILED
        return evidence_taken(world, record)
    return prove(world, record)


_LEFT_STATES = (VmState.HANDED_OVER, VmState.HELD_BACK, VmState.LEFT, VmState.UNEXPLAINED)


def woken(world: World, record: VmRecord) -> list[Action]:
    """The record's own deadline has come: go on with the stage it is in."""
    record.wake_at = None
    match record.state:
        case VmState.FAILED if record.is_live_fault and not record.is_gone:
            return evidence_taken(world, record)
        case VmState.FAILED if record.is_gone:
            return prove(world, record)
        case VmState.ENDING:
            return end(world, record)
        case VmState.PROVING:
            return prove(world, record)
        case VmState.WAITING:
            return start(world, record)
        case VmState.UNEXPLAINED:
            return give_up(world, record, "it stopped and nobody can say why")
        case _:
            return []
