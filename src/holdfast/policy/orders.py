"""What people, the controller and the clock tell policy: grants, groups, disarm, wake-ups."""

from holdfast.facts import commands as told
from holdfast.facts.actions import Action, AwaitAnswer, Report, TellIncident
from holdfast.facts.commands import Told
from holdfast.facts.incidents import IncidentState
from holdfast.facts.promises import Disarm
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.tenure import Wanted
from holdfast.policy import alarms, case_files, promise, recovery
from holdfast.policy.vm_states import VmEvent, VmState
from holdfast.policy.world import VmRecord, World

_AGENT = Subject(kind=SubjectKind.HOLDFAST, id="agent", name="agent")


def obey(world: World, order: Told) -> list[Action]:
    match order:
        case told.ProtectionGranted():
            return _granted(world, order)
        case told.ProtectionEnded():
            return _released(world, order)
        case told.GroupSet():
            world.groups[order.group.name] = order.group
            return list(promise.judge_group(world, order.group.name))
        case told.GroupForgotten():
            world.groups.pop(order.name, None)
            return []
        case told.Disarmed():
            return _disarm(world, order)
        case told.Armed():
            return _arm(world, f"armed by {order.by}")
        case told.RecoveryAsked():
            return _recover(world, order)
        case told.IncidentSettled():
            return _settle(world, order)
        case _:
            return []


def wake(world: World, fact: told.Woke | told.Restarted | told.Booted) -> list[Action]:
    match fact:
        case told.Booted():
            return _booted(world, fact)
        case told.Restarted():
            return _again(world)
        case told.Woke():
            return _due(world)


def _due(world: World) -> list[Action]:
    actions: list[Action] = []
    if world.disarmed_until is not None and world.disarmed_until <= world.now:
        actions += _arm(world, "the time of the disarm is over")
    for record in list(world.vms.values()):
        if record.wake_at is not None and record.wake_at <= world.now:
            actions += recovery.woken(world, record)
    return actions


def _granted(world: World, order: told.ProtectionGranted) -> list[Action]:
    granted = order.protection
    record = world.record(granted.vm, granted.name)
    held = record.protection
    if held is not None and held.tenure.generation > granted.tenure.generation:
        return []  # An old grant, late: the newer tenure stands.
    record.protection = granted
    actions: list[Action] = []
    if world.is_amnesiac:
        world.is_amnesiac = False
        key = alarms.own_key(world, "agent-amnesiac", _AGENT)
        actions += alarms.clear(world, key, f"{order.by} granted {granted.name} to this host")
    if record.life is None and not record.incident:
        record.state = VmState.STOPPED
        return [*actions, *recovery.want(world, record, Wanted.STOPPED, "it did not run")]
    if record.state is VmState.HELD_BACK and world.disarm is None:
        actions += recovery.try_again(world, record)
    return actions


def _released(world: World, order: told.ProtectionEnded) -> list[Action]:
    record = world.vms.get(order.vm)
    if record is None or record.protection is None:
        return []
    group = record.protection.group
    record.protection = None
    actions: list[Action] = []
    if record.incident and record.state is not VmState.ANSWERING:
        recovery.move(world, record, VmEvent.LEAVE)
        actions += case_files.step(world, record, f"{order.by} ended its protection")
    return [*actions, *promise.judge_group(world, group)]


def _disarm(world: World, order: told.Disarmed) -> list[Action]:
    world.disarm, world.disarmed_until = order.disarm, order.until
    text = f"recovery is disarmed by {order.disarm.owner}: {order.disarm.reason}"
    return list(alarms.own(world, "disarmed", _AGENT, text, world.now))


def _arm(world: World, reason: str) -> list[Action]:
    """Recovery is armed again: what was held back goes on, as far as it is still wanted."""
    was: Disarm | None = world.disarm
    world.disarm, world.disarmed_until = None, None
    if was is None:
        return []
    key = alarms.own_key(world, "disarmed", _AGENT)
    actions: list[Action] = list(alarms.clear(world, key, reason))
    for record in list(world.vms.values()):
        if record.state is VmState.HELD_BACK and not promise.awaits_grant(world, record):
            actions += recovery.try_again(world, record)
    return actions


def _recover(world: World, order: told.RecoveryAsked) -> list[Action]:
    record = world.vms.get(order.vm)
    if record is None:
        return []
    record.starts.clear()
    record.attempt = 0
    return [
        *recovery.want(world, record, Wanted.RUNNING, f"{order.by} asked to recover it"),
        *_no_longer_given_up(world, record, f"{order.by} asked to try again"),
        *recovery.try_again(world, record),
    ]


def _settle(world: World, order: told.IncidentSettled) -> list[Action]:
    """A person dealt with it. A VM that does not run is then wanted as it is: stopped."""
    known = world.incidents.get(order.incident)
    record = world.vms.get(known.vm) if known else None
    if record is None or record.incident != order.incident:
        return []
    event = VmEvent.STOP_WANTED if record.is_gone else VmEvent.ANSWERED
    if record.state is not VmState.ENDING:
        recovery.move(world, record, event)
    reason = f"{order.by} settled it"
    actions = case_files.close(world, record, reason)
    if record.is_gone:
        actions += recovery.want(world, record, Wanted.STOPPED, reason)
    if record.protection:
        actions += promise.judge_group(world, record.protection.group)
    return actions


def _no_longer_given_up(world: World, record: VmRecord, reason: str) -> list[Action]:
    subject = Subject(kind=SubjectKind.VM, id=record.vm, name=record.name)
    return list(alarms.clear(world, alarms.own_key(world, "recovery-given-up", subject), reason))


def _booted(world: World, fact: told.Booted) -> list[Action]:
    """Who this agent is. What was open in an earlier boot is over with that boot."""
    is_new_boot = world.boot not in ("", fact.boot)
    world.host, world.host_name = fact.host, fact.host_name
    world.boot, world.state_id = fact.boot, fact.state_id
    actions: list[Action] = []
    if is_new_boot:
        world.disarmed_until = None if world.disarm is None else world.now
        for key in [k for k, a in world.alarms.items() if a.boot != fact.boot and not a.incident]:
            actions += alarms.clear(world, key, "the host was booted since")
        for record in world.vms.values():
            record.wake_at, record.starts, record.is_gone = None, [], True
    world.is_amnesiac = world.is_amnesiac or fact.is_amnesiac
    if world.is_amnesiac:
        text = "the agent's memory is new or damaged: it reports, and starts nothing until granted"
        actions += alarms.own(world, "agent-amnesiac", _AGENT, text, world.now)
    return actions


def _again(world: World) -> list[Action]:
    """The agent came back: whatever was under way may or may not have happened. Do it again."""
    actions: list[Action] = [Report(alarm=alarm) for alarm in world.alarms.values()]
    open_ones = [i for i in world.incidents.values() if i.state is IncidentState.OPEN]
    actions += [TellIncident(incident=incident) for incident in open_ones]
    for record in list(world.vms.values()):
        actions += _again_for(world, record)
    return actions


def _again_for(world: World, record: VmRecord) -> list[Action]:
    match record.state:
        case VmState.FAILED if record.is_live_fault and not record.is_gone:
            return recovery.evidence_taken(world, record)
        case VmState.FAILED if record.is_gone:
            return recovery.prove(world, record)
        case VmState.ENDING if record.is_gone:
            return recovery.prove(world, record)
        case VmState.ENDING:
            return recovery.end(world, record)
        case VmState.PROVING | VmState.STARTING:
            return recovery.prove(world, record)
        case VmState.WAITING if record.wake_at is None:
            return recovery.prove(world, record)
        case VmState.ANSWERING | VmState.LEFT | VmState.HANDED_OVER if not record.is_gone:
            asked = recovery.await_answer(world, record)
            return [a for a in asked if isinstance(a, AwaitAnswer)]
        case _:
            return []
