"""Verdicts become alarms: raised, changed and cleared, with rising revisions and a root cause."""

import msgspec

from holdfast.facts.actions import Report
from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.alarms import Alarm, AlarmState, EventType, Severity, alarm_key
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import Incarnation, Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, FaultCleared, FaultRaised
from holdfast.policy.world import World


def row_of(condition: str, subject: Subject) -> AlarmType:
    """The catalogue's row. A condition that it does not know is shown as just that."""
    return BY_ID.get(condition) or AlarmType(
        id=condition,
        title="A fault that this version does not know",
        subject=subject.kind,
        event_type=EventType.PROCESSING,
        severity=Severity.INDETERMINATE,
        probable_cause="INDETERMINATE",
        means="A detector told of a condition that the catalogue does not have.",
        clears="When the detector says so.",
        repair="Look at the subject; nothing is done about it by itself.",
        covers=(),
    )


def key_of(world: World, fault: FaultRaised | FaultCleared) -> str:
    incarnation = fault.life.key if fault.life else f"{fault.subject.id}/{world.boot}"
    if fault.subject.kind is SubjectKind.DISK:  # Two disks of one life are two alarms.
        incarnation = f"{incarnation}/{fault.subject.id}"
    return alarm_key(incarnation, fault.condition)


def raise_or_change(
    world: World,
    fault: FaultRaised,
    incident: Incident | None = None,
    repair: str = "",
    root: str = "",
) -> list[Report]:
    """Report the fault, unless it says nothing that is not known already."""
    row = row_of(fault.condition, fault.subject)
    key = key_of(world, fault)
    known = world.alarms.get(key)
    severity = row.severity
    if fault.certainty is not Certainty.CERTAIN and severity is Severity.CRITICAL:
        severity = Severity.MAJOR
    alarm = Alarm(
        key=key,
        condition=fault.condition,
        revision=known.revision + 1 if known else _first_revision(world, key),
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
        root=root or _root(world, incident, key),
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


def clear_of_incident(
    world: World, incident: str, reason: str, condition: str = ""
) -> list[Report]:
    """All alarms of an incident, or those of one condition."""
    found = [
        alarm.key
        for alarm in world.alarms.values()
        if alarm.incident == incident and condition in ("", alarm.condition)
    ]
    return [report for key in found for report in clear(world, key, reason)]


def clear_of_life(world: World, life: Incarnation, reason: str) -> list[Report]:
    """What was wrong with an earlier life, and belongs to no incident, is over with it."""
    found = [
        alarm.key
        for alarm in world.alarms.values()
        if not alarm.incident and alarm.key.startswith((f"{life.key}:", f"{life.key}/"))
    ]
    return [report for key in found for report in clear(world, key, reason)]


def own(
    world: World,
    condition: str,
    subject: Subject,
    text: str,
    at: Instant,
    incident: str = "",
    root: str = "",
) -> list[Report]:
    """An alarm that policy itself raises, about the world's promises."""
    row = row_of(condition, subject)
    key = own_key(world, condition, subject)
    if key in world.alarms:
        return change(world, key, text=text)
    alarm = Alarm(
        key=key,
        condition=condition,
        revision=_first_revision(world, key),
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
        root=root or _root(world, world.incidents.get(incident), key),
        repair=row.repair,
    )
    world.alarms[key] = alarm
    return [Report(alarm=alarm)]


def own_key(world: World, condition: str, subject: Subject) -> str:
    return alarm_key(f"{subject.id}/{world.boot}", condition)


def root_of(world: World, incident: str) -> str:
    """The first open alarm of an incident is its root cause; empty if none is open."""
    return next((a.key for a in world.alarms.values() if a.incident == incident), "")


def _root(world: World, incident: Incident | None, key: str) -> str:
    first = root_of(world, incident.id) if incident else ""
    return "" if first == key else first


def _first_revision(world: World, key: str) -> int:
    """Higher than any that this key ever had, also if that was forgotten."""
    return world.revisions.pop(key, world.forgotten_revision) + 1


def _says_nothing_new(known: Alarm, alarm: Alarm) -> bool:
    same = {"revision": known.revision, "state": known.state, "details": known.details}
    return msgspec.structs.replace(alarm, **same) == known
