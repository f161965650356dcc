"""What stands in the way of a VM's start on another host, and what a new promise would break."""

from collections.abc import Iterable, Mapping

from msgspec import Struct, structs

from holdfast.facts.promises import Owner
from holdfast.facts.tenure import RESTORED, Wanted
from holdfast.policy import brakes, guarantee, rebuilding
from holdfast.policy.guarantee import Absorbed, Paper
from holdfast.policy.site_world import Promise, SiteWorld

ROOM_HELPS = "make room on another host, or see what each one lacks: holdfast guarantee"


class Obstacle(Struct, frozen=True, kw_only=True):
    """Why a VM would not start elsewhere, as a sentence without its subject; and what helps.
    `is_passing`: it would, but for what hinders Holdfast now."""

    reason: str
    helps: str
    is_passing: bool = False


def with_promise(world: SiteWorld, promise: Promise) -> SiteWorld:
    """As if this VM were protected, too."""
    return structs.replace(world, promises={**world.promises, promise.protection.vm: promise})


def obstacle(
    world: SiteWorld, promise: Promise, of_host: Absorbed | None = None
) -> Obstacle | None:
    """The first one: what its agent says of the VM itself, then what the site says. `of_host` is
    the loss of its host, where that was tried already."""
    tenure = promise.protection.tenure
    record = world.hosts.get(tenure.host)
    tie = world.tie_of(promise)
    if promise.needs is not None and tie:
        group = world.group_of(promise.protection)
        helps = rebuilding.helps(promise.needs, promise.protection, group)
        return Obstacle(reason=tie, helps=helps or "mend that on its own host")
    if not brakes.is_ours(world, promise):
        return _not_ours(world, promise)
    if record is None:
        return Obstacle(reason="its host is not known here", helps="holdfast host list")
    why = guarantee.inaction(world, record)
    if why:
        helps = f"holdfast host mode {record.name} act" if record.devices else _set(record.name)
        return Obstacle(reason=why, helps=helps)
    found = of_host or Paper(world).lose((record.host,))
    vm = promise.protection.vm
    reason = next((one.reason for one in found.stays if one.vm == vm), "")
    if reason == guarantee.NOT_KNOWN:
        return Obstacle(reason=reason, helps="its agent tells it in a moment: look again")
    if reason:
        return Obstacle(reason=reason, helps=ROOM_HELPS)
    helps = f"see what hinders it: holdfast host show {record.name}"
    is_hindered = bool(found.hindered)
    return Obstacle(reason=found.hindered, helps=helps, is_passing=True) if is_hindered else None


def _set(name: str) -> str:
    return f"holdfast fence set {name} AGENT ..., then: holdfast host mode {name} act"


def _not_ours(world: SiteWorld, promise: Promise) -> Obstacle:
    protection = promise.protection
    owner = world.group_of(protection).owner
    if owner is not Owner.HOLDFAST:
        helps = f"holdfast group set {protection.group} --owner holdfast"
        return Obstacle(reason=f"its recovery is owned by {owner}", helps=helps)
    again = f"holdfast vm protect {protection.name}"
    if protection.tenure.boot in ("", RESTORED):
        return Obstacle(reason="it is in doubt what its host held", helps=again)
    assert protection.tenure.wanted is Wanted.STOPPED
    return Obstacle(reason="it is wanted stopped", helps="start it, if it should run")


def obstacles(world: SiteWorld, tried: Iterable[Absorbed]) -> dict[str, Obstacle | None]:
    """Of each protected VM whose host's loss was tried, by its id."""
    of_host = {one.hosts[0]: one for one in tried}
    held = {vm: one.protection.tenure.host for vm, one in world.promises.items()}
    return {
        vm: obstacle(world, world.promises[vm], of_host.get(host))
        for vm, host in held.items()
        if host in of_host or host not in world.hosts
    }


def broken_by(vm: str, before: Mapping[tuple[str, ...], Absorbed], after: Absorbed) -> str:
    """Who else would start nowhere now that this VM is protected, too, should these hosts be
    lost; a sentence, or empty."""
    known = before.get(after.hosts)
    stayed = {one.vm for one in known.stays} if known else set()
    new = [one for one in after.stays if one.vm not in stayed and one.vm != vm]
    if not new or after.inaction:
        return ""
    first, more = new[0], f" and {len(new) - 1} more" if len(new) > 1 else ""
    lost = " and ".join(after.names)
    return f"{first.name}{more} would start nowhere if {lost} were lost: {first.reason}"
