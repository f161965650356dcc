"""Where a VM may start: the host with the most room of those that offer what it needs."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from holdfast.facts.cpus import missing, missing_live
from holdfast.facts.definitions import HostRole, VmNeeds
from holdfast.facts.mending import HandOver
from holdfast.facts.promises import Spread, Zones
from holdfast.facts.site import HostVm
from holdfast.facts.tenure import Wanted
from holdfast.policy.host_states import HostState
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld

NO_HOST = "no host is left to start it on"
BUSY = "as many VMs as may start there at once do so"
MOST_REJECTED = 8


class Rooms:
    """What each host has left, and which VMs of a group it runs or is to run.

    Made anew from what is believed; whoever places several VMs in one go takes room as he goes.
    """

    def __init__(self, world: SiteWorld) -> None:
        self._world = world
        self._taken: dict[str, int] = defaultdict(int)
        self._members: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._at: dict[str, str] = {}
        there = {(record.host, vm.vm) for record in world.hosts.values() for vm in record.vms}
        for record in world.hosts.values():
            self._taken[record.host] = sum(self._mib_of(vm) for vm in record.vms)
        for vm, promise in world.promises.items():
            host = _host_of(world, vm, promise)
            self._note(promise, host)
            if (host, vm) not in there and promise.protection.tenure.wanted is Wanted.RUNNING:
                self._taken[host] += _mib(promise)

    def _mib_of(self, vm: HostVm) -> int:
        """An agent of an earlier version does not say it."""
        promise = self._world.promises.get(vm.vm)
        return vm.memory_mib or (_mib(promise) if promise is not None else 0)

    def left(self, record: HostRecord) -> int:
        """MiB; what a host of unknown size has left is nothing."""
        return record.size.memory_mib - self._taken[record.host] if record.size else 0

    def take(self, promise: Promise, host: str) -> None:
        """It is to run there."""
        vm = promise.protection.vm
        self._taken[host] += _mib(promise)
        self._members[promise.protection.group, self._at[vm]].discard(vm)
        self._note(promise, host)

    def leave(self, host: str) -> None:
        """As if that host were lost: it runs nothing any more."""
        self._taken[host] = 0
        for (_, at), members in self._members.items():
            if at == host:
                members.clear()

    def members(self, promise: Promise, host: str) -> set[str]:
        """Other VMs of its group on that host."""
        protection = promise.protection
        return self._members[protection.group, host] - {protection.vm}

    def _note(self, promise: Promise, host: str) -> None:
        vm = promise.protection.vm
        self._members[promise.protection.group, host].add(vm)
        self._at[vm] = host


def in_order(world: SiteWorld, promises: Iterable[Promise]) -> list[Promise]:
    """Who comes first: the group's priority, and among equals who needs most room."""
    return sorted(promises, key=lambda one: _urgency(world, one))


def _urgency(world: SiteWorld, promise: Promise) -> tuple[int, int, str]:
    group = world.group_of(promise.protection)
    return -group.priority, -_mib(promise), promise.protection.vm


class Choice(Struct, frozen=True, kw_only=True):
    """`host` is empty where none is left. `why` is why this one, or why none; `rejected` says of
    each other one, as far as they are told, why it was not taken."""

    host: str = ""
    why: str = ""
    rejected: tuple[str, ...] = ()


def choose(
    world: SiteWorld,
    rooms: Rooms,
    promise: Promise,
    *,
    refused: Mapping[str, str] | None = None,
    busy: Collection[str] = (),
    gone: Collection[str] = (),
    leaves: HostRecord | None = None,
) -> tuple[str, str]:
    """The host, or empty; and why that one, or why each of the others was not taken."""
    found = find(world, rooms, promise, refused=refused, busy=busy, gone=gone, leaves=leaves)
    return found.host, found.why


def find(
    world: SiteWorld,
    rooms: Rooms,
    promise: Promise,
    *,
    refused: Mapping[str, str] | None = None,
    busy: Collection[str] = (),
    gone: Collection[str] = (),
    leaves: HostRecord | None = None,
) -> Choice:
    """Of one that is only `busy` its turn comes: then no reason is said. `gone` are as good as
    lost. `leaves` is where it runs, if it keeps running while it moves."""
    reasons: dict[str, str] = {}
    found: list[tuple[int, HostRecord]] = []
    is_waiting = False
    for record in world.hosts.values():
        if record.host in gone:
            continue
        reason = refusal(world, rooms, record, promise, leaves)
        reason = reason or (refused or {}).get(record.host, "")
        if reason:
            reasons[record.name] = reason
        elif record.host in busy:
            is_waiting, reasons[record.name] = True, BUSY
        else:
            found.append((rooms.left(record) - _mib(promise), record))
    if not found:
        return Choice(why="" if is_waiting else _why_none(reasons))
    (left, best), *others = sorted(found, key=_rank)
    reasons |= {one.name: _trouble(one) or _less(less, left, best.name) for less, one in others}
    is_passed_over = any(_trouble(one) for _, one in others)
    most = "most room of those that are well" if is_passed_over else "most room"
    why = f"{best.name} has the {most}: {left} MiB are left there"
    return Choice(host=best.host, why=why, rejected=_told(reasons))


def _rank(found: tuple[int, HostRecord]) -> tuple[bool, int, str]:
    """The most room first; after all others who would let it wait."""
    left, record = found
    return bool(_trouble(record)), -left, record.name


def _trouble(record: HostRecord) -> str:
    return record.size.trouble if record.size is not None else ""


def _less(less: int, left: int, best: str) -> str:
    if less < left:
        return f"only {less} MiB would be left there"
    return f"it has as much room, and {best} comes first by its name"


def _mib(promise: Promise) -> int:
    return promise.needs.memory_mib if promise.needs is not None else 0


def _host_of(world: SiteWorld, vm: str, promise: Promise) -> str:
    """Who holds it, or to whom the store was asked to give it."""
    starting = world.starting.get(vm)
    if starting is not None and starting.target:
        return starting.target
    migration = world.migrations.get(vm)
    if migration is not None and migration.is_open:
        return migration.target
    return promise.protection.tenure.host


def refusal(
    world: SiteWorld,
    rooms: Rooms,
    record: HostRecord,
    promise: Promise,
    leaves: HostRecord | None = None,
) -> str:
    """The first reason why this host does not take it, or empty."""
    if record.host in world.drains:
        return "it is in maintenance (drained)"
    if world.death_of(record) is not None:
        return "it is dead"
    if record.host in world.predictions:
        return f"it is expected to fail ({world.predictions[record.host].reason})"
    if record.handed_over and world.hand_over is not HandOver.REPORT:
        return f"it could not mend itself ({', '.join(record.handed_over)})"
    fence = world.fences.get(record.host)
    if fence is not None and fence.step != "closed":
        return "it was fenced, and has not rejoined"
    if record.state not in (HostState.SERVING, HostState.IMPAIRED) or record.faults:
        return f"it {record.state.value}"
    roles = record.size.roles if record.size else ()
    if roles and HostRole.COMPUTE not in roles:
        return f"it is for {' and '.join(roles)}, and takes no VMs"
    if record.size is None or not record.can_start or record.told_boot != record.boot:
        return "its agent has not said what it offers"
    if promise.needs is None:
        return "what it needs is not known"
    lacks = next(_lacking(record, promise.needs), "") or _cpu(record, promise.needs, leaves)
    if lacks:
        return f"it has no {lacks}"
    left = rooms.left(record)
    if left < promise.needs.memory_mib:
        return f"it has {max(0, left)} MiB left, and {promise.needs.memory_mib} are needed"
    return _too_far(world, record, promise) or _too_near(world, rooms, record, promise)


def _too_far(world: SiteWorld, record: HostRecord, promise: Promise) -> str:
    """Whether its zone is another one than the VM's, where both are named."""
    source = world.hosts.get(promise.protection.tenure.host)
    if source is None or not source.zone or not record.zone or source.zone == record.zone:
        return ""
    if world.group_of(promise.protection).zones is Zones.ANY:
        return ""
    return f"it is in zone {record.zone}, and the VM stays in zone {source.zone}"


def _lacking(record: HostRecord, needs: VmNeeds) -> Iterator[str]:
    size = record.size
    assert size is not None
    wanted = [
        ("bridge", needs.bridges, size.bridges),
        ("network", needs.networks, size.networks),
    ]
    if size.machines:
        wanted.append(("machine type", (needs.machine,), size.machines))
    for kind, needed, offered in wanted:
        yield from (f"{kind} {name}" for name in needed if name and name not in offered)


def _cpu(record: HostRecord, needs: VmNeeds, leaves: HostRecord | None) -> str:
    """What it lacks of a CPU; one that runs and `leaves` a host keeps what it was given there."""
    offered = record.size.processors if record.size is not None else ()
    if leaves is None:
        return missing(needs.cpu, offered)
    here = leaves.size.processors if leaves.size is not None else ()
    return missing_live(needs.live or needs.cpu, here, offered)


def _too_near(world: SiteWorld, rooms: Rooms, record: HostRecord, promise: Promise) -> str:
    """Why another VM of its group keeps it from that host, or empty."""
    spread = world.group_of(promise.protection).spread
    if spread is Spread.NONE:
        return ""
    hosts = [record]
    if spread is Spread.RACK and record.rack:
        hosts = [one for one in world.hosts.values() if one.rack == record.rack]
    for host in hosts:
        for vm in sorted(rooms.members(promise, host.host)):
            other = world.promises[vm].protection
            return f"{other.name} of the same group is on {host.name}, and they are kept apart"
    return ""


def _told(reasons: Mapping[str, str]) -> tuple[str, ...]:
    """In few words: it is kept with each recovery."""
    said = [f"{name}: {text}" for name, text in sorted(reasons.items())]
    more = len(said) - MOST_REJECTED
    return (*said[:MOST_REJECTED], f"and {more} more hosts") if more > 0 else tuple(said)


def _why_none(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return NO_HOST
    said = "; ".join(f"{name}: {text}" for name, text in sorted(reasons.items()))
    return f"{NO_HOST}: {said}"
