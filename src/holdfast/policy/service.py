"""A VM in service: it runs, answers as promised, mends itself, or is stopped on purpose."""

import msgspec

from holdfast.facts.actions import Action, Report, TellTenure
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.facts.verdicts import FaultCleared
from holdfast.policy import alarms, case_files, copies, promise, stages
from holdfast.policy.stages import move
from holdfast.policy.vm_states import VmEvent, VmState
from holdfast.policy.world import VmRecord, World


def ran(world: World, record: VmRecord, life: Incarnation) -> list[Action]:
    """A new life: whoever began it, an open incident now waits for its answer."""
    before = record.life
    is_late = is_wanted_stopped(record) and bool(record.start_in_flight)
    stages.begin_life(world, record, life)
    if record.is_copy:
        return copies.end(world, record)
    told: list[Action] = []
    if before is not None and before != life:
        told += alarms.clear_of_life(world, before, f"{record.name} was started anew")
    if record.incident:
        if record.state is VmState.RUNNING:  # Only the earlier life had that fault.
            move(world, record, VmEvent.MENDED)
        told += stages.await_answer(world, record)
    if is_late:  # A start of ours was under way when a person said: stopped. That stands.
        return told
    return [*told, *want(world, record, Wanted.RUNNING, "it runs", TenureState.HELD)]


def answered(world: World, record: VmRecord, how: str, *, verified: bool) -> list[Action]:
    if not record.incident or not record.is_awaited or not record.runs:
        return []  # Nobody waits for it, or it failed since.
    move(world, record, VmEvent.ANSWERED)
    word = "" if verified else " (not verified)"
    text = f"{record.name} is back: {how}{word}"
    return case_files.close(world, record, text, answered=True, verified=verified)


def overdue(world: World, record: VmRecord, reason: str) -> list[Action]:
    """It runs and does not answer. Ending it could hurt more than waiting: a person decides."""
    if not record.incident or not record.is_awaited or not record.runs:
        return []
    told: list[Action] = []
    if record.state is VmState.ANSWERING and not promise.not_ours(world, record):
        told = stages.give_up(world, record, reason)
    record.is_live_fault = record.state is VmState.HANDED_OVER
    return [*told, *stages.ask_answer(record)]


def mended(world: World, record: VmRecord, fault: FaultCleared) -> list[Action]:
    """One fault of the incident is over. With the last one its answer is all that is missing."""
    left = (a for a in world.alarms.values() if a.incident == record.incident)
    left = (a for a in left if not _is_of_earlier_life(record, a.key))
    if any(alarm.condition != "recovery-given-up" for alarm in left) or not record.runs:
        return []
    if record.life is not None and record.ended_by_us == record.life.key:
        return []  # Too late: its end is under way.
    if fault.was_wrong:
        move(world, record, VmEvent.RETRACTED)
        return case_files.close(world, record, f"retracted: {fault.reason}")
    record.is_live_fault = False
    move(world, record, VmEvent.MENDED)
    return [] if record.is_awaited else stages.await_answer(world, record)


def _is_of_earlier_life(record: VmRecord, key: str) -> bool:
    """It was learned late, and is over with that life: nothing else will ever say so."""
    life = record.life.key if record.life else ""
    return key.startswith(f"{record.vm}/") and not key.startswith((f"{life}:", f"{life}/"))


def stop_wanted(
    world: World, record: VmRecord, reason: str, *, moved_away: bool = False
) -> list[Action]:
    """Somebody stopped it. That settles any incident, and the store learns what is wanted."""
    move(world, record, VmEvent.STOP_WANTED)
    record.is_gone = record.is_dying = True
    if moved_away:
        word = "it was moved away"
        record.is_elsewhere = True
        told = want(world, record, Wanted.RUNNING, reason, TenureState.MIGRATING)
    else:
        word = f"somebody stopped it: {reason}"
        told = want(world, record, Wanted.STOPPED, reason)
    told += case_files.close(world, record, word)
    return [*told, *_over_with_life(world, record, word)]


def _over_with_life(world: World, record: VmRecord, reason: str) -> list[Report]:
    return alarms.clear_of_life(world, record.life, reason) if record.life else []


def settled(world: World, record: VmRecord, by: str) -> list[Action]:
    """A person dealt with it. A VM that does not run is then wanted as it is: stopped."""
    reason = f"{by} settled it"
    if not record.runs:
        move(world, record, VmEvent.STOP_WANTED)
        record.is_gone = record.is_dying = True
        told = want(world, record, Wanted.STOPPED, reason)
        told += case_files.close(world, record, reason)
        return [*told, *_over_with_life(world, record, reason)]
    if record.life is not None and record.ended_by_us == record.life.key:
        return []  # Too late: Holdfast is ending it, and the incident tells how that goes on.
    move(world, record, VmEvent.SETTLED)
    return case_files.close(world, record, reason)


def is_wanted_stopped(record: VmRecord) -> bool:
    return record.protection is not None and record.protection.tenure.wanted is Wanted.STOPPED


def want(
    world: World,
    record: VmRecord,
    wanted: Wanted,
    reason: str,
    state: TenureState | None = None,
) -> list[Action]:
    """What is wanted of it is known where it is: a wish alone changes nothing of what moved away.

    `state` is given by what was seen (it ran here, it moved away), never by a wish.
    """
    if record.protection is None:
        return []
    before = record.protection.tenure
    if record.is_moved_by_leader and before.state is TenureState.MIGRATING:
        return []  # The leader asks both ends what became of it.
    if state is None and before.state is not TenureState.HELD:
        return []
    tenure = msgspec.structs.replace(before, wanted=wanted, state=state or before.state)
    if tenure == before:
        return []
    tenure = msgspec.structs.replace(tenure, revision=before.revision + 1)
    record.protection = msgspec.structs.replace(record.protection, tenure=tenure)
    told: list[Action] = [TellTenure(tenure=tenure, reason=reason)]
    return [*told, *promise.judge_group(world, record.protection.group)]
