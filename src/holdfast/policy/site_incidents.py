"""Incidents of hosts: opened by a fault, shared by hosts lost together, closed at the end."""

import zlib

import msgspec

from holdfast.facts.actions import Action, TellIncident
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.promises import Owner
from holdfast.facts.verdicts import Effect, FaultRaised
from holdfast.policy import site_alarms
from holdfast.policy.alarms import row_of
from holdfast.policy.site_world import HostRecord, SiteWorld, loss_of

AWAITED = "its pulse is awaited, and others are asked whether it lives"


def open_or_join(world: SiteWorld, record: HostRecord, fault: FaultRaised) -> list[Action]:
    """The record's incident, new if it has none; what is new in the fault is noted in it."""
    known = world.incidents.get(record.incident)
    if known is None:
        known = _open(world, record, fault)
        return [TellIncident(incident=known)]
    conditions = known.conditions
    if fault.condition not in conditions:
        conditions = (*conditions, fault.condition)
    is_its_own = known.host == record.host and not record.together
    title = fault.reason if is_its_own and fault.condition not in known.conditions else known.title
    cause = fault.cause or known.cause
    is_loss = fault.effect in (Effect.GONE, Effect.STUCK)
    step_now = known.step or (AWAITED if is_loss else "")
    wish = _wish(world, known)
    return _tell(
        world,
        known,
        conditions=conditions,
        cause=cause,
        title=title,
        step=step_now,
        needs_you=wish,
    )


def _open(world: SiteWorld, record: HostRecord, fault: FaultRaised) -> Incident:
    incident = Incident(
        id=_id_for(world, record, fault),
        name=record.name,
        host=record.host,
        owner=Owner.NOBODY,
        state=IncidentState.OPEN,
        title=fault.reason,
        fault_at=fault.not_before or fault.fault_at,
        detected_at=fault.detected_at,
        conditions=(fault.condition,),
        cause=fault.cause,
        step=AWAITED if fault.effect in (Effect.GONE, Effect.STUCK) else "",
    )
    record.incident = incident.id
    incident = msgspec.structs.replace(incident, needs_you=_wish(world, incident))
    world.incidents[incident.id] = incident
    return incident


def _id_for(world: SiteWorld, record: HostRecord, fault: FaultRaised) -> str:
    """Short, typeable, and derived from what happened: a replay gives the same one."""
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in record.name.lower())
    number = zlib.crc32(f"{record.host}/{fault.boot}:{fault.condition}".encode())
    while (found := f"{plain[:40].strip('-') or 'host'}-{number % 0x10000:04x}") in world.incidents:
        number += 1
    return found


def page(world: SiteWorld, incident: str, text: str) -> list[Action]:
    """A silence has stood for long enough: it is a person's from now on."""
    known = world.incidents.get(incident)
    if known is None or known.state is IncidentState.CLOSED:
        return []
    return _tell(world, known, step=text, needs_you=_wish(world, known))


def step(world: SiteWorld, incident: str, text: str, needs_you: str) -> list[Action]:
    """What is done about it now, or why nothing is."""
    known = world.incidents.get(incident)
    if known is None or known.state is IncidentState.CLOSED:
        return []
    return _tell(world, known, step=text, needs_you=needs_you)


def step_of_host(world: SiteWorld, record: HostRecord, text: str, needs_you: str) -> list[Action]:
    """As `step`, of a host that may share its incident: then it is named."""
    known = world.incidents.get(record.incident)
    is_its_own = known is None or known.host == record.host
    said = text if is_its_own else f"{record.name} {text}"
    return step(world, record.incident, said, needs_you)


def _wish(world: SiteWorld, incident: Incident) -> str:
    """What a person should do, in the words of its alarm. For a fresh silence nothing yet."""
    records = [one for one in world.hosts.values() if one.incident == incident.id and one.faults]
    lost = [one for one in records if loss_of(one) is not None]
    records = [one for one in lost if one.page_at is None] if lost else records
    if not records:
        return ""
    record = records[0]
    fault = loss_of(record) or next(iter(record.faults.values()))
    together = world.losses.get(record.together)
    if together is not None and lost:
        return f"{together.name}: {BY_ID[site_alarms.TOGETHER].repair}"
    repair = row_of(fault.condition, fault.subject).repair
    return f"{record.name}: {repair.replace('HOST', record.name)}"


def retitle(world: SiteWorld, incident: str, title: str) -> list[Action]:
    known = world.incidents.get(incident)
    return _tell(world, known, title=title) if known else []


def close_if_over(world: SiteWorld, record: HostRecord, reason: str) -> list[Action]:
    """When nothing is wrong any more with any host of it; else what is left is what to do."""
    incident = record.incident
    if not incident:
        return []
    if not record.faults:
        record.incident = ""
    known = world.incidents.get(incident)
    if known is None or known.state is IncidentState.CLOSED:
        return []
    left = [other for other in world.hosts.values() if other.incident == incident]
    if left:
        is_silent = any(loss_of(other) is not None for other in left)
        step_now = known.step if is_silent else ""
        return _tell(world, known, step=step_now, needs_you=_wish(world, known))
    return _tell(
        world,
        known,
        state=IncidentState.CLOSED,
        closed_at=world.now,
        step=reason,
        needs_you="",
    )


def _tell(world: SiteWorld, known: Incident, **changes: object) -> list[Action]:
    changed = msgspec.structs.replace(known, **changes)
    if changed == known:
        return []
    world.incidents[known.id] = changed
    return [TellIncident(incident=changed)]
