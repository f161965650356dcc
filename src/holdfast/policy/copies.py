"""What runs here of a VM that another host holds by now: it is ended, shown to be gone, forgotten.

The one case in which a running VM that serves is ended: its disks belong to another, and two that
write to them destroy them.
"""

from holdfast.facts.actions import Action
from holdfast.facts.commands import CopyOutranked
from holdfast.facts.subjects import vm_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised
from holdfast.policy import alarms, case_files, promise, recovery, stages
from holdfast.policy.vm_states import LEFT_ALONE, UNDER_WAY, VmEvent, VmState
from holdfast.policy.world import VmRecord, World

CONDITION = "vm-copy-ended"


def outranked(world: World, order: CopyOutranked) -> list[Action]:
    """What runs of it without a tenure of ours is somebody's own: it is left alone."""
    record = world.record(order.vm)
    held = record.protection
    if held is not None and held.tenure.generation > order.generation:
        return []  # Old news: this host holds a newer one.
    record.outranked = max(record.outranked, order.generation)
    record.is_free = False
    if record.is_copy or held is None:
        record.holder = order.holder or record.holder
        return []
    record.protection, record.holder = None, order.holder
    told: list[Action] = list(promise.judge_group(world, held.group))
    if not (record.runs or record.start_in_flight or record.incident):
        return told
    record.is_copy = True
    if _fell_with_its_boot(world, record):
        return [*told, *_look_quietly(world, record)]
    if record.runs and record.state not in UNDER_WAY:
        return [*told, *end(world, record)]
    told += _open(world, record)
    if record.state is VmState.ENDING:  # Its end was asked for already, but not by force.
        return [*told, *(recovery.end(world, record) if record.holder else [])]
    told += case_files.step(world, record, "is being shown to be gone: it is not this host's")
    _leave_state(world, record)
    return [*told, *recovery.prove(world, record)]


def _fell_with_its_boot(world: World, record: VmRecord) -> bool:
    """Whether nothing of it was seen since this host was booted, and nothing of it is told."""
    is_of_before = record.life is not None and record.life.boot != world.boot
    is_at_work = bool(record.incident or record.start_in_flight)
    return is_of_before and bool(record.holder) and not is_at_work


def _look_quietly(world: World, record: VmRecord) -> list[Action]:
    """The host comes back, and its VM runs elsewhere: that is no news of it. Should something of it
    be found here all the same, it is told then, and ended."""
    case_files.open_or_join(world, record, _fault(world, record))
    record.is_quiet = True
    _leave_state(world, record)
    return recovery.prove(world, record)


def end(world: World, record: VmRecord) -> list[Action]:
    """It runs, or runs again: a start was under way when its tenure was over."""
    told = _open(world, record)
    _leave_state(world, record)
    stages.move(world, record, VmEvent.END)
    return [*told, *recovery.end(world, record)]


def _open(world: World, record: VmRecord) -> list[Action]:
    fault = _fault(world, record)
    incident = case_files.open_or_join(world, record, fault)
    told: list[Action] = []
    is_of_this_boot = record.life is not None and record.life.boot == world.boot
    if record.holder and record.runs and is_of_this_boot:
        told += alarms.raise_or_change(world, fault, incident)
    return [*told, *case_files.owned_by(world, record)]


def _leave_state(world: World, record: VmRecord) -> None:
    """To where it can be ended, and looked for."""
    if record.state in LEFT_ALONE:
        stages.move(world, record, VmEvent.RETRY)
    elif record.state not in UNDER_WAY:
        stages.move(world, record, VmEvent.FAILED)
    record.is_awaited = record.is_unexplained = False
    record.start_due = None


def _fault(world: World, record: VmRecord) -> FaultRaised:
    whose = f"though {record.holder} holds it" if record.holder else "and is taken back"
    return FaultRaised(
        detector="policy",
        condition=CONDITION,
        subject=vm_subject(record.vm, record.name),
        effect=Effect.STUCK,
        certainty=Certainty.CERTAIN,
        fault_at=world.now,
        detected_at=world.now,
        reason=f"{record.name} ran on {world.host_name} {whose}: its copy there is ended",
        life=record.life,
        cause="another host holds it" if record.holder else "the leader took it back",
    )


def barred(world: World) -> dict[str, int]:
    """VMs that others hold, as far as this host knows, with the generation that it knows of."""
    return {
        record.vm: record.outranked
        for record in world.vms.values()
        if record.protection is None and record.outranked and not record.is_free
    }
