"""A VM that the leader moves to another host while it runs: this end only reports.

What befalls it here meanwhile is held back: its end may be how it moves. When the leader knows
what both ends have, this end hears how the migration ended, and goes on from there.
"""

import msgspec

from holdfast.facts.actions import Action
from holdfast.facts.commands import CopyOutranked, MigrationBegan, MigrationEnded, MoveSeen
from holdfast.facts.promises import Protection
from holdfast.facts.subjects import vm_subject
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised
from holdfast.policy import alarms, copies, faults, promise, recovery, service, stages
from holdfast.policy.vm_states import VmEvent, VmState
from holdfast.policy.world import VmRecord, World

OUT, IN = "out", "in"
FOUND = "found"  # Somebody else moves it from here: what befalls it is told at once.


def refusal(world: World, order: MigrationBegan) -> str:
    """Why this end takes no part in it, or empty."""
    record = world.vms.get(order.vm)
    held = record.protection.tenure if record is not None and record.protection else None
    if not order.is_source:
        if record is not None and (record.runs or record.start_in_flight):
            return "it runs here already"
        if held is not None and held.generation > order.generation:
            return f"this host knows generation {held.generation} of it"
        return ""
    if record is None or held is None:
        return "it is not protected here"
    if held.generation != order.generation or held.revision >= order.revision:
        return "its tenure has changed meanwhile"
    if record.incident or not record.runs:
        return f"it {record.state.value}"
    return "" if promise.is_held_here(world, record) else "this host does not hold it"


def is_moving(world: World, vm: str) -> bool:
    """Whether it is not known here, or not yet, at which end of a move it is."""
    record = world.vms.get(vm)
    held = record.protection if record is not None else None
    is_on_its_way = held is not None and held.tenure.state is TenureState.MIGRATING
    return is_on_its_way or (record is not None and bool(record.moves))


def told(
    world: World, order: MigrationBegan | MigrationEnded | MoveSeen | CopyOutranked
) -> list[Action]:
    match order:
        case MoveSeen():
            return seen(world, order)
        case MigrationBegan():
            began(world, order)
            return []
        case MigrationEnded():
            return ended(world, order)
        case CopyOutranked():
            forget(world, order.vm)
            return copies.outranked(world, order)


def began(world: World, order: MigrationBegan) -> None:
    record = world.record(order.vm, order.name)
    if not order.is_source:
        record.moves = IN
        return
    if record.protection is None:
        return
    tenure = msgspec.structs.replace(
        record.protection.tenure, state=TenureState.MIGRATING, revision=order.revision
    )
    record.protection = msgspec.structs.replace(record.protection, tenure=tenure)
    record.moves = OUT


def seen(world: World, order: MoveSeen) -> list[Action]:
    """A move that somebody else began: nobody may start it anywhere before it is over."""
    record = world.vms.get(order.vm)
    if record is None or record.protection is None or promise.awaits_grant(world, record):
        return []  # What an earlier boot had, both ends must say.
    if order.is_under_way:
        if record.moves or not record.runs or not promise.is_held_here(world, record):
            return []
        word, state = "somebody else moves it", TenureState.MIGRATING
        told = service.want(world, record, Wanted.RUNNING, word, state)
        record.moves = FOUND
        return told
    if record.moves != FOUND or record.is_elsewhere:
        return []
    record.moves = ""
    word = "it did not leave: the move that somebody else began is over"
    wanted = Wanted.STOPPED if record.state is VmState.STOPPED else Wanted.RUNNING
    told = service.want(world, record, wanted, word, TenureState.HELD)
    return [*told, *_recover(world, record, word)]


def _recover(world: World, record: VmRecord, reason: str) -> list[Action]:
    """It failed while somebody else moved it: that was told, and nothing was done about it."""
    if not record.incident:
        return []
    cleared = alarms.clear_of_incident(world, record.incident, reason, "recovery-given-up")
    return [*cleared, *recovery.retry(world, record), *promise_again(world, record)]


def over_with(world: World, record: VmRecord, granted: Protection) -> MigrationEnded | None:
    """What a grant says of a migration whose end this host did not hear of: as its source, in this
    boot or since it was booted; or as its target, to which it came."""
    held, tenure = record.protection.tenure if record.protection else None, granted.tenure
    if tenure.state is not TenureState.HELD or tenure.boot != world.boot:
        return None
    is_undone = (
        record.moves in (OUT, FOUND)
        and held is not None
        and held.state is TenureState.MIGRATING
        and tenure.generation == held.generation
        and tenure.revision > held.revision
    )
    known = max(record.outranked, held.generation if held is not None else 0)
    has_come = record.moves == IN and tenure.generation > known
    if not (is_undone or has_come):
        return None
    return MigrationEnded(
        at=record.stage_began,
        vm=record.vm,
        generation=tenure.generation,
        revision=tenure.revision,
        is_held=True,
        is_lost=not record.runs,
        reason="a migration of it was undone" if is_undone else "it came with a migration",
    )


def is_under_way(record: VmRecord, granted: Protection) -> bool:
    """A grant of what moves from here says nothing new of who may run it."""
    held, tenure = record.protection, granted.tenure
    if held is None or record.moves not in (OUT, FOUND):
        return False
    mine = (held.tenure.generation, held.tenure.boot)
    return mine == (tenure.generation, tenure.boot)


def forget(world: World, vm: str) -> None:
    """It is another host's by now."""
    record = world.vms.get(vm)
    if record is not None:
        record.moves, record.held_back = "", None


def ended(world: World, order: MigrationEnded) -> list[Action]:
    record = world.vms.get(order.vm)
    if record is None:
        return []
    if not record.moves and not _came_to_nothing(record, order):
        _keep_revision(record, order)  # A repeat, or it was seen here: what follows is newer.
        return []
    if record.moves == IN and not order.is_held:
        _leave_half(world, record)
    was_found = record.moves == FOUND
    befell, record.moves, record.held_back = record.held_back, "", None
    held = record.protection
    if not order.is_held or held is None or held.tenure.generation != order.generation:
        return []
    _keep_revision(record, order, TenureState.HELD)
    if record.runs and befell is None:
        return promise_again(world, record)
    if was_found and record.incident:  # It was told when it happened, and left to wait.
        record.is_elsewhere = False
        return _recover(world, record, order.reason)
    if befell is None and record.state is VmState.STOPPED and not record.is_elsewhere:
        return service.want(world, record, Wanted.STOPPED, "it was stopped while it moved")
    return [*_lost(world, record, befell, order), *promise_again(world, record)]


def _keep_revision(
    record: VmRecord, order: MigrationEnded, state: TenureState | None = None
) -> None:
    held = record.protection
    if held is None or not order.is_held or held.tenure.generation != order.generation:
        return
    if order.revision > held.tenure.revision:
        tenure = msgspec.structs.replace(
            held.tenure, state=state or held.tenure.state, revision=order.revision
        )
        record.protection = msgspec.structs.replace(held, tenure=tenure)


def _came_to_nothing(record: VmRecord, order: MigrationEnded) -> bool:
    """Somebody moved it away by hand, and it was lost there: it is this host's to start again."""
    held = record.protection
    is_open = held is not None and held.tenure.state is TenureState.MIGRATING
    return is_open and order.is_held and order.is_lost


def _leave_half(world: World, record: VmRecord) -> None:
    """What had come in of it is ended with its migration, whenever the signs of that arrive."""
    if record.life is not None and record.protection is None:
        record.half = record.life.key
        stages.move(world, record, VmEvent.STOP_WANTED)
        record.is_gone = record.is_dying = True


def promise_again(world: World, record: VmRecord) -> list[Action]:
    group = record.protection.group if record.protection else ""
    return list(promise.judge_group(world, group)) if group else []


def _lost(
    world: World, record: VmRecord, seen: FaultRaised | None, order: MigrationEnded
) -> list[Action]:
    """It died while it moved: told once, and recovered here as any other."""
    record.is_elsewhere = False
    if seen is not None:
        return faults.raised(world, seen)
    if not order.is_lost or record.life is None:
        return []
    return faults.raised(
        world,
        FaultRaised(
            detector="policy",
            condition="vm-gone",
            subject=vm_subject(record.vm, record.name),
            effect=Effect.GONE,
            certainty=Certainty.CERTAIN,
            fault_at=world.now,
            detected_at=world.now,
            reason=f"{record.name} ended while it moved: neither host has it ({order.reason})",
            life=record.life,
            cause="it died while it was migrated",
        ),
    )
