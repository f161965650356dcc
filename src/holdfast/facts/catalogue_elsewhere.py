"""Alarms of VMs that are started on another host than their own: a part of the catalogue."""

from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.alarms import EventType, Severity
from holdfast.facts.subjects import SubjectKind

ELSEWHERE: tuple[AlarmType, ...] = (
    AlarmType(
        id="vm-copy-ended",
        title="A VM ran here though another host holds it, and its copy here was ended",
        subject=SubjectKind.VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="DUPLICATE_INFORMATION",
        means="The VM was started on another host, and this host came back with it still running.",
        clears="When nothing of the VM is left on this host.",
        repair="Check the VM's data where it runs now: both may have written to its disks.",
        covers=("H9", "H15"),
    ),
)
