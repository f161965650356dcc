"""Verdicts become alarms: raised, changed and cleared, with rising revisions and a root cause."""

import msgspec

from holdfast.facts.actions import Report
from holdfast.facts.alarms import Alarm, AlarmState, Severity, alarm_key
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, FaultCleared, FaultRaised
from holdfast.policy.world import World


def key_of(world: World, fault: FaultRaised | FaultCleared) -> str:
    incarnation = fault.life.key if fault.life else f"{fault.subject.id}/{world.boot}"
    if fault.subject.kind is SubjectKind.DISK:  # Two disks of one life are two alarms.
        incarnation = f"{incarnation}/{fault.subject.id}"
    return alarm_key(incarnation, fault.condition)


def raise_or_change(
    world: World, fault: FaultRaised, incident: Incident | None = None, repair: str = ""
) -> list[Report]:
    """Report the fault, unless it says nothing that is not known already."""
    row = BY_ID[fault.condition]
    key = key_of(world, fault)
    known = world.alarms.get(key)
    revision = known.revision if known else world.revisions.pop(key, 0)
    severity = row.severity
    if fault.certainty is not Certainty.CERTAIN and severity is Severity.CRITICAL:
        severity = Severity.MAJOR
    alarm = Alarm(
        key=key,
        condition=fault.condition,
        revision=revision + 1,
        state=AlarmState.CHANGED if known else AlarmState.RAISED,
        subject=fault.subject,
        host=world.host_name,
        boot=world.boot,
        certainty=fault.certainty,
        severity=severity,
        text=fault.reason,
        fault_at=known.fault_at if known else fault.fault_at,
        detected_at=known.detected_at if known else fault.detected_at,
        cause=fault.cause,
        root=_root(world, incident, key),
        incident=incident.id if incident else "",
        not_before=fault.not_before,
        repair=repair or row.repair,
        details=fault.evidence,
    )
    if known and _says_nothing_new(known, alarm):
        return []
    world.alarms[key] = alarm
    return [Report(alarm=alarm)]


def change(world: World, key: str, *, text: str, repair: str | None = None) -> list[Report]:
    """Say more of an open alarm; nothing if it is not open or says that already."""
    known = world.alarms.get(key)
    if known is None or known.text == text:
        return []
    alarm = msgspec.structs.replace(
        known,
        revision=known.revision + 1,
        state=AlarmState.CHANGED,
        text=text,
        repair=known.repair if repair is None else repair,
    )
    world.alarms[key] = alarm
    return [Report(alarm=alarm)]


def clear(world: World, key: str, reason: str) -> list[Report]:
    """Nothing if it is not open: a clear for what was never raised says nothing."""
    known = world.alarms.pop(key, None)
    if known is None:
        return []
    alarm = msgspec.structs.replace(
        known,
        revision=known.revision + 1,
        state=AlarmState.CLEARED,
        severity=Severity.CLEARED,
        text=reason,
        repair="",
    )
    world.revisions[key] = alarm.revision
    return [Report(alarm=alarm)]


def clear_of_incident(world: World, incident: str, reason: str) -> list[Report]:
    keys = [key for key, alarm in world.alarms.items() if alarm.incident == incident]
    return [report for key in keys for report in clear(world, key, reason)]


def own(
    world: World, condition: str, subject: Subject, text: str, at: Instant, incident: str = ""
) -> list[Report]:
    """An alarm that policy itself raises, about the world's promises."""
    row = BY_ID[condition]
    key = own_key(world, condition, subject)
    known = world.alarms.get(key)
    if known:
        return change(world, key, text=text)
    alarm = Alarm(
        key=key,
        condition=condition,
        revision=world.revisions.pop(key, 0) + 1,
        state=AlarmState.RAISED,
        subject=subject,
        host=world.host_name,
        boot=world.boot,
        certainty=Certainty.CERTAIN,
        severity=row.severity,
        text=text,
        fault_at=at,
        detected_at=at,
        incident=incident,
        root=_root(world, world.incidents.get(incident), key),
        repair=row.repair,
    )
    world.alarms[key] = alarm
    return [Report(alarm=alarm)]


def own_key(world: World, condition: str, subject: Subject) -> str:
    return alarm_key(f"{subject.id}/{world.boot}", condition)


def _root(world: World, incident: Incident | None, key: str) -> str:
    """The first alarm of an incident is its root cause; the others point to it."""
    if incident is None:
        return ""
    first = next((a.key for a in world.alarms.values() if a.incident == incident.id), key)
    return "" if first == key else first


def _says_nothing_new(known: Alarm, alarm: Alarm) -> bool:
    same = {"revision": known.revision, "state": known.state, "details": known.details}
    return msgspec.structs.replace(alarm, **same) == known
