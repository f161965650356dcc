"""Why nothing is done about a silent host now: the first reason that holds.

Whoever is held back reports everything, acts on nothing, and says why.
"""

from holdfast.facts.fencing import FenceStep, HostMode
from holdfast.facts.hearing import Dump
from holdfast.facts.instants import Instant, after, elapsed_ms, spoken
from holdfast.facts.promises import Owner
from holdfast.facts.tenure import RESTORED, Wanted
from holdfast.policy import timing
from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import HostRecord, Loss, Promise, SiteWorld, loss_of

PANICKED = "host-panicked"


def allowed(world: SiteWorld) -> int:
    """How many hosts of the site may be lost at once before a person must look."""
    return max(1, len(world.hosts) * world.brake_percent // 100)


def braked(world: SiteWorld) -> str:
    """Why nothing is done about any host of the site, or empty. More hosts are lost than die at
    once by themselves: then it is a network, a power feed, or this controller."""
    silent, limit = counted(world), allowed(world)
    if len(silent) > limit:
        names = ", ".join(sorted(one.name for one in silent))
        number = f"{len(silent)} of {len(world.hosts)} hosts"
        word = f"more than the {limit} that Holdfast may act on before a person has looked"
        return f"{number} are silent, or were fenced a moment ago ({names}): {word}"
    return ""


def counted(world: SiteWorld) -> list[HostRecord]:
    """The hosts that count for the brake now."""
    return [one for one in world.hosts.values() if _counts(world, one)]


def _counts(world: SiteWorld, record: HostRecord) -> bool:
    """Whoever is silent and not proven dead; and for a while whom Holdfast itself fenced."""
    if _is_of_storm(world, record.host):
        return True
    return record.state in SILENT and world.death_of(record) is None


def _is_of_storm(world: SiteWorld, host: str) -> bool:
    """Whether Holdfast fenced it, no longer ago than storms last."""
    fence, since = world.fences.get(host), world.storm_at.get(host)
    is_ours = fence is not None and not fence.by
    return is_ours and since is not None and elapsed_ms(since, world.now) < timing.STORM_MS


def storm_ends(world: SiteWorld) -> Instant | None:
    """When the next host that was fenced counts no more."""
    counted = (world.storm_at[host] for host in world.hosts if _is_of_storm(world, host))
    first = min(counted, default=None)
    return after(first, timing.STORM_MS) if first is not None else None


def _fell_together(world: SiteWorld, record: HostRecord) -> Loss | None:
    """What it fell silent with, where it was not alone."""
    together = world.losses.get(record.together)
    return together if together is not None and len(together.hosts) > 1 else None


def hindrance(world: SiteWorld, record: HostRecord) -> str:
    """Why this host is not switched off now, or empty: it is asked before each such act."""
    if record.mode is not HostMode.ACT:
        return f"{record.name} is in report mode"
    if world.disarm is not None:
        return f"{world.disarm.owner} disarmed recovery: {world.disarm.reason}"
    if not record.devices and not leased_vms(world, record):
        return f"no fence device is set for {record.name}{_why_no_lease(world, record)}"
    if world.own_faults:
        return "this controller is itself in trouble: " + ", ".join(sorted(world.own_faults))
    if world.brake:
        return world.brake
    together = _fell_together(world, record)
    if together is not None:
        return f"{len(together.hosts)} hosts of {together.name} fell silent together"
    loss = loss_of(record)
    if loss is not None and "refused" in loss.evidence:
        return "pulses in its name arrive that are not believed"
    return ""


def why_nothing(world: SiteWorld, record: HostRecord) -> str:
    """Why its VMs do not start elsewhere now, in words that stay while the reason does; or empty:
    nothing hinders it. The alarm of each VM says so, and not only the incident."""
    fence, now = world.fences.get(record.host), record.fencing
    together = _fell_together(world, record)
    if record.mode is HostMode.REPORT:
        return f"{record.name} is in report mode"
    if fence is not None and fence.step is FenceStep.INTENDED and fence.doubt:
        return f"whether {record.name} is off is in doubt, and a person must look"
    if world.brake:
        return "too many hosts are lost at once (recovery-braked)"
    if together is not None:
        return f"hosts of {together.name} fell silent together"
    why = hindrance(world, record)
    if not why and is_under_way(world, record) and now is not None and now.failed:
        return f"{record.name} could not be switched off yet"
    return why


def too_early(world: SiteWorld, record: HostRecord) -> Instant | None:
    """Until when a host whose power nobody has decided about is left alone, or None."""
    lost_at = record.lost_at if record.lost_at is not None else world.now
    due = after(max(lost_at, world.led_at), world.fence_after_ms)
    if not record.was_heard:
        due = max(due, after(world.began_at, timing.GRACE_MS))
    due = max(due, _dumped_by(record) or due)
    return due if due > world.now else None


def _dumped_by(record: HostRecord) -> Instant | None:
    """When a kernel that panicked should have written its dump; None where nothing is awaited, as
    when its crash kernel spoke of it and has stopped."""
    panic = record.faults.get(PANICKED)
    if panic is None or panic.evidence.get("dump") == Dump.OVER:
        return None
    return after(panic.fault_at, record.dump_wait_s * 1_000)


def is_dumping(world: SiteWorld, record: HostRecord) -> bool:
    """Whether it may be: to switch it off now would lose the one thing that says why it died."""
    until = _dumped_by(record)
    return until is not None and until > world.now


def is_ours(world: SiteWorld, promise: Promise) -> bool:
    """Whether it is for Holdfast to start this VM elsewhere, should its host be dead."""
    return not why_not_ours(world, promise)


def why_not_ours(world: SiteWorld, promise: Promise) -> str:
    """Why it is not for Holdfast to start this VM elsewhere, or empty."""
    protection = promise.protection
    tenure, group = protection.tenure, world.group_of(protection)
    if tenure.wanted is not Wanted.RUNNING:
        return "somebody stopped it on purpose"
    if group.owner is not Owner.HOLDFAST:
        return f"the owner of recovery of group {group.name} is {group.owner}"
    if tenure.boot in ("", RESTORED):
        return "which host may run it is in doubt: see where it runs, and protect it again"
    return ""


def leased_vms(world: SiteWorld, record: HostRecord) -> tuple[str, ...]:
    """The VMs that this host surely ends when its lease runs out: in the boot that is to be proven
    over, or in which it was known last."""
    fence, lease = world.fences.get(record.host), world.leases.get(record.host)
    is_meant = fence is not None and fence.step is FenceStep.INTENDED
    boot = fence.boot if fence is not None and is_meant else record.boot
    return lease.vms if lease is not None and lease.boot == boot else ()


def _why_no_lease(world: SiteWorld, record: HostRecord) -> str:
    relying = [
        one.protection.name
        for one in world.promises.values()
        if one.protection.tenure.host == record.host and world.group_of(one.protection).lease
    ]
    return f", and it has not acknowledged a lease for {relying[0]}" if relying else ""


def held_by(world: SiteWorld, record: HostRecord) -> list[Promise]:
    """The VMs that may be on this host, and that are for Holdfast to start elsewhere."""
    held = (one for one in world.promises.values() if record.host in may_be_on(world, one))
    return [one for one in held if is_ours(world, one)]


def at_stake(world: SiteWorld, record: HostRecord) -> list[Promise]:
    """The VMs for which this host would be fenced."""
    ours = held_by(world, record)
    if record.devices:
        return ours
    leased = leased_vms(world, record)  # Nothing else of it could be proven gone.
    return [one for one in ours if one.protection.vm in leased]


def boots_at_stake(world: SiteWorld, record: HostRecord) -> set[str]:
    """The boots of this host that the proof of its death must cover."""
    found = set()
    for promise in at_stake(world, record):
        tenure, migration = promise.protection.tenure, world.migrations.get(promise.protection.vm)
        if tenure.host == record.host:
            found.add(tenure.boot)
        elif migration is not None:
            found.add(migration.target_boot)
    return found


def may_be_on(world: SiteWorld, promise: Promise) -> set[str]:
    """It is held there; or it moves there, and nobody knows whether it has come."""
    migration = world.migrations.get(promise.protection.vm)
    is_moving = migration is not None and migration.is_open
    targets = {migration.target} if migration is not None and is_moving else set()
    return {promise.protection.tenure.host, *targets}


def pointless(world: SiteWorld, record: HostRecord) -> str:
    """Why nothing would be won by fencing this host, or empty."""
    promises = at_stake(world, record)
    if not promises:
        return f"no VM of {record.name} would be started elsewhere"
    reasons = [_obstacle(world, one) for one in promises]
    if all(reasons):
        return f"none of its VMs could start elsewhere: {reasons[0]}"
    return ""


def _obstacle(world: SiteWorld, promise: Promise) -> str:
    name = promise.protection.name
    if promise.needs is None:
        return f"{name}: its definition is not known here"
    tie = world.tie_of(promise)
    return f"{name}: {tie}" if tie else ""


def grace_left(world: SiteWorld, record: HostRecord) -> str:
    """How long a host that was never heard is left alone after a start, for people; or empty."""
    until = after(world.began_at, timing.GRACE_MS)
    if record.was_heard or until <= world.now:
        return ""
    return spoken(elapsed_ms(world.began_at, until))


def is_under_way(world: SiteWorld, record: HostRecord) -> bool:
    """Whether its fence is committed, and its power is to go off."""
    fence = world.fences.get(record.host)
    return fence is not None and fence.step is FenceStep.INTENDED
