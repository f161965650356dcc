"""A VM of another host, proven dead, starts here because the leader ordered it.

The order gives this host its tenure. From there it is a recovery like any other: nothing of the VM
may be on this host, then it starts, and its guest must answer.
"""

from holdfast.facts.actions import Action, TellIncident
from holdfast.facts.commands import StartOrdered, StartRefused
from holdfast.facts.definitions import Rebuild
from holdfast.facts.promises import DEFAULT_GROUP, Group, Owner, Protection
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.policy import alarms, case_files, promise, recovery, stages
from holdfast.policy.vm_states import VmEvent
from holdfast.policy.world import VmRecord, World


def is_taken(world: World, ordered: Protection) -> bool:
    """Whether this host holds this very tenure: the order has come before."""
    record = world.vms.get(ordered.vm)
    if record is None or record.protection is None:
        return False
    held, tenure = record.protection.tenure, ordered.tenure
    same = (held.host, held.boot, held.generation)
    return same == (tenure.host, tenure.boot, tenure.generation)


def refusal(world: World, ordered: Protection) -> str:
    """Why this host will not start it, or empty."""
    tenure = ordered.tenure
    group = world.groups.get(ordered.group, DEFAULT_GROUP)
    if tenure.host != world.host:
        return f"the order is for host {tenure.host}"
    if tenure.boot != world.boot:
        return "the order is for an earlier boot of this host"
    if tenure.state is not TenureState.HELD or tenure.wanted is not Wanted.RUNNING:
        return f"its tenure says {tenure.state}, wanted {tenure.wanted}"
    if world.is_amnesiac:
        return "the agent's memory was lost: it starts nothing until a VM is granted to it again"
    if world.disarm is not None:
        return f"recovery is disarmed here by {world.disarm.owner} ({world.disarm.reason})"
    if group.owner is not Owner.HOLDFAST:
        return f"the owner of recovery of group {group.name} is {group.owner}"
    record = world.vms.get(ordered.vm)
    return _in_the_way(world, record, tenure.generation, group) if record is not None else ""


def _in_the_way(world: World, record: VmRecord, generation: int, group: Group) -> str:
    """What is known here of this very VM that forbids it."""
    held = record.protection
    if generation <= record.outranked:
        return f"generation {generation} of it was refused or given back here, or is outdated"
    if held is not None and held.tenure.generation >= generation:
        return f"this host knows generation {held.tenure.generation} of it"
    if record.is_copy:
        return "an earlier copy of it is still being ended here"
    if record.runs:
        return "it runs here already, and not by this order"
    if record.start_in_flight:
        return "an earlier start of it here has no outcome yet"
    used = promise.restarts_in_window(world, record, group)
    if used and used >= group.restarts:
        return f"it was started here {used} times of late: its budget is used up"
    return ""


def refused(world: World, order: StartRefused) -> None:
    """For good: a late duplicate of the order must not be taken."""
    record = world.record(order.vm, order.name)
    record.outranked = max(record.outranked, order.generation)
    record.is_free = False


def ordered(world: World, order: StartOrdered) -> list[Action]:
    taken = order.protection
    generation = taken.tenure.generation
    if is_taken(world, taken):
        return []  # A repeat: it is under way, or runs.
    reason = refusal(world, taken)
    if reason:
        refused(
            world,
            StartRefused(
                at=order.at, vm=taken.vm, name=taken.name, generation=generation, reason=reason
            ),
        )
        return []
    record = world.record(taken.vm, taken.name)
    told = _leave_the_past(world, record)
    record.protection = taken
    made = Rebuild(generation=generation, disks=order.rebuilds)
    record.rebuild = made if order.rebuilds else None
    if record.life is None or record.life.boot != world.boot:
        record.life = _life_elsewhere(order)
    record.is_gone = record.is_dying = record.is_ordered = True
    record.start_limit = order.tries
    incident = case_files.open_ordered(world, record, order)
    stages.move(world, record, VmEvent.FAILED)
    told += [TellIncident(incident=incident), *recovery.prove(world, record)]
    return [*told, *promise.judge_group(world, taken.group)]


def _leave_the_past(world: World, record: VmRecord) -> list[Action]:
    """What was open of it here was about a tenure that is over."""
    reason = "this host is told to start it anew"
    was, life = record.protection, record.life
    record.protection = None
    stages.move(world, record, VmEvent.STOP_WANTED)
    told = case_files.close(world, record, reason)
    if life is not None:
        told += alarms.clear_of_life(world, life, reason)
    record.is_elsewhere = record.is_live_fault = record.is_awaited = False
    record.start_due = None
    record.moves, record.held_back = "", None
    return [*told, *(promise.judge_group(world, was.group) if was else [])]


def _life_elsewhere(order: StartOrdered) -> Incarnation:
    """No process was seen of it here: its life was on its dead host, of which no pid is known."""
    tenure = order.protection.tenure
    return Incarnation(vm=tenure.vm, boot=order.was, pid=0, started_ticks=tenure.generation)
