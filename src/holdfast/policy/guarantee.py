"""Whether the site could lose hosts and start all that ran there: tried on paper, host by host."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import combinations, islice

from msgspec import Struct, structs

from holdfast.facts.fencing import HostMode
from holdfast.policy import brakes, placement
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld

MOST_LOSSES = 500  # So many are tried; of a larger site those that would cost most.
MOST_TOGETHER = 2
NOT_KNOWN = "its definition is not known here"


class Unplaced(Struct, frozen=True, kw_only=True):
    """A VM that would not start elsewhere, and why."""

    vm: str
    name: str
    reason: str


class Absorbed(Struct, frozen=True, kw_only=True):
    """What would become of the loss of these hosts. `inaction` is why Holdfast would start none
    of their VMs elsewhere, whatever room there is: it is not to act on one of them. `hindered` is
    why it could not now, though it is to: that passes, or is mended."""

    hosts: tuple[str, ...]
    names: tuple[str, ...]
    vms: int
    stays: tuple[Unplaced, ...]
    inaction: str = ""
    hindered: str = ""


class Paper:
    """The site as it was at one moment: what is tried here changes nothing. `unfenceable` says of
    hosts why no device could switch them off now."""

    def __init__(self, world: SiteWorld, unfenceable: Mapping[str, str] | None = None) -> None:
        self._unfenceable = unfenceable or {}
        self.world = structs.replace(
            world, hosts=dict(world.hosts), promises=dict(world.promises), groups=dict(world.groups)
        )
        self._held: dict[str, list[Promise]] = defaultdict(list)
        for promise in self.world.promises.values():
            if brakes.is_ours(self.world, promise):
                for host in brakes.may_be_on(self.world, promise):
                    self._held[host].append(promise)

    def lose(self, dead: Collection[str]) -> Absorbed:
        """As if these hosts died together, and nothing held anybody back."""
        rooms = placement.Rooms(self.world)
        for host in dead:
            rooms.leave(host)
        held = [one for host in dead for one in self._held[host]]
        stays = []
        for promise in placement.in_order(self.world, held):
            reason = _why_it_stays(self.world, rooms, promise, dead)
            if reason:
                protection = promise.protection
                stays.append(Unplaced(vm=protection.vm, name=protection.name, reason=reason))
        records = [self.world.hosts[host] for host in dead]
        return Absorbed(
            hosts=tuple(dead),
            names=tuple(one.name for one in records),
            vms=len(held),
            stays=tuple(stays),
            inaction="; ".join(filter(None, (inaction(self.world, one) for one in records))),
            hindered="; ".join(dict.fromkeys(filter(None, map(self.hindered, records)))),
        )

    def hindered(self, record: HostRecord) -> str:
        return hindered(self.world, record, self._unfenceable.get(record.host, ""))

    def lose_each(self, together: int = 1, host: str = "") -> Iterator[Absorbed]:
        """The loss of any so many hosts at once, or only of those with `host` among them; the most
        costly first, and no more than are tried."""
        costs = {host: sum(map(_mib, self._held[host])) for host in self.world.hosts}
        hosts = sorted(costs, key=lambda host: (-costs[host], host))
        groups = (one for one in combinations(hosts, together) if not host or host in one)
        for dead in islice(groups, MOST_LOSSES):
            yield self.lose(dead)


def lose(world: SiteWorld, dead: Collection[str]) -> Absorbed:
    return Paper(world).lose(dead)


def lose_each(world: SiteWorld, together: int = 1) -> Iterator[Absorbed]:
    return Paper(world).lose_each(together)


def is_kept(tried: Iterable[Absorbed]) -> bool:
    """Whether each of these losses would be absorbed, where it is Holdfast's to act."""
    return not any(one.stays for one in tried if not one.inaction)


def inaction(world: SiteWorld, record: HostRecord) -> str:
    """Why Holdfast starts no VM of this host elsewhere when it dies, or empty."""
    if record.mode is not HostMode.ACT:
        return f"{record.name} is in report mode"
    if record.devices or brakes.leased_vms(world, record):
        return ""
    return f"no fence device is set for {record.name}"


def hindered(world: SiteWorld, record: HostRecord, unfenceable: str = "") -> str:
    """Why Holdfast could not act on this host if it died now, though it is to act; or empty."""
    if inaction(world, record):
        return ""
    brake = brakes.hindrance(world, record)
    if brake:
        return brake
    if not record.pulses and record.was_heard:
        return f"{record.name} is silent already"
    # The same host may be lost again: it counts once.
    others_lost = sorted(one.name for one in brakes.counted(world) if one is not record)
    if len(others_lost) >= brakes.allowed(world):
        are, were = ("are", "were") if len(others_lost) > 1 else ("is", "was")
        word = f"{are} silent, or {were} fenced a moment ago: one more is for a person"
        return f"{', '.join(others_lost)} {word}"
    others = [host for host in world.hosts if host != record.host]
    if others and world.drains.keys() >= set(others):
        return "every other host is in maintenance (drained), and takes no VM"
    leased = brakes.leased_vms(world, record)
    on_power = [p for p in brakes.at_stake(world, record) if p.protection.vm not in leased]
    if not unfenceable or (leased and not on_power):
        return ""
    return f"{record.name} could not be switched off now: {unfenceable}"


def _why_it_stays(
    world: SiteWorld, rooms: placement.Rooms, promise: Promise, dead: Collection[str]
) -> str:
    if promise.needs is None:
        return NOT_KNOWN
    tie = world.tie_of(promise)
    if tie:
        return tie
    if unproven := _unproven(world, promise):
        return unproven
    target, why = placement.choose(world, rooms, promise, gone=dead)
    if target:
        rooms.take(promise, target)
        return ""
    return why


def _unproven(world: SiteWorld, promise: Promise) -> str:
    """Where only a lease could prove its host's VMs gone: why it is not one of those, or empty."""
    record = world.hosts.get(promise.protection.tenure.host)
    leased = brakes.leased_vms(world, record) if record is not None else ()
    if record is None or record.devices or not leased or promise.protection.vm in leased:
        return ""
    return f"no fence device is set for {record.name}, and it does not rely on its lease"


def _mib(promise: Promise) -> int:
    return promise.needs.memory_mib if promise.needs else 0


def elsewhere(world: SiteWorld, promise: Promise) -> str:
    """Why this VM would not start elsewhere if its host died now, or empty."""
    host = promise.protection.tenure.host
    if host not in world.hosts:
        return "its host is not known here"
    absorbed = lose(world, (host,))
    vm = promise.protection.vm
    return next((one.reason for one in absorbed.stays if one.vm == vm), "")
