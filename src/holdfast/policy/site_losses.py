"""Hosts that share a rack or a switch and fall silent together are one loss, and one alarm."""

from collections import Counter

import msgspec

from holdfast.facts.actions import Action
from holdfast.facts.alarms import alarm_key
from holdfast.facts.instants import Instant, elapsed_ms
from holdfast.facts.verdicts import FaultRaised
from holdfast.policy import site_alarms, site_incidents, site_plans
from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import HostRecord, Loss, SiteWorld, loss_of
from holdfast.policy.timing import TOGETHER_LOST_MS


def join(world: SiteWorld, record: HostRecord, fault: FaultRaised) -> list[str]:
    """A host was just lost: with others that share something, it is a part of one loss."""
    near = [
        other
        for other in world.hosts.values()
        if other is not record
        and other.state in SILENT
        and other.lost_at is not None
        and elapsed_ms(other.lost_at, world.now) <= TOGETHER_LOST_MS
    ]
    shared = Counter(one for other in near for one in _shares(record) & _shares(other))
    if not shared:
        return []
    kind, name = min(shared, key=lambda one: (-shared[one], one))
    with_it = [other for other in near if (kind, name) in _shares(other)]
    known = next((world.losses[o.together] for o in with_it if o.together in world.losses), None)
    if known is None:
        first = min(with_it, key=lambda other: other.lost_at or 0)
        shared_id = f"{kind}/{name}"
        key = alarm_key(f"{shared_id}/{first.host}/{first.boot}", site_alarms.TOGETHER)
        known = Loss(
            key=key,
            shared=shared_id,
            name=f"{kind} {name}",
            hosts=[],
            fault_at=min((_fault_at(other, fault) for other in with_it), default=fault.fault_at),
            detected_at=world.now,
        )
        world.losses[key] = known
    incident = next((other.incident for other in with_it if other.incident), "")
    for member in [*with_it, record]:
        if not member.together:
            member.together = known.key
            known.hosts.append(member.host)
    record.incident = record.incident or incident
    return []


def tell(world: SiteWorld, record: HostRecord) -> list[Action]:
    """The incident of a loss is named by it."""
    loss = world.losses.get(record.together)
    if loss is None:
        return []
    key = site_alarms.want_loss(world, loss, _incident(world, loss))
    return site_incidents.retitle(world, _incident(world, loss), world.wanted[key].text)


def keys(world: SiteWorld, record: HostRecord) -> list[str]:
    """The alarm on the loss comes before those of its hosts."""
    return [record.together] if record.together in world.losses else []


def others(world: SiteWorld, record: HostRecord, over: str) -> list[str]:
    """Alarms of hosts lost a moment earlier now hang below the same root."""
    loss = world.losses.get(record.together)
    if loss is None:
        return []
    members = [world.hosts[host] for host in loss.hosts if host != record.host]
    return [key for member in members for key in site_alarms.want_host(world, member, over)]


def leave(world: SiteWorld, record: HostRecord, over: str) -> list[str]:
    """A host is back, or a person dealt with it; with the last one the loss is over."""
    loss = world.losses.get(record.together)
    record.together = ""
    if loss is None:
        return []
    if record.host in loss.hosts:
        loss.hosts.remove(record.host)
    if not loss.hosts:
        del world.losses[loss.key]
        site_alarms.unwant(world, loss.key, over)
    return [loss.key]


def begin_anew(world: SiteWorld) -> None:
    """The host of this controller was booted: no instant of before means anything now."""
    for record in world.hosts.values():
        record.heard_at = Instant(0)
        record.faults = {}
        record.keys = ()
        record.together = ""
        record.lost_at = record.ask_at = record.page_at = None
        site_plans.begin_anew(world, record)
    world.losses.clear()
    world.wanted.clear()
    world.said.clear()
    world.over.clear()
    world.own_faults.clear()
    world.fenced_at.clear()
    world.storm_at.clear()
    world.starting.clear()
    world.acts_at = world.disarmed_until = None
    now = world.now
    for key, alarm in world.reported.items():
        world.reported[key] = msgspec.structs.replace(alarm, fault_at=now, detected_at=now)
    for name, incident in world.incidents.items():
        world.incidents[name] = msgspec.structs.replace(incident, fault_at=now, detected_at=now)


def _shares(record: HostRecord) -> set[tuple[str, str]]:
    both = (("rack", record.rack), ("switch", record.switch))
    return {one for one in both if one[1]}


def _incident(world: SiteWorld, loss: Loss) -> str:
    return next((world.hosts[h].incident for h in loss.hosts if world.hosts[h].incident), "")


def _fault_at(record: HostRecord, fault: FaultRaised) -> Instant:
    lost = loss_of(record)
    return min(lost.fault_at, fault.fault_at) if lost else fault.fault_at
