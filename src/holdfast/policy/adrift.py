"""A VM that left its host by hand, and that no host says it has: a person must look for it.

Its host may have died before its agent told of the VM. Nobody starts it: it may run somewhere.
"""

from holdfast.facts.actions import Action
from holdfast.facts.alarms import alarm_key
from holdfast.facts.instants import Instant, after
from holdfast.facts.subjects import vm_subject
from holdfast.facts.tenure import TenureState
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised
from holdfast.policy import site_alarms, timing
from holdfast.policy.site_world import Promise, SiteWorld


def go_on(world: SiteWorld) -> list[Action]:
    """Alarms about those that nobody has had for a while, and about those that somebody has."""
    adrift = {vm: one for vm, one in world.promises.items() if _is_adrift(world, one)}
    keys = []
    for vm in world.adrift.keys() - adrift.keys():
        del world.adrift[vm]
        key = alarm_key(vm, site_alarms.ADRIFT)
        if key in world.wanted:
            site_alarms.unwant(world, key, "it is known again where it belongs")
            keys.append(key)
    for vm, promise in adrift.items():
        since = world.adrift.setdefault(vm, world.now)
        due = after(since, timing.ADRIFT_AFTER_MS)
        key = alarm_key(vm, site_alarms.ADRIFT)
        if due > world.now:
            world.look_at(due)
        elif key not in world.wanted:
            site_alarms.want(world, key, _fault(world, promise, since))
            keys.append(key)
    return list(site_alarms.publish(world, sorted(keys)))


def _is_adrift(world: SiteWorld, promise: Promise) -> bool:
    """It left, and no move of it is under way. Of a host that is silent its own alarm tells."""
    tenure, vm = promise.protection.tenure, promise.protection.vm
    if tenure.state is not TenureState.MIGRATING:
        return False
    migration = world.migrations.get(vm)
    source = world.hosts.get(tenure.host)
    if (migration is not None and migration.is_open) or source is None or not source.pulses:
        return False
    return not any(
        host.pulses and host.told_boot == host.boot and any(one.vm == vm for one in host.vms)
        for host in world.hosts.values()
    )


def _fault(world: SiteWorld, promise: Promise, since: Instant) -> FaultRaised:
    protection = promise.protection
    source = world.record(protection.tenure.host).name
    return FaultRaised(
        detector="policy",
        condition=site_alarms.ADRIFT,
        subject=vm_subject(protection.vm, protection.name),
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        fault_at=since,
        detected_at=world.now,
        reason=f"{protection.name} left {source} by hand, and no host says that it runs there",
        cause="the host that it went to died, or its agent does not run",
    )
