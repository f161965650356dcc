"""A fault with a known repair is mended where it is: told first, then step by step, each verified.

A step's own word is not believed: only the detector of the fault says that it is over. When the
time of the ladder is over, or its last step did not help, the VIM has it, with all that was tried.
"""

from collections.abc import Iterator

from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action, LookAgain, TryRepair
from holdfast.facts.hardware import ADVICE, Advice
from holdfast.facts.instants import Instant, after, elapsed_ms
from holdfast.facts.mending import RepairLadder, Risk, StepResult, Tried
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised
from holdfast.policy import alarms, mend_words, timing
from holdfast.policy.mends import Mend, MendStage
from holdfast.policy.world import World


def raised(world: World, fault: FaultRaised) -> list[Action] | None:
    """What follows from a fault that can be mended here; None where no repair of it is known."""
    key = alarms.key_of(world, fault)
    mend = world.mends.open.get(key)
    if mend is not None:
        return _raised_again(world, mend, fault)
    ladder = world.mends.ladder_for(fault)
    return None if ladder is None else _begin(world, key, fault, ladder)


def cleared(world: World, fault: FaultCleared) -> list[Action] | None:
    """Its detector says that it is over; None for what is not under repair."""
    mend = world.mends.open.get(alarms.key_of(world, fault))
    if mend is None:
        return None
    if fault.was_wrong:
        return _finish(world, mend, fault.reason)
    if mend.stage is MendStage.TRYING:
        mend.is_well = True  # What is under way may still change that.
        return []
    return _is_over(world, mend, fault.reason)


def step_ended(world: World, outcome: came.StepDone | came.StepFailed) -> list[Action]:
    mend = world.mends.open.get(outcome.key)
    is_asked = mend is not None and (mend.stage, mend.number) == (
        MendStage.TRYING,
        outcome.number,
    )
    if mend is None or not is_asked:
        return []  # It was given up, or is about an earlier order.
    if mend.is_well:
        return _is_over(world, mend, "its detector says that it is over")
    if isinstance(outcome, came.StepFailed):
        result = StepResult.OVERRAN if outcome.overran else StepResult.FAILED
        return _did_not_help(world, mend, result, outcome.reason)
    mend.stage = MendStage.VERIFYING
    mend.step_due = after(world.now, mend.step.verify_ms)
    return [
        LookAgain(incident=mend.incident, subject=mend.fault.subject),
        *_tell(world, mend),
    ]


def woken(world: World) -> list[Action]:
    """Deadlines that have come: of steps, of looks, of whole ladders."""
    actions: list[Action] = []
    for mend in list(world.mends.open.values()):
        due = mend.next_due()
        if due is not None and due <= world.now:
            actions += _overdue(world, mend)
    return actions


def deadline(world: World) -> Instant | None:
    dues = (mend.next_due() for mend in world.mends.open.values())
    return min((due for due in dues if due is not None), default=None)


def armed(world: World) -> list[Action]:
    """Nothing holds back any more what was held."""
    actions: list[Action] = []
    for mend in list(world.mends.open.values()):
        if mend.stage is MendStage.HELD:
            actions += _next(world, mend)
    return actions


def disarmed(world: World) -> list[Action]:
    """A step that is under way is not broken off; what waits says why it does."""
    held = [m for m in world.mends.open.values() if m.stage is MendStage.HELD]
    return [action for mend in held for action in _tell(world, mend)]


def again(world: World) -> list[Action]:
    """The agent came back in the same boot: nobody knows what became of a step. It is done again,
    within the time that is left."""
    actions: list[Action] = []
    for mend in list(world.mends.open.values()):
        if mend.stage is MendStage.TRYING:
            mend.place -= 1
            actions += _next(world, mend)
        elif mend.stage is MendStage.VERIFYING:
            actions.append(LookAgain(incident=mend.incident, subject=mend.fault.subject))
    return actions


def over_with_boot(world: World) -> list[Action]:
    actions: list[Action] = []
    for mend in list(world.mends.open.values()):
        actions += _finish(world, mend, "the host was booted since")
    world.mends.runs.clear()
    return actions


def settled(world: World, incident: str, by: str) -> list[Action]:
    """A person says that it is dealt with. A fault that is still there is not told again until its
    detector says something new."""
    found = [m for m in world.mends.open.values() if m.incident == incident]
    return [a for mend in found for a in _finish(world, mend, f"{by} says that this is dealt with")]


def _begin(world: World, key: str, fault: FaultRaised, ladder: RepairLadder) -> list[Action]:
    mend = Mend(
        key=key,
        fault=fault,
        ladder=ladder,
        incident=mend_words.open_incident(world, key, fault),
        due=after(world.now, ladder.total_ms),
    )
    world.mends.open[key] = mend
    spent = _spent(world, mend) if ladder.steps else ""
    if spent:
        return _hand_over(world, mend, spent)
    return _next(world, mend)


def _raised_again(world: World, mend: Mend, fault: FaultRaised) -> list[Action]:
    """It is the same fault, in the middle of its repair: more is known of it, or it is worse."""
    was, mend.fault, mend.is_well = mend.fault, fault, False
    is_worse = fault.effect is Effect.GONE and was.effect is not Effect.GONE
    is_verified = mend.stage is MendStage.VERIFYING and not mend.waits_for
    if is_verified and is_worse:
        return _did_not_help(world, mend, StepResult.WORSE, fault.reason)
    if is_verified and _mends_itself(was) and not _mends_itself(fault):
        return _did_not_help(world, mend, StepResult.NOT_VERIFIED, fault.reason)
    if mend.stage is MendStage.HELD:
        return _next(world, mend)
    return _tell(world, mend)


def _mends_itself(fault: FaultRaised) -> bool:
    """Its detector says so: as of a RAID that is being rebuilt, which takes hours."""
    return fault.evidence.get(ADVICE) == Advice.NOTHING


def _next(world: World, mend: Mend) -> list[Action]:
    """The next step of the ladder, unless something holds it back; after the last one, the VIM."""
    cause = _cause(world, mend)
    if cause is not None and cause.stage is MendStage.HANDED_OVER:
        reason = f"what it needs could not be mended: {cause.fault.subject.name}"
        return _hand_over(world, mend, reason)
    steps = len(mend.ladder.steps)
    if steps and mend.place + 1 >= steps:
        return _hand_over(world, mend, "no step is left")
    if mend.due <= world.now:
        return _hand_over(world, mend, "its time is over")
    if cause is not None:
        return _wait_for(world, mend, cause)
    if not steps:
        return _hand_over(world, mend, "it did not come back with what it needs")
    if hindrance(world, mend):
        mend.stage, mend.step_due = MendStage.HELD, None
        return _tell(world, mend)
    return _try(world, mend)


def _try(world: World, mend: Mend) -> list[Action]:
    if mend.place < 0:
        world.mends.runs.setdefault(mend.key, []).append(world.now)
    mend.place += 1
    mend.number += 1
    mend.stage, mend.is_well, mend.waits_for = MendStage.TRYING, False, ""
    limit_ms = int(min(mend.step.budget_ms, elapsed_ms(world.now, mend.due)))
    mend.step_due = after(world.now, limit_ms + timing.STEP_SAID_MS)
    order = TryRepair(
        incident=mend.incident,
        key=mend.key,
        number=mend.number,
        step=mend.step,
        subject=mend.fault.subject,
        evidence=mend.fault.evidence,
        limit_ms=limit_ms,
    )
    return [*_tell(world, mend), order]  # It is told first.


def hindrance(world: World, mend: Mend) -> str:
    """Why no step is tried now, or empty."""
    if world.disarm is not None:
        return f"{world.disarm.owner} disarmed recovery: {world.disarm.reason}"
    ahead = mend.ladder.steps[mend.place + 1 :]
    if ahead and ahead[0].risk is Risk.GUESTS and mend.fault.certainty is not Certainty.CERTAIN:
        return "it is only suspected, and the next step may be felt by VMs"
    return ""


def _spent(world: World, mend: Mend) -> str:
    """Why it is not even begun: what is mended again and again is not mended."""
    mends = world.mends
    runs = mends.runs_of(mend.key, world.now)
    if runs >= mend.ladder.runs_an_hour:
        return f"it was mended {runs} {_times(runs)} within the last hour, and failed again"
    if mends.runs_of_all(world.now) >= timing.MENDS_AN_HOUR:
        return f"this host mended itself {timing.MENDS_AN_HOUR} times within the last hour"
    return ""


def _times(count: int) -> str:
    return "time" if count == 1 else "times"


def _cause(world: World, mend: Mend) -> Mend | None:
    """What it needs and is itself broken, unless that waits for this one."""
    for subject in mend.ladder.needs:
        cause = world.mends.of_subject(subject)
        if cause is not None and cause is not mend and cause.waits_for != mend.fault.subject.id:
            return cause
    return None


def _wait_for(world: World, mend: Mend, cause: Mend) -> list[Action]:
    """Its own time begins when its cause has had its own."""
    if mend.waits_for != cause.fault.subject.id:
        mend.waits_for = cause.fault.subject.id
        mend.due = max(mend.due, after(cause.due, mend.ladder.total_ms))
    mend.stage, mend.step_due = MendStage.HELD, None
    return _tell(world, mend)


def _did_not_help(world: World, mend: Mend, result: StepResult, reason: str) -> list[Action]:
    step = mend.step
    world.mends.count(mend, Tried(step=step.name, says=step.says, result=result, reason=reason))
    return _next(world, mend)


def _overdue(world: World, mend: Mend) -> list[Action]:
    if mend.stage is MendStage.TRYING and mend.is_well:
        return _is_over(world, mend, "its detector says that it is over")
    if mend.due <= world.now:
        if mend.stage is not MendStage.HELD and not mend.waits_for:
            step, result = mend.step, StepResult.CUT_SHORT
            world.mends.count(mend, Tried(step=step.name, says=step.says, result=result))
        word = hindrance(world, mend) if mend.stage is MendStage.HELD else ""
        return _hand_over(world, mend, word or "its time is over")
    if mend.stage is MendStage.TRYING:
        return _did_not_help(world, mend, StepResult.OVERRAN, "it did not say how it ended")
    if mend.waits_for:  # Its cause was mended, and it did not come back by that.
        mend.waits_for = ""
        return _next(world, mend)
    return _did_not_help(world, mend, StepResult.NOT_VERIFIED, "")


def _is_over(world: World, mend: Mend, reason: str) -> list[Action]:
    is_by_step = mend.place >= 0 and mend.stage in (MendStage.TRYING, MendStage.VERIFYING)
    if is_by_step and not mend.waits_for:
        step = mend.step
        tried = Tried(step=step.name, says=step.says, result=StepResult.MENDED)
        world.mends.count(mend, tried)
        reason = f"{reason}; mended here, in {len(mend.tried)} " + (
            "step" if len(mend.tried) == 1 else "steps"
        )
    elif mend.stage is MendStage.HANDED_OVER:
        reason = f"{reason}; it had been handed over"
    else:
        reason = f"{reason}; it came back by itself"
    return _finish(world, mend, reason, is_back=True)


def _finish(world: World, mend: Mend, reason: str, *, is_back: bool = False) -> list[Action]:
    del world.mends.open[mend.key]
    told: list[Action] = list(alarms.clear(world, mend.key, reason))
    told += mend_words.close_incident(world, mend, reason, is_back=is_back)
    for other in _waiting_for(world, mend):
        other.stage = MendStage.VERIFYING  # It may come back now by itself.
        other.step_due = after(world.now, timing.AFTER_CAUSE_MS)
        told.append(LookAgain(incident=other.incident, subject=other.fault.subject))
    return told


def _hand_over(world: World, mend: Mend, reason: str) -> list[Action]:
    mend.stage, mend.step_due, mend.waits_for = MendStage.HANDED_OVER, None, ""
    told = list(mend_words.tell_handed_over(world, mend, reason))
    for other in _waiting_for(world, mend):
        told += _next(world, other)
    return told


def _waiting_for(world: World, cause: Mend) -> Iterator[Mend]:
    waiting = [m for m in world.mends.open.values() if m.stage is MendStage.HELD and m.waits_for]
    return (m for m in waiting if m.waits_for == cause.fault.subject.id)


def _tell(world: World, mend: Mend) -> list[Action]:
    word = ""
    if mend.stage is MendStage.HELD and not mend.waits_for:
        word = hindrance(world, mend)
    return mend_words.tell(world, mend, word)
