"""What people, the controller and the clock tell policy: grants, groups, disarm, wake-ups."""

import msgspec

from holdfast.facts import commands as told
from holdfast.facts.actions import Action, Report, TellIncident
from holdfast.facts.commands import Told
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.promises import Protection
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.policy import (
    alarms,
    case_files,
    faults,
    holding,
    ladder,
    moving,
    ordered,
    promise,
    recovery,
    relying,
    service,
    stages,
)
from holdfast.policy.vm_states import VmEvent, VmState
from holdfast.policy.world import VmRecord, World

_AGENT = Subject(kind=SubjectKind.HOLDFAST, id="agent", name="agent")


def obey(world: World, order: Told) -> list[Action]:
    match order:
        case told.ProtectionGranted():
            return _granted(world, order)
        case told.ProtectionEnded():
            return _released(world, order)
        case told.GroupSet() | told.GroupForgotten():
            return _group(world, order)
        case told.Disarmed():
            world.disarm, world.disarmed_until = order.disarm, order.until
            return [*_say_disarmed(world), *ladder.disarmed(world)]
        case told.Armed():
            return _arm(world, f"armed by {order.by}")
        case told.StartOrdered():
            return ordered.ordered(world, order)
        case told.StartRefused():
            ordered.refused(world, order)
            return []
        case told.MigrationBegan() | told.MigrationEnded() | told.MoveSeen() | told.CopyOutranked():
            return moving.told(world, order)
        case told.RecoveryAsked():
            return _recover(world, order)
        case told.LaddersSet():
            world.mends.ladders = order.ladders
            return []
        case told.IncidentSettled():
            return _settled(world, order)
        case _:
            return _lease(world, order)


def _group(world: World, order: told.GroupSet | told.GroupForgotten) -> list[Action]:
    if isinstance(order, told.GroupForgotten):
        world.groups.pop(order.name, None)
        return _regroup(world, order.name)
    world.groups[order.group.name] = order.group
    return _regroup(world, order.group.name)


def _settled(world: World, order: told.IncidentSettled) -> list[Action]:
    mended = ladder.settled(world, order.incident, order.by)
    if mended:
        return mended
    known = world.incidents.get(order.incident)
    record = world.vms.get(known.vm) if known else None
    is_open = record is not None and record.incident == order.incident and not record.is_copy
    return service.settled(world, record, order.by) if record and is_open else []


def _lease(world: World, order: Told) -> list[Action]:
    free: set[str] = set()
    match order:
        case told.LeaseRanOut():
            relying.ran_out(world, order)
        case told.LeaseOrdered():
            free = relying.ordered(world, order)
        case told.LeaseHolds():
            free = relying.holds(world, order)
        case _:
            pass
    actions: list[Action] = []
    for vm in sorted(free):
        if vm in world.vms:
            actions += _reconsider(world, world.vms[vm])
    return actions


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
    actions += ladder.woken(world)
    for record in list(world.vms.values()):
        if record.wake_at is not None and record.wake_at <= world.now:
            unjudged = faults.unjudged(world, record)
            actions += faults.raised(world, unjudged) if unjudged else recovery.woken(world, record)
    return actions


def _granted(world: World, order: told.ProtectionGranted) -> list[Action]:
    granted = order.protection
    record = world.record(granted.vm, granted.name)
    over = moving.over_with(world, record, granted)
    if over is not None:
        record.protection = granted
        return moving.ended(world, over)
    held = record.protection
    if held is not None and moving.is_under_way(record, granted):
        record.protection = msgspec.structs.replace(granted, tenure=held.tenure)
        return []
    if held is not None and held.tenure.generation > granted.tenure.generation:
        return []  # An old grant, late: the newer tenure stands.
    if record.is_copy or granted.tenure.generation <= record.outranked:
        return []  # It is another host's by now, or was refused here.
    record.protection = _merged(world, record, granted)
    actions: list[Action] = []
    if world.is_amnesiac:
        world.is_amnesiac = False
        key = alarms.own_key(world, "agent-amnesiac", _AGENT)
        actions += alarms.clear(world, key, f"{order.by} granted {granted.name} to this host")
    if record.is_elsewhere:
        word = "it was moved to another host, and has not come back"
        actions += service.want(world, record, Wanted.RUNNING, word, TenureState.MIGRATING)
    is_forgotten = record.life is None and world.forgot_in == world.boot
    if record.state in (VmState.UNKNOWN, VmState.STOPPED) and not is_forgotten:
        stages.move(world, record, VmEvent.STOP_WANTED)
        actions += service.want(world, record, Wanted.STOPPED, "it does not run")
    if record.runs:
        actions += service.want(world, record, Wanted.RUNNING, "it runs", TenureState.HELD)
    if held is not None and held.group != granted.group:
        actions += promise.judge_group(world, held.group)
    actions += promise.judge_group(world, granted.group)
    return [*actions, *_reconsider(world, record)]


def _merged(world: World, record: VmRecord, granted: Protection) -> Protection:
    """What is wanted is known best on the host: of one tenure, its own copy stands."""
    held = record.protection
    if held is None or held.tenure.generation < granted.tenure.generation:
        is_kept = (
            held is not None and bool(record.incident) and _is_of_the_past(world, held, granted)
        )
        return _wanted_as(granted, held) if held and is_kept else granted
    revision = max(held.tenure.revision, granted.tenure.revision)  # It never falls back.
    if _is_of_the_past(world, held, granted):
        tenure = msgspec.structs.replace(granted.tenure, revision=revision)
        granted = msgspec.structs.replace(granted, tenure=tenure)
        return _wanted_as(granted, held) if record.incident else granted
    if held.tenure.boot != granted.tenure.boot:
        return held  # A grant to an earlier boot, late.
    tenure = msgspec.structs.replace(held.tenure, revision=revision)
    return msgspec.structs.replace(granted, tenure=tenure)


def _is_of_the_past(world: World, held: Protection, granted: Protection) -> bool:
    """Whether it was held in a boot that is over."""
    return held.tenure.boot not in (world.boot, granted.tenure.boot)


def _wanted_as(granted: Protection, held: Protection) -> Protection:
    """Across boots a stop wins, whoever knows of it: the greeting has compared the copies."""
    kept, wanted = granted.tenure, held.tenure.wanted
    if kept.wanted is Wanted.STOPPED:
        wanted = Wanted.STOPPED
    revision = kept.revision + (kept.wanted is not wanted)
    tenure = msgspec.structs.replace(kept, wanted=wanted, revision=revision)
    return msgspec.structs.replace(granted, tenure=tenure)


def _released(world: World, order: told.ProtectionEnded) -> list[Action]:
    record = world.vms.get(order.vm)
    if record is None or record.protection is None:
        if record is not None:
            record.is_free = True
        return []
    group = record.protection.group
    record.protection = None
    reason = f"{order.by} ended its protection"
    actions: list[Action] = []
    if record.incident:
        given_up = "recovery-given-up"
        actions += alarms.clear_of_incident(world, record.incident, reason, given_up)
        actions += case_files.owned_by(world, record)
        actions += holding.leave(world, record)
    return [*actions, *promise.judge_group(world, group)]


def _regroup(world: World, name: str) -> list[Action]:
    """The owner of recovery may be another now, for better or worse."""
    actions: list[Action] = list(promise.judge_group(world, name))
    for record in list(world.vms.values()):
        if record.protection is not None and record.protection.group == name:
            actions += _reconsider(world, record)
    return actions


def _reconsider(world: World, record: VmRecord) -> list[Action]:
    """What was left, or held back, goes on if nothing forbids it any more."""
    actions = case_files.owned_by(world, record)
    if record.state in (VmState.LEFT, VmState.HELD_BACK):
        actions += recovery.retry(world, record)
    return actions


def _say_disarmed(world: World) -> list[Report]:
    if world.disarm is None:
        return []
    text = f"recovery is disarmed by {world.disarm.owner}: {world.disarm.reason}"
    return alarms.own(world, "disarmed", _AGENT, text, world.now)


def _arm(world: World, reason: str) -> list[Action]:
    """Recovery is armed again: what was held back goes on, as far as it is still wanted."""
    was, world.disarm, world.disarmed_until = world.disarm, None, None
    if was is None:
        return []
    key = alarms.own_key(world, "disarmed", _AGENT)
    actions: list[Action] = list(alarms.clear(world, key, reason))
    for record in list(world.vms.values()):
        actions += _reconsider(world, record)
    return [*actions, *ladder.armed(world)]


def _recover(world: World, order: told.RecoveryAsked) -> list[Action]:
    """A person says: try again. Back-off and budget begin anew, and it is wanted to run."""
    record = world.vms.get(order.vm)
    if record is None or not record.incident:
        return []
    record.starts.clear()
    record.attempt = 0
    record.is_unexplained, record.is_asked_for = False, True
    reason = f"{order.by} asked to recover it"
    given_up = "recovery-given-up"
    actions: list[Action] = []
    if not promise.not_ours(world, record) and promise.is_held_here(world, record):
        actions += service.want(world, record, Wanted.RUNNING, reason)
    actions += alarms.clear_of_incident(world, record.incident, reason, given_up)
    actions += recovery.retry(world, record)
    if record.protection:
        actions += promise.judge_group(world, record.protection.group)
    return actions


def _booted(world: World, fact: told.Booted) -> list[Action]:
    """Who this agent is. What was open in an earlier boot is over with that boot."""
    is_new_boot = world.boot not in ("", fact.boot)
    world.host, world.host_name = fact.host, fact.host_name
    world.boot, world.state_id = fact.boot, fact.state_id
    actions: list[Action] = []
    if fact.is_amnesiac:
        world.is_amnesiac, world.forgot_in = True, fact.boot
        # Revisions are forgotten too. None was changed once in each millisecond of this boot.
        forgotten = fact.at // NS_PER_MS
        world.forgotten_revision = max(world.forgotten_revision, forgotten)
        _forget_grants(world)
    if is_new_boot:
        actions += _begin_boot(world, fact)
    if world.is_amnesiac:
        text = "the agent's memory is new or damaged: it reports, and starts nothing until granted"
        actions += alarms.own(world, "agent-amnesiac", _AGENT, text, world.now)
    for record in world.vms.values():
        if record.is_gone and record.state in (VmState.RUNNING, VmState.ANSWERING):
            record.is_gone = False  # An end that was seen and not judged must be found again.
            record.wake_at = None
    return actions


def _begin_boot(world: World, fact: told.Booted) -> list[Action]:
    """The monotonic clock began anew: no instant of the earlier boot means anything now."""
    before, world.now = world.now, fact.at
    relying.over_with_boot(world)
    if world.disarmed_until is not None:
        left_ns = max(0, world.disarmed_until - before)
        world.disarmed_until = Instant(world.now + left_ns)
    actions: list[Action] = ladder.over_with_boot(world)
    for key in [k for k, alarm in world.alarms.items() if not alarm.incident]:
        actions += alarms.clear(world, key, "the host was booted since")
    for record in world.vms.values():
        actions += recovery.over_with_boot(world, record)
    for group in sorted({r.protection.group for r in world.vms.values() if r.protection}):
        actions += promise.judge_group(world, group)
    return [*actions, *_say_disarmed(world)]


def _forget_grants(world: World) -> None:
    """Whoever cannot trust its memory holds nothing until it is granted again."""
    for record in world.vms.values():
        if record.protection is not None:
            held = record.protection.tenure
            tenure = msgspec.structs.replace(held, boot="", revision=held.revision + 1)
            record.protection = msgspec.structs.replace(record.protection, tenure=tenure)


def _again(world: World) -> list[Action]:
    """The agent came back: whatever was under way may or may not have happened. Do it again."""
    actions: list[Action] = [Report(alarm=alarm, is_repeat=True) for alarm in world.alarms.values()]
    quiet = {record.incident for record in world.vms.values() if record.is_quiet}
    known = (one for one in world.incidents.values() if one.id not in quiet)
    open_ones = [one for one in known if one.state is IncidentState.OPEN]
    actions += [TellIncident(incident=incident) for incident in open_ones]
    for record in list(world.vms.values()):
        record.start_in_flight, record.start_unknown_at = "", None
        actions += recovery.again(world, record)
    return [*actions, *ladder.again(world)]
