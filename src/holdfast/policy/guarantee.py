"""Whether the site could lose hosts and start all that ran there: tried on paper, host by host."""

from collections.abc import Collection, Iterator
from itertools import combinations

from msgspec import Struct

from holdfast.policy import brakes, placement
from holdfast.policy.site_world import Promise, SiteWorld

MOST_LOSSES = 500  # So many are tried; of a larger site those that would cost most.


class Unplaced(Struct, frozen=True, kw_only=True):
    """A VM that would not start elsewhere, and why."""

    vm: str
    name: str
    reason: str


class Absorbed(Struct, frozen=True, kw_only=True):
    """What would become of the loss of these hosts."""

    hosts: tuple[str, ...]
    names: tuple[str, ...]
    vms: int
    stays: tuple[Unplaced, ...]


def lose(world: SiteWorld, dead: Collection[str]) -> Absorbed:
    """As if these hosts died together, and nothing held anybody back."""
    rooms = placement.Rooms(world)
    for host in dead:
        rooms.leave(host)
    held = [one for host in dead for one in brakes.at_stake(world, world.hosts[host])]
    stays = []
    for promise in placement.in_order(world, held):
        reason = _why_it_stays(world, rooms, promise, dead)
        if reason:
            protection = promise.protection
            stays.append(Unplaced(vm=protection.vm, name=protection.name, reason=reason))
    return Absorbed(
        hosts=tuple(dead),
        names=tuple(world.hosts[host].name for host in dead),
        vms=len(held),
        stays=tuple(stays),
    )


def _why_it_stays(
    world: SiteWorld, rooms: placement.Rooms, promise: Promise, dead: Collection[str]
) -> str:
    if promise.needs is None:
        return "its definition is not known here"
    if promise.needs.obstacle:
        return promise.needs.obstacle
    target, why = placement.choose(world, rooms, promise, gone=dead)
    if target:
        rooms.take(promise, target)
        return ""
    return why


def lose_each(world: SiteWorld, together: int = 1) -> Iterator[Absorbed]:
    """The loss of any so many hosts at once; the most costly first, and no more than are tried."""
    costs = {
        host: sum(p.needs.memory_mib for p in brakes.at_stake(world, record) if p.needs)
        for host, record in world.hosts.items()
    }
    hosts = sorted(costs, key=lambda host: (-costs[host], host))
    for number, dead in enumerate(combinations(hosts, together)):
        if number >= MOST_LOSSES:
            return
        yield lose(world, dead)


def elsewhere(world: SiteWorld, promise: Promise) -> str:
    """Why this VM would not start elsewhere if its host died now, or empty."""
    host = promise.protection.tenure.host
    if host not in world.hosts:
        return "its host is not known here"
    absorbed = lose(world, (host,))
    vm = promise.protection.vm
    return next((one.reason for one in absorbed.stays if one.vm == vm), "")
