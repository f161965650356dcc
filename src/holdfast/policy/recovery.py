"""What is done for a VM that failed: evidence, end, proof, back-off, start, or hand-over.

Before every dangerous act (an end, a start) it is asked anew whether it may go on (`holding.held`).
"""

from holdfast.facts.actions import Action, EndVm, ProveGone, RestartHere, TellIncident
from holdfast.facts.instants import NS_PER_S, after, elapsed_ms, spoken
from holdfast.facts.outcomes import LastWordsCaptured, LastWordsFailed
from holdfast.facts.tenure import LocalProof
from holdfast.policy import case_files, holding, promise, stages, timing
from holdfast.policy.stages import give_up, move
from holdfast.policy.vm_states import LEFT_ALONE, UNDER_WAY, VmEvent, VmState
from holdfast.policy.world import VmRecord, World

UNEXPLAINED = "it stopped and nobody can say why"


def begin(world: World, record: VmRecord, *, is_live: bool, is_sure: bool) -> list[Action]:
    """A fault of effect gone or stuck: decide whose recovery it is, and what comes first."""
    if record.life is None or record.state in UNDER_WAY:
        return []  # It joins what is under way.
    is_sure = is_sure or record.is_copy  # Why a copy stopped is nobody's question.
    record.is_awaited = False
    record.is_live_fault = is_live and record.runs
    record.is_dying = not record.is_live_fault
    took: list[Action] = [stages.capture(world, record, record.life)]
    move(world, record, VmEvent.FAILED if is_sure else VmEvent.PUZZLED)
    was_in_doubt = record.is_unexplained or record.state is VmState.UNEXPLAINED
    record.is_unexplained = was_in_doubt and not is_sure
    if record.state is VmState.HANDED_OVER:
        return took
    held = holding.held(world, record)
    if held is not None:
        return [*took, *held]
    if record.state is VmState.UNEXPLAINED:
        record.wake_at = after(world.now, timing.UNEXPLAINED_WAIT_MS)
        return [*took, *case_files.step(world, record, "has stopped, and a word on why is awaited")]
    if not record.is_live_fault:
        return [*took, *_look_for_end(world, record)]
    limit_ms = timing.evidence_limit_ms(world.group_of(record), is_live=True)
    record.wake_at = after(world.now, limit_ms)
    text = "is looked at, then ended to start again"
    return [*took, *case_files.step(world, record, text)]


def _look_for_end(world: World, record: VmRecord) -> list[Action]:
    """Its process is gone, or going: wait for the last sign, but not for ever."""
    if record.is_gone:
        return prove(world, record)
    record.wake_at = after(world.now, timing.LAST_SIGN_MS)
    return []


def evidence_in(
    world: World, record: VmRecord | None, outcome: LastWordsCaptured | LastWordsFailed
) -> list[Action]:
    """The bundle belongs to its incident even if that is closed by now."""
    known = world.incidents.get(outcome.incident)
    if known is None:
        return []
    told: list[Action] = []
    if isinstance(outcome, LastWordsCaptured):
        # What a later life of it died of is in that bundle: the incident began with the first.
        cause = known.cause if known.bundle else outcome.cause or known.cause
        kept = case_files.update(world, known.id, bundle=outcome.bundle, cause=cause)
        told.append(TellIncident(incident=kept))
    return [*told, *evidence_taken(world, record)] if record else told


def evidence_taken(world: World, record: VmRecord) -> list[Action]:
    """The evidence of a live fault is in, or its time is over: the VM may be ended."""
    if record.state is not VmState.FAILED or not record.is_live_fault:
        return []
    if record.is_gone:
        return prove(world, record)
    held = holding.held(world, record)
    if held is not None:
        return held
    move(world, record, VmEvent.END)
    return end(world, record)


def watch(world: World, record: VmRecord) -> list[Action]:
    """It serves worse, or mends itself: keep the evidence and leave it alone."""
    if record.life is None or record.state not in (VmState.RUNNING, VmState.ANSWERING):
        return []
    took = stages.capture(world, record, record.life)
    if record.state is VmState.RUNNING:
        record.wake_at = after(world.now, timing.MEND_LIMIT_MS)
    return [took, *case_files.step(world, record, "is left alone: it may mend itself")]


def end(world: World, record: VmRecord) -> list[Action]:
    """What failed, to start it again; or a copy, to leave the VM to who holds it."""
    if record.life is None:
        return []
    record.tries += 1
    record.wake_at = None
    record.is_awaited = False
    record.ended_by_us = record.life.key
    reason = f"{record.name} does not serve and must end before it can start again"
    step = "is being ended, to start again"
    if record.is_copy:
        whose = f"{record.holder} holds it by now" if record.holder else "it is taken back"
        reason, step = f"{record.name} must not run here: {whose}", f"is being ended: {whose}"
    asked = EndVm(
        incident=record.incident,
        life=record.life,
        name=record.name,
        reason=reason,
        is_forced=record.is_copy and bool(record.holder),
    )
    return [asked, *case_files.step(world, record, step)]


def ended(world: World, record: VmRecord) -> list[Action]:
    """It was ended. The proof is what counts, and looks for itself."""
    return prove(world, record) if record.state is VmState.ENDING else []


def not_ended(world: World, record: VmRecord, reason: str) -> list[Action]:
    if record.state is not VmState.ENDING:
        return []
    if record.tries >= timing.END_TRIES and not record.is_copy:
        return give_up(world, record, f"it could not be ended: {reason}")
    record.wake_at = after(world.now, timing.END_RETRY_MS)
    return case_files.step(world, record, f"could not be ended yet: {reason}")


def process_gone(world: World, record: VmRecord) -> list[Action]:
    """The last sign. What waited for it goes on to the proof."""
    record.is_gone = True
    move(world, record, VmEvent.GONE)
    if record.state in (VmState.FAILED, VmState.ENDING):
        return prove(world, record)
    if record.state is VmState.PROVING:  # The patience for what else is left begins now.
        record.stage_began, record.tries = world.now, 0
        if record.wake_at is not None:
            record.wake_at = after(world.now, timing.prove_retry_ms(0))
    if record.state in (VmState.RUNNING, VmState.ANSWERING):  # The verdict is still to come.
        record.stage_began = world.now
        record.wake_at = after(world.now, timing.JUDGED_WITHIN_MS)
    left = record.state is VmState.LEFT and record.is_awaited
    return holding.left_anew(world, record) if left else []


def prove(world: World, record: VmRecord) -> list[Action]:
    if record.life is None:
        return []
    move(world, record, VmEvent.PROVE)
    record.tries += 1
    record.wake_at = None
    return [
        ProveGone(
            incident=record.incident,
            life=record.life,
            name=record.name,
            is_copy=record.is_copy and bool(record.holder),
        )
    ]


def not_proven(world: World, record: VmRecord, reason: str) -> list[Action]:
    if record.state is not VmState.PROVING:
        return []
    took_ms = elapsed_ms(record.stage_began, world.now)
    if record.is_gone and took_ms > timing.PROVE_GIVE_UP_MS and not record.is_copy:
        return give_up(world, record, f"it could not be shown to be gone: {reason}")
    record.wake_at = after(world.now, timing.prove_retry_ms(record.tries))
    if took_ms < timing.PROVE_SAID_AFTER_MS:
        return []
    return case_files.step(world, record, f"is not restarted yet: {reason}")


def proven(world: World, record: VmRecord, proof: LocalProof) -> list[Action]:
    """Nothing of it is left. Start it now, or look again when its back-off is over."""
    if record.state is not VmState.PROVING or record.life is None:
        return []
    is_about_it = proof.boot == world.boot and proof.incarnation == record.life.key
    if not is_about_it or (proof.is_of_copy and not record.is_copy):
        record.wake_at = after(world.now, timing.prove_retry_ms(record.tries))
        return []  # About another life or boot, or not about its disks: look again.
    record.is_gone = record.is_dying = True
    held = holding.held(world, record)
    if held is not None:
        return held
    if record.start_unknown_at is not None and proof.at > record.start_unknown_at:
        record.start_in_flight, record.start_unknown_at = "", None  # It has not happened.
    if record.start_unknown_at is not None:
        record.wake_at = after(world.now, timing.prove_retry_ms(record.tries))
        return []  # Looked at before that start was doubted: look again.
    if record.start_in_flight:
        move(world, record, VmEvent.WAIT)
        return []  # Two starts at once could run it twice: the outcome of the first goes on.
    if record.is_copy:
        return stages.copy_gone(world, record)
    if record.start_due is None:
        wait_ms = timing.back_off_ms(promise.restarts_in_window(world, record))
        record.start_due = after(world.now, wait_ms)
    if record.start_due <= world.now:
        return _start(world, record, proof)
    move(world, record, VmEvent.WAIT)
    record.wake_at = record.start_due
    wait = spoken(elapsed_ms(world.now, record.start_due))
    return case_files.step(world, record, f"waits {wait} before restart {record.attempt + 1}")


def _start(world: World, record: VmRecord, proof: LocalProof) -> list[Action]:
    """Start it in place. The proof is used at once: another start needs another look."""
    assert record.protection is not None, "what is not protected is left"
    move(world, record, VmEvent.START)
    window_ns = world.group_of(record).restarts_window_s * NS_PER_S
    record.starts = [at for at in record.starts if world.now - at < window_ns] + [world.now]
    record.attempt += 1
    record.start_due = None
    record.start_in_flight = record.incident
    verb = "started" if record.is_ordered else "restarted"
    return [
        RestartHere(
            incident=record.incident,
            name=record.name,
            tenure=record.protection.tenure,
            proof=proof,
            attempt=record.attempt,
            reason=f"{record.name} is wanted running and nothing of it is left on this host",
            rebuild=stages.rebuild_of(record),
        ),
        *case_files.step(world, record, f"is being {verb} (attempt {record.attempt})"),
    ]


def start_failed(world: World, record: VmRecord, reason: str, *, is_final: bool) -> list[Action]:
    if record.state not in (VmState.STARTING, VmState.WAITING):
        return []
    if record.is_copy:
        return prove(world, record)
    is_refused = not is_final and promise.obstacle(world, record, is_counting=False)
    if record.state is VmState.STARTING and is_refused:
        return _not_begun(world, record)
    text = f"could not be started (attempt {record.attempt}): {reason}"
    if is_final:
        return give_up(world, record, f"it {text}")
    return [*case_files.step(world, record, text), *prove(world, record)]


def _not_begun(world: World, record: VmRecord) -> list[Action]:
    """Somebody forbade it before it began: that was no attempt, and uses up no budget."""
    del record.starts[-1:]
    record.attempt = max(0, record.attempt - 1)
    return holding.held(world, record) or []


def start_unknown(world: World, record: VmRecord, reason: str) -> list[Action]:
    """It may start at any moment. Only a look made from now on can say that it does not run."""
    if record.state not in (VmState.STARTING, VmState.WAITING):
        return []
    text = f"may or may not be starting (attempt {record.attempt}): {reason}"
    return [*case_files.step(world, record, text), *prove(world, record)]


def retry(world: World, record: VmRecord) -> list[Action]:
    """From wherever it was left: prove it gone, or end what lives, and start it."""
    if record.state is VmState.WAITING and not record.start_in_flight:
        record.start_due = world.now
        return prove(world, record)
    if record.state not in LEFT_ALONE or not record.incident:
        return []
    if record.is_awaited and not record.is_live_fault:
        return _take_over_wait(world, record)
    held = holding.held(world, record)
    if held is not None:
        return held
    if record.is_unexplained:  # What held it back is over; the doubt is not.
        return give_up(world, record, UNEXPLAINED)
    move(world, record, VmEvent.RETRY)
    if record.is_live_fault and not record.is_gone:
        return evidence_taken(world, record)
    return _look_for_end(world, record)


def _take_over_wait(world: World, record: VmRecord) -> list[Action]:
    """Somebody started it already: what is left to do is to wait for its answer."""
    if promise.not_ours(world, record):
        return []
    move(world, record, VmEvent.RETRY)
    move(world, record, VmEvent.RAN)
    return stages.await_answer(world, record)


def woken(world: World, record: VmRecord) -> list[Action]:
    """The record's own deadline has come: go on with the stage it is in."""
    record.wake_at = None
    match record.state:
        case VmState.FAILED if record.is_live_fault:
            return evidence_taken(world, record)
        case VmState.FAILED | VmState.PROVING | VmState.WAITING:
            return prove(world, record)
        case VmState.ENDING:
            held = holding.held(world, record)
            return end(world, record) if held is None else held
        case VmState.UNEXPLAINED:
            return give_up(world, record, UNEXPLAINED)
        case VmState.RUNNING if record.incident:
            return _not_mended(world, record)
        case _:
            return []


def _not_mended(world: World, record: VmRecord) -> list[Action]:
    """It was left alone to mend itself, and has not: a person decides what it may cost."""
    record.is_live_fault = record.runs
    if promise.not_ours(world, record):
        record.wake_at = after(world.now, timing.MEND_LIMIT_MS)  # It may be ours by then.
        return holding.say_left(world, record)
    return give_up(world, record, "it did not mend itself")


def again(world: World, record: VmRecord) -> list[Action]:
    """The agent came back: what was under way may or may not have happened. Do it again."""
    known = world.incidents.get(record.incident)
    if known is None or record.life is None:
        return []
    if record.is_awaited:
        return stages.ask_answer(record)
    took: list[Action] = []
    if not (known.bundle or record.is_ordered or record.is_quiet):
        took.append(stages.capture(world, record, record.life))
    match record.state:
        case VmState.FAILED if record.is_live_fault and not record.is_gone:
            limit_ms = timing.evidence_limit_ms(world.group_of(record), is_live=True)
            record.wake_at = after(world.now, limit_ms)
            return took
        case VmState.FAILED:
            return [*took, *_look_for_end(world, record)]
        case VmState.ENDING if not record.is_gone:
            held = holding.held(world, record)
            return [*took, *(end(world, record) if held is None else held)]
        case VmState.ENDING | VmState.PROVING | VmState.STARTING:
            return [*took, *prove(world, record)]
        case VmState.WAITING if record.wake_at is None:
            return [*took, *prove(world, record)]
        case _:
            return took


def over_with_boot(world: World, record: VmRecord) -> list[Action]:
    """The host was booted since: nothing of the earlier boot runs, and its clock is over."""
    record.wake_at = record.start_due = None
    record.starts = []
    record.start_in_flight, record.start_unknown_at = "", None
    record.stage_began = world.now
    record.is_awaited = record.is_live_fault = False
    record.is_across_boot = bool(record.incident)
    if record.state not in (VmState.FAILED, *UNDER_WAY, VmState.UNEXPLAINED):
        return []
    record.is_gone = record.is_dying = True
    held = holding.held(world, record)
    if held is not None:
        return held
    if record.is_unexplained:
        return give_up(world, record, UNEXPLAINED)
    return prove(world, record)
