"""Whether a recovery may go on: whose it is, and what holds it back."""

from holdfast.facts.actions import Action
from holdfast.facts.promises import Owner
from holdfast.policy import case_files, promise
from holdfast.policy.stages import give_up, move
from holdfast.policy.vm_states import LEFT_ALONE, UNDER_WAY, VmEvent, VmState
from holdfast.policy.world import VmRecord, World


def held(world: World, record: VmRecord) -> list[Action] | None:
    """None if recovery may go on; else what is said when it may not, in the state for that."""
    if record.is_copy:
        return None  # It must end, whatever holds recoveries back; and it is not started.
    if promise.not_ours(world, record):
        move(world, record, VmEvent.LEAVE)
        return say_left(world, record)
    if world.disarm is not None:
        move(world, record, VmEvent.HOLD)
        text = f"is held back: {world.disarm.owner} disarmed recovery: {world.disarm.reason}"
        return case_files.step(world, record, text, "holdfast arm")
    until = promise.held_until(world, record)
    if until:
        move(world, record, VmEvent.HOLD)
        return case_files.step(world, record, f"is held back until {until}")
    reason = promise.obstacle(world, record)
    return give_up(world, record, reason) if reason else None


def leave(world: World, record: VmRecord) -> list[Action]:
    """Its protection ended while recovery was under way: from here it is its owner's."""
    may_be_left = record.state in (VmState.FAILED, *UNDER_WAY, *LEFT_ALONE)
    if not record.incident or not may_be_left:
        return []
    move(world, record, VmEvent.LEAVE)
    record.wake_at = record.start_due = None
    return say_left(world, record)


def left_anew(world: World, record: VmRecord) -> list[Action]:
    """Whoever started it is not us; why it ended again is still to be said."""
    record.is_awaited, record.is_unexplained = False, True
    return say_left(world, record)


def say_left(world: World, record: VmRecord) -> list[Action]:
    text = f"is not restarted: {promise.not_ours(world, record)}"
    if record.is_awaited:
        return case_files.step(world, record, "runs, its answer is awaited")
    if record.protection and world.group_of(record).owner is Owner.EXTERNAL:
        return case_files.step(world, record, text)
    verb = "reset" if record.is_live_fault and not record.is_gone else "start"
    return case_files.step(world, record, text, f"virsh {verb} {record.name}")
