"""Where a VM may start: the host with the most room of those that offer what it needs."""

from collections.abc import Collection, Iterable, Mapping

from holdfast.facts.definitions import VmNeeds
from holdfast.policy.host_states import HostState
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld

NO_HOST = "no host is left to start it on"


def choose(
    world: SiteWorld, needs: VmNeeds, refused: Mapping[str, str], busy: Collection[str]
) -> tuple[str, str]:
    """The host, or empty; and why that one, or why each of the others was not taken. Of one that
    is only `busy` its turn comes: then nothing is said."""
    reasons: dict[str, str] = {}
    best: tuple[int, str] | None = None
    for record in sorted(world.hosts.values(), key=lambda one: one.name):
        reason = refusal(world, record, needs) or refused.get(record.host, "")
        if reason:
            reasons[record.name] = reason
            continue
        if record.host in busy:
            reasons[""] = ""
            continue
        left = free_mib(world, record) - needs.memory_mib
        if best is None or left > best[0]:
            best = left, record.host
    if best is None:
        return "", _why_none(reasons)
    name = world.hosts[best[1]].name
    return best[1], f"{name} has the most room: {best[0]} MiB are left there"


def free_mib(world: SiteWorld, record: HostRecord) -> int:
    """What its VMs leave, and those that were placed there and do not run yet."""
    if record.size is None:
        return 0
    there = {vm.vm for vm in record.vms}
    coming = (
        one.needs.memory_mib
        for vm, one in world.promises.items()
        if one.needs is not None and vm not in there and _is_coming(world, record, vm, one)
    )
    return record.size.memory_mib - sum(vm.memory_mib for vm in record.vms) - sum(coming)


def _is_coming(world: SiteWorld, record: HostRecord, vm: str, promise: Promise) -> bool:
    """It is held there, or the store has been asked to say so."""
    starting = world.starting.get(vm)
    is_asked = starting is not None and starting.target == record.host
    migration = world.migrations.get(vm)
    is_asked |= migration is not None and migration.is_open and migration.target == record.host
    return is_asked or promise.protection.tenure.host == record.host


def refusal(world: SiteWorld, record: HostRecord, needs: VmNeeds) -> str:
    """The first reason why this host does not take it, or empty."""
    if record.host in world.drains:
        return "it is in maintenance (drained)"
    if record.state not in (HostState.SERVING, HostState.IMPAIRED) or record.faults:
        return f"it {record.state.value}"
    fence = world.fences.get(record.host)
    if fence is not None and fence.step != "closed":
        return "it was fenced, and has not rejoined"
    if record.size is None or not record.can_start or record.told_boot != record.boot:
        return "its agent has not said what it offers"
    size = record.size
    lacks = [
        *_lacking("bridge", needs.bridges, size.bridges),
        *_lacking("network", needs.networks, size.networks),
        *(_lacking("machine type", [needs.machine], size.machines) if size.machines else ()),
    ]
    if lacks:
        return f"it has no {lacks[0]}"
    free = free_mib(world, record)
    if free < needs.memory_mib:
        return f"it has {max(0, free)} MiB left, and {needs.memory_mib} are needed"
    return ""


def _lacking(kind: str, needed: Iterable[str], offered: Iterable[str]) -> list[str]:
    there = set(offered)
    return [f"{kind} {name}" for name in needed if name and name not in there]


def _why_none(reasons: Mapping[str, str]) -> str:
    if "" in reasons:
        return ""
    if not reasons:
        return NO_HOST
    return f"{NO_HOST}: " + "; ".join(f"{name}: {text}" for name, text in reasons.items())
