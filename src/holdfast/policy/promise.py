"""What was promised, and whether it can be kept: the first obstacle, and each group's count."""

from holdfast.facts.actions import Report, RestartHere
from holdfast.facts.instants import NS_PER_S, spoken
from holdfast.facts.promises import Group, LocalDisk, Owner
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.policy import alarms, rebuilding, relying
from holdfast.policy.vm_states import VmState
from holdfast.policy.world import VmRecord, World


def restarts_in_window(world: World, record: VmRecord, group: Group | None = None) -> int:
    """As its own group counts them, or as another one would."""
    window_ns = (group or world.group_of(record)).restarts_window_s * NS_PER_S
    return sum(1 for at in record.starts if world.now - at < window_ns)


def not_ours(world: World, record: VmRecord) -> str:
    """Why recovery of this VM is not Holdfast's, or empty if it is."""
    if record.protection is None:
        return "it is not protected"
    owner = world.group_of(record).owner
    if owner is Owner.EXTERNAL:
        return f"the owner of recovery of group {record.protection.group} is external"
    if owner is Owner.NOBODY:
        return f"the owner of recovery of group {record.protection.group} is nobody"
    return ""


def awaits_grant(world: World, record: VmRecord) -> bool:
    """Held by this host in an earlier boot: a new boot holds nothing until granted again."""
    if record.protection is None:
        return False
    tenure = record.protection.tenure
    return tenure.host == world.host and tenure.boot != world.boot


def held_until(world: World, record: VmRecord) -> str:
    """What its recovery here waits for, or empty."""
    if awaits_grant(world, record):
        return "this host is granted it again"
    if relying.waits(world, record):
        return f"a controller is heard again: {relying.WAITS}"
    return ""


def is_held_here(world: World, record: VmRecord) -> bool:
    """Whether this host has it, as far as is known: not moved away, not another host's."""
    if record.protection is None or record.is_elsewhere:
        return False
    tenure = record.protection.tenure
    return tenure.host == world.host and tenure.state is TenureState.HELD


def defined_here(world: World) -> dict[str, str]:
    """VMs of which this host says how they are defined: by uuid, with their names. What is ordered
    here is defined as the leader has it until it has run: its disks may not be made yet."""
    known = world.vms.values()
    return {one.vm: one.name for one in known if one.protection and not one.is_ordered}


def may_start(world: World, asked: RestartHere) -> str:
    """Why a start that was asked for earlier must not happen any more, or empty.

    The executor asks at the last moment: people may have said something since.
    """
    record = world.vms.get(asked.tenure.vm)
    if record is None or record.protection is None:
        return "it is not protected any more"
    reason = obstacle(world, record, is_counting=False)
    if reason:
        return reason
    if record.runs:
        return "it runs already"
    is_same = record.start_in_flight == record.incident == asked.incident
    if not is_same or record.state is not VmState.STARTING or record.start_unknown_at is not None:
        return "it was asked for in another state of things"
    life = record.life.key if record.life else ""
    if (asked.proof.incarnation, asked.proof.boot) != (life, world.boot):
        return "its proof is about another life"
    tenure = record.protection.tenure
    same = (tenure.generation, tenure.host, tenure.boot)
    if same != (asked.tenure.generation, asked.tenure.host, asked.tenure.boot):
        return "its tenure is another by now"
    return ""


def obstacle(world: World, record: VmRecord, *, is_counting: bool = True) -> str:
    """The first thing that keeps this VM from being restarted here, or empty.

    `is_counting` False leaves the budget out: a start that is under way has been counted already.
    """
    reason = not_ours(world, record)
    if reason or record.protection is None:
        return reason
    tenure = record.protection.tenure
    if tenure.host != world.host:
        return f"it is held by host {tenure.host}"
    if tenure.boot != world.boot:
        return "this boot has not been granted it yet"
    if tenure.generation <= record.outranked:
        return "a newer generation of it is known, which is not this host's"
    if record.is_elsewhere:
        return "it was moved to another host"
    if tenure.state is not TenureState.HELD:
        return f"its tenure is {tenure.state}"
    if tenure.wanted is not Wanted.RUNNING:
        return "it is wanted stopped"
    if is_only_alarmed(world, record):
        return "its host was booted since it ran, and its policy is to only alarm that"
    group = world.group_of(record)
    if is_counting and restarts_in_window(world, record) >= group.restarts:
        used = f"{group.restarts} restarts in {spoken(group.restarts_window_s * 1_000)}"
        return f"its budget of {used} is used up"
    if is_counting and 0 < record.start_limit <= record.attempt:
        return f"it was tried {record.attempt} times here, and another host is to have its turn"
    if world.disarm is not None:
        return f"recovery is disarmed by {world.disarm.owner} ({world.disarm.reason})"
    return relying.WAITS if relying.waits(world, record) else ""


def is_only_alarmed(world: World, record: VmRecord) -> bool:
    """It fell with its host, and what becomes of it a person decides; nobody has yet."""
    kept, life = record.protection, record.life
    if kept is None or life is None or record.is_ordered or record.is_asked_for:
        return False
    fell_with_host = not record.runs and life.boot != world.boot
    return fell_with_host and rebuilding.wish(kept, world.group_of(record)) is LocalDisk.ALARM


def judge_group(world: World, name: str) -> list[Report]:
    """Raise, change or clear the alarm on a group whose promised count cannot be kept."""
    subject = Subject(kind=SubjectKind.POOL, id=f"group/{name}", name=name)
    promised = [r for r in _members(world, name) if _is_wanted(r)]
    lost = [r for r in promised if _is_given_up(r)]
    if not lost:
        key = alarms.own_key(world, "promise-broken", subject)
        over = f"every VM of group {name} that should run does"
        if not promised:
            over = f"no VM of group {name} is to run on this host any more"
        return alarms.clear(world, key, over)
    names = ", ".join(sorted(r.name for r in lost))
    text = (
        f"group {name}: {len(promised) - len(lost)} of {len(promised)} promised VMs in service, "
        f"missing: {names}"
    )
    root = alarms.root_of(world, lost[0].incident) if lost[0].incident else ""
    return alarms.own(world, "promise-broken", subject, text, world.now, root=root)


def _members(world: World, name: str) -> list[VmRecord]:
    return [r for r in world.vms.values() if r.protection and r.protection.group == name]


def _is_wanted(record: VmRecord) -> bool:
    """A VM that moved away keeps its promise elsewhere."""
    if record.protection is None:
        return False
    tenure = record.protection.tenure
    return tenure.wanted is Wanted.RUNNING and tenure.state is TenureState.HELD


def _is_given_up(record: VmRecord) -> bool:
    """Handed over; or it should run, was never seen to, and nobody here may start it unasked."""
    return record.state in (VmState.HANDED_OVER, VmState.STOPPED, VmState.UNKNOWN)
