"""What a site's leader does beside reporting: the store's facts in, the next acts out."""

from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.actions import Action
from holdfast.facts.commands import Armed, Disarmed, GroupForgotten, GroupSet, RecoveryAsked
from holdfast.facts.fencing import FenceStep
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.recoveries import RecoveryStep
from holdfast.facts.site import SiteFact
from holdfast.policy import (
    adrift,
    brakes,
    site_alarms,
    site_deaths,
    site_drains,
    site_fencing,
    site_incidents,
    site_migrations,
    site_recovery,
    timing,
)
from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld, is_of_lease, loss_of


def take(world: SiteWorld, fact: SiteFact) -> list[Action]:
    """What the store says, what agents offer, and what came of an act."""
    match fact:
        case told.FenceSet():
            return _fence_set(world, fact)
        case told.RecoverySet():
            return _recovery_set(world, fact)
        case told.MigrationSet():
            return site_migrations.migration_set(world, fact)
        case (
            told.FenceForgotten()
            | told.RecoveryForgotten()
            | told.MigrationForgotten()
            | told.LeaseForgotten()
        ):
            _forget(world, fact)
        case told.HostSized() | told.HostModeSet() | told.ActingSet() | told.LeaseSet():
            _set(world, fact)
        case told.PromiseSet():
            vm = fact.protection.vm
            world.promises[vm] = Promise(protection=fact.protection, needs=fact.needs)
        case told.PromiseEnded():
            world.promises.pop(fact.vm, None)
            world.starting.pop(fact.vm, None)
        case GroupSet() | GroupForgotten() | Disarmed() | Armed() | RecoveryAsked():
            _obey(world, fact)
        case _:
            return [*site_drains.take(world, fact), *_outcome(world, fact)]
    return []


def _obey(
    world: SiteWorld, fact: GroupSet | GroupForgotten | Disarmed | Armed | RecoveryAsked
) -> None:
    match fact:
        case GroupSet():
            world.groups[fact.group.name] = fact.group
        case GroupForgotten():
            world.groups.pop(fact.name, None)
        case Disarmed():
            world.disarm, world.disarmed_until = fact.disarm, fact.until
        case Armed():
            world.disarm = world.disarmed_until = None
        case RecoveryAsked():
            site_recovery.asked_again(world, fact.vm)


def _set(
    world: SiteWorld,
    fact: told.HostSized | told.HostModeSet | told.ActingSet | told.LeaseSet,
) -> None:
    if isinstance(fact, told.ActingSet):
        _acting_set(world, fact)
    elif isinstance(fact, told.LeaseSet):
        world.leases[fact.lease.host] = fact.lease
    else:
        _host_set(world, fact)


def _host_set(world: SiteWorld, fact: told.HostSized | told.HostModeSet) -> None:
    record = world.record(fact.host)
    if isinstance(fact, told.HostSized):
        record.size, record.can_start = fact.size, fact.can_start
        record.can_move = fact.can_move
    else:
        record.mode, record.devices = fact.mode, fact.devices
        record.dump_wait_s = fact.dump_wait_s


def _acting_set(world: SiteWorld, fact: told.ActingSet) -> None:
    """Within bounds, whoever says it: below them nobody would have asked whether a host lives."""
    least, most = timing.FENCE_AFTER_MS, timing.FENCE_AFTER_MOST_MS
    world.fence_after_ms = min(max(fact.fence_after_ms, least), most)
    fewest, highest = timing.BRAKE_PERCENTS
    world.brake_percent = min(max(fact.brake_percent, fewest), highest)
    world.hand_over = fact.hand_over


def _forget(
    world: SiteWorld,
    fact: told.FenceForgotten
    | told.RecoveryForgotten
    | told.MigrationForgotten
    | told.LeaseForgotten,
) -> None:
    match fact:
        case told.FenceForgotten():
            world.fences.pop(fact.host, None)
        case told.RecoveryForgotten():
            world.recoveries.pop(fact.vm, None)
        case told.MigrationForgotten():
            world.migrations.pop(fact.vm, None)
        case told.LeaseForgotten():
            world.leases.pop(fact.host, None)


def _outcome(world: SiteWorld, fact: SiteFact) -> list[Action]:
    match fact:
        case came.SwitchedOff():
            site_fencing.switched_off(world, fact)
        case came.NotSwitchedOff():
            return site_fencing.not_switched_off(world, fact)
        case came.StartTaken():
            site_recovery.start_taken(world, fact)
        case came.GivenBack():
            return site_recovery.given_back(world, fact)
        case came.TargetSilent():
            site_recovery.target_silent(world, fact)
        case came.MoveBegun():
            site_migrations.move_begun(world, fact)
        case came.EndsLooked():
            site_migrations.ends_looked(world, fact)
        case _:
            pass
    return []


def _fence_set(world: SiteWorld, fact: told.FenceSet) -> list[Action]:
    fence = fact.fence
    before = world.fences.get(fence.host)
    world.fences[fence.host] = fence
    record = world.record(fence.host, fence.name)
    if record.fencing is not None and record.fencing.number == fence.number:
        record.fencing.asked_at = None
    is_known = before is not None and before.number == fence.number
    fact_age_ms = fact.age_ms if fact.is_read else 0  # Of news nobody need ask a wall clock.
    if not is_known or fence.host not in world.fenced_at:  # An earlier boot's clock is over.
        world.fenced_at[fence.host] = Instant(world.now - fact_age_ms * NS_PER_MS)
        # A storm is counted from when it was seen here: no clock that is off, or jumps, ends it
        # early. What the store tells of a host that is back is believed; it ends in any case.
        age_ms = fact_age_ms if fence.step is FenceStep.CLOSED else 0
        world.storm_at[fence.host] = Instant(world.now - age_ms * NS_PER_MS)
    is_news = before is None or (before.number, before.step) != (fence.number, fence.step)
    if is_news and fence.step is FenceStep.OFF:  # What was heard before its power went is over.
        took_ms = max(0, fence.proven_utc_ms - fence.intended_utc_ms)
        age_ms = max(0, fact_age_ms - took_ms)
        world.fenced_at[fence.host] = Instant(world.now - age_ms * NS_PER_MS)
    if fence.step is FenceStep.CLOSED:
        return _refresh_host(world, record)
    if fence.step is not FenceStep.OFF or not is_news:
        return []
    if is_of_lease(fence):  # Whether it is dead, and what becomes of the others, a person sees.
        text = "had its lease run out: what relied on that starts elsewhere, and nothing else does"
        return site_incidents.step(
            world, record.incident, text, site_fencing.CONFIRM.format(name=record.name)
        )
    record.page_at = None
    text = "is dead: its VMs start elsewhere, where they can"
    wish = f"find out why {record.name} died, then switch it on: Holdfast never does that"
    return site_incidents.step_of_host(world, record, text, wish)


def _recovery_set(world: SiteWorld, fact: told.RecoverySet) -> list[Action]:
    recovery = fact.recovery
    before = world.recoveries.get(recovery.vm)
    world.recoveries[recovery.vm] = recovery
    starting = world.starting.get(recovery.vm)
    if starting is not None and before != recovery:
        starting.asked_at = None
        starting.target = ""
        was = (before.generation, before.target_boot) if before is not None else None
        is_back = recovery.step is RecoveryStep.GIVEN_BACK
        if is_back or was != (recovery.generation, recovery.target_boot):
            starting.is_asked, starting.again_at = False, None
            starting.obstacle = starting.unanswered = ""
    return []


def go_on(world: SiteWorld) -> list[Action]:
    """After every fact: what follows from all that is believed now."""
    world.acts_at = None
    if world.disarmed_until is not None:
        if world.disarmed_until <= world.now:
            world.disarm = world.disarmed_until = None
        else:
            world.look_at(world.disarmed_until)
    if not _is_something_up(world):
        return _set_brake(world, "")
    said = _set_brake(world, brakes.braked(world))
    storm_ends = brakes.storm_ends(world) if world.brake else None
    if storm_ends is not None:
        world.look_at(storm_ends)
    said += _tell_why(world)
    acts: list[Action] = []
    if world.term:
        acts = [*site_fencing.go_on(world), *site_migrations.go_on(world)]
        acts += [*site_drains.go_on(world), *site_recovery.go_on(world)]
        said += adrift.go_on(world)
    return [*said, *_refresh(world), *acts]


def _is_something_up(world: SiteWorld) -> bool:
    """Most of the time nothing is: then nothing is looked at."""
    is_fenced = any(one.step is not FenceStep.CLOSED for one in world.fences.values())
    # Also when its dead host is back, and nothing else is up: it is followed until it answers.
    is_started = any(one.step is not RecoveryStep.ANSWERED for one in world.recoveries.values())
    is_moved = site_drains.is_something_up(world) or site_migrations.is_something_up(world)
    is_moved = is_moved or bool(world.adrift)
    is_down = site_deaths.is_somebody_down(world)
    is_lost = any(one.state in SILENT for one in world.hosts.values())
    return is_fenced or is_started or is_moved or is_down or is_lost


def _set_brake(world: SiteWorld, why: str) -> list[Action]:
    """A brake that would hold back nobody is not told of."""
    would_act = any(one.mode == "act" and one.state in SILENT for one in world.hosts.values())
    why = why if would_act else ""
    if why == world.brake:
        return []
    before, world.brake = world.brake, why
    if why:
        site_alarms.want(world, site_deaths.BRAKE_KEY, site_deaths.brake(world, why))
    elif before:
        over = "fewer hosts are lost now than the brake allows"
        site_alarms.unwant(world, site_deaths.BRAKE_KEY, over)
    return list(site_alarms.publish(world, [site_deaths.BRAKE_KEY]))


def _tell_why(world: SiteWorld) -> list[Action]:
    """Of a host that is lost: the alarms of its VMs say why nothing is done, once it is another
    reason. They are many, so they are not made anew after every fact."""
    actions: list[Action] = []
    for record in world.hosts.values():
        why = brakes.why_nothing(world, record) if loss_of(record) is not None else ""
        if why != record.why_nothing:
            record.why_nothing = why
            actions += _refresh_host(world, record)
    return actions


def _refresh(world: SiteWorld) -> list[Action]:
    """What is said of hosts that are fenced follows what is known of them now."""
    actions: list[Action] = []
    for record in world.hosts.values():
        fence = world.fences.get(record.host)
        if fence is not None and (record.keys or fence.step is not FenceStep.CLOSED):
            actions += _refresh_host(world, record)
    return actions


def _refresh_host(world: SiteWorld, record: HostRecord) -> list[Action]:
    before = record.keys
    keys = site_alarms.want_host(world, record, "it is over")
    for key in before:
        alarm = world.reported.get(key)
        if key not in record.keys and alarm is not None:
            why = site_deaths.why_over(world, record, alarm)
            world.over[key] = why or world.over.get(key, "")
    return list(site_alarms.publish(world, keys))
