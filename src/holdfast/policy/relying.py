"""On a host: which VMs rely on its lease, and what that means for their recovery here.

A VM whose lease ran out may run elsewhere by now. It starts here again only when a lease holds that
was granted in the epoch in which the host still has it, or when the leader says that it is held
here and relies on no lease any more; a newer generation of it is another grant, and begins anew.
"""

import msgspec

from holdfast.facts.commands import LeaseHolds, LeaseOrdered, LeaseRanOut
from holdfast.facts.verdicts import FaultRaised
from holdfast.policy.world import HostReliance, VmRecord, World

WAITS = "the lease of this host ran out, and it relies on that: it may run elsewhere by now"


def ordered(world: World, order: LeaseOrdered) -> set[str]:
    """Returns the VMs that need wait no more."""
    world.reliance = HostReliance(epoch=order.epoch, vms=order.vms)
    free = {vm for vm in order.held if vm in world.lapsed and vm not in order.vms}
    for vm in free:
        del world.lapsed[vm]
    return free


def ran_out(world: World, _fact: LeaseRanOut) -> None:
    for vm in world.reliance.vms:
        record = world.vms.get(vm)
        held = record.protection if record is not None else None
        world.lapsed[vm] = held.tenure.generation if held is not None else 0


def holds(world: World, fact: LeaseHolds) -> set[str]:
    """As `ordered`."""
    if fact.epoch != world.reliance.epoch:
        return set()
    free = {vm for vm in world.reliance.vms if vm in world.lapsed}
    for vm in free:
        del world.lapsed[vm]
    return free


def over_with_boot(world: World) -> None:
    """A new boot holds nothing until it is granted again."""
    world.reliance = HostReliance()
    world.lapsed.clear()


def as_known(record: VmRecord, fault: FaultRaised) -> FaultRaised:
    """Why it is gone, which its kernel does not know."""
    reason = f"{record.name} was ended: no controller granted the lease of its host in time"
    cause = "this host was cut off from all controllers, or they were away"
    return msgspec.structs.replace(fault, reason=reason, cause=cause)


def waits(world: World, record: VmRecord) -> bool:
    """Whether it must not start here now."""
    generation = world.lapsed.get(record.vm)
    if generation is None or record.protection is None:
        return False
    return record.protection.tenure.generation <= generation
