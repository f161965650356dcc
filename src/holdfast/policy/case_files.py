"""Incidents: opened by a fault, joined by what belongs to it, closed by the guest's answer."""

import zlib

import msgspec

from holdfast.facts.actions import Action, TellIncident
from holdfast.facts.commands import StartOrdered
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant, elapsed_ms, spoken
from holdfast.facts.promises import Owner
from holdfast.facts.subjects import Incarnation
from holdfast.facts.verdicts import FaultRaised
from holdfast.policy import alarms, promise
from holdfast.policy.timing import LEVEL_MS
from holdfast.policy.world import VmRecord, World


def open_or_join(world: World, record: VmRecord, fault: FaultRaised) -> Incident:
    """The record's incident, new if it has none; what is new in the fault is noted in it."""
    known = world.incidents.get(record.incident)
    if known is None:
        return _open(world, record, fault)
    record.is_quiet = False
    conditions = known.conditions
    if fault.condition not in conditions:
        conditions = (*conditions, fault.condition)
    return update(world, known.id, conditions=conditions, cause=known.cause or fault.cause)


def _open(world: World, record: VmRecord, fault: FaultRaised) -> Incident:
    life = fault.life or record.life
    assert life is not None, "a fault without a life opens no incident"
    since = fault.not_before or fault.fault_at  # An outage is never made to look shorter.
    incident = _begin(world, record, life, fault.condition, fault.reason, since)
    return update(
        world,
        incident.id,
        detected_at=fault.detected_at,
        conditions=(fault.condition,),
        cause=fault.cause,
    )


def open_ordered(world: World, record: VmRecord, order: StartOrdered) -> Incident:
    """The fault was its host's death: the controllers tell of that, and this is its start here."""
    assert record.life is not None, "an order gives it one"
    condition = f"generation {order.protection.tenure.generation}"
    title = f"{record.name} is started here: its host {order.was} is dead"
    cause = f"host {order.was} is dead (incident {order.incident})"
    if not order.was:
        title = f"{record.name} is made here, from the template of its group"
        cause = f"group {order.protection.group} was promised it"
    incident = _begin(world, record, record.life, condition, title, order.fault_at)
    return update(world, incident.id, detected_at=world.now, cause=cause)


def _begin(
    world: World, record: VmRecord, life: Incarnation, condition: str, title: str, since: Instant
) -> Incident:
    group = world.group_of(record)
    incident = Incident(
        id=_id_for(world, record, life, condition),
        vm=record.vm,
        name=record.name,
        life=life,
        group=record.protection.group if record.protection else "",
        owner=group.owner if record.protection else Owner.NOBODY,
        state=IncidentState.OPEN,
        title=title,
        fault_at=since,
        detected_at=since,
        level_ms=LEVEL_MS.get(group.level) if record.protection else None,
    )
    world.incidents[incident.id] = incident
    record.incident = incident.id
    return incident


def _id_for(world: World, record: VmRecord, life: Incarnation, condition: str) -> str:
    """Short, typeable, and derived from what happened: a replay gives the same one."""
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in record.name.lower())
    number = zlib.crc32(f"{life.key}:{condition}".encode())
    while (found := f"{plain[:40].strip('-') or 'vm'}-{number % 0x10000:04x}") in world.incidents:
        number += 1
    return found


def update(world: World, incident: str, **changes: object) -> Incident:
    changed = msgspec.structs.replace(world.incidents[incident], **changes)
    world.incidents[incident] = changed
    return changed


def owned_by(world: World, record: VmRecord) -> list[Action]:
    """The group, or its owner, is another than when the incident was opened."""
    known = world.incidents.get(record.incident)
    if known is None or record.is_quiet:
        return []
    group = world.group_of(record)
    is_kept = record.protection is not None
    changed = msgspec.structs.replace(
        known,
        group=record.protection.group if record.protection else "",
        owner=group.owner if is_kept else Owner.NOBODY,
        level_ms=LEVEL_MS.get(group.level) if is_kept else None,
    )
    if changed == known:
        return []
    world.incidents[known.id] = changed
    return [TellIncident(incident=changed)]


def step(world: World, record: VmRecord, text: str, needs_you: str = "") -> list[Action]:
    """Say where recovery stands; nothing if that was said already."""
    known = world.incidents.get(record.incident)
    if known is None or (known.step == text and known.needs_you == needs_you):
        return []
    record.is_quiet = False
    return [TellIncident(incident=update(world, known.id, step=text, needs_you=needs_you))]


def close(
    world: World, record: VmRecord, reason: str, *, answered: bool = False, verified: bool = False
) -> list[Action]:
    """Close the record's incident and clear its alarms; nothing if it has none."""
    known = world.incidents.get(record.incident)
    is_timed = answered and not record.is_across_boot
    record.wake_at = record.start_due = None
    record.is_awaited = record.is_live_fault = record.is_across_boot = False
    record.is_unexplained = record.is_ordered = record.is_copy = False
    record.incident, record.attempt, record.start_limit = "", 0, 0
    if known is not None and record.is_quiet:
        del world.incidents[known.id]  # Nobody has heard of it.
        known = None
    record.is_quiet = False
    if known is None:
        return []
    recovered_ms = elapsed_ms(known.fault_at, world.now) if is_timed else None
    closed = update(
        world,
        known.id,
        state=IncidentState.CLOSED,
        closed_at=world.now,
        step=reason + _against_level(known, recovered_ms),
        recovered_ms=recovered_ms,
        verified=verified,
        needs_you="",
    )
    told: list[Action] = list(alarms.clear_of_incident(world, closed.id, closed.step))
    if record.protection:
        told += promise.judge_group(world, record.protection.group)
    return [*told, TellIncident(incident=closed)]


def _against_level(incident: Incident, recovered_ms: float | None) -> str:
    if recovered_ms is None or incident.level_ms is None:
        return ""
    word = "within" if recovered_ms <= incident.level_ms else "later than"
    allowed = spoken(incident.level_ms)
    return f", {spoken(recovered_ms)} after the fault, {word} the {allowed} of its service level"
