"""Every alarm that Holdfast can raise: what it means, how it clears, what to do.

The documentation's pages (docs/operate) and `holdfast alarms --catalogue` come from this table.
Probable causes are those of X.733 / 3GPP TS 28.111.
"""

from msgspec import Struct

from holdfast.facts.alarms import EventType, Severity
from holdfast.facts.subjects import SubjectKind


class AlarmType(Struct, frozen=True, kw_only=True):
    """`id` is the condition of the verdicts that raise it, the page's name and the metric label."""

    id: str
    title: str
    subject: SubjectKind
    event_type: EventType
    severity: Severity
    probable_cause: str
    means: str
    clears: str
    repair: str
    covers: tuple[str, ...]
    pushed: bool = True  # Reported within a second; else found by polling, within `period_s`.
    period_s: int = 0


_VM = SubjectKind.VM
_SELF = SubjectKind.HOLDFAST

CATALOGUE: tuple[AlarmType, ...] = (
    AlarmType(
        id="vm-gone",
        title="The VM's QEMU process is gone",
        subject=_VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="SOFTWARE_PROGRAM_ABNORMALLY_TERMINATED",
        means="QEMU crashed, was killed, or was ended by the kernel for want of memory.",
        clears="When the VM runs again and its guest answers as promised, or a person settles it.",
        repair="A protected VM is restarted in place; else start it: virsh start NAME.",
        covers=("H6", "H9", "H20"),
    ),
    AlarmType(
        id="vm-ended-outside",
        title="Somebody outside libvirt ended the VM",
        subject=_VM,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="OUT_OF_SERVICE",
        means="QEMU got a signal to end (kill -TERM) that libvirt did not send.",
        clears="When the VM runs again and its guest answers as promised, or a person settles it.",
        repair="A protected VM is restarted in place. QEMU's log has the pid of the sender.",
        covers=("H6",),
    ),
    AlarmType(
        id="vm-stopped-unexplained",
        title="The VM stopped and nobody could say why",
        subject=_VM,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="OUT_OF_SERVICE",
        means="QEMU ended cleanly while every witness (libvirt, events, QEMU's log) was silent.",
        clears="When a witness explains it (retracted), or the VM runs again.",
        repair="Look at the last words; start the VM if it should run: virsh start NAME.",
        covers=("H6",),
    ),
    AlarmType(
        id="vm-panicked",
        title="The guest's kernel panicked",
        subject=_VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="SOFTWARE_ERROR",
        means="The guest told its panic device that its kernel cannot go on.",
        clears="When the guest answers again, or a person settles it.",
        repair="A protected VM is ended and restarted; the last words hold console and screenshot.",
        covers=("H6", "H8"),
    ),
    AlarmType(
        id="vm-crash-dumping",
        title="The guest panicked and is writing its own crash dump",
        subject=_VM,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="SOFTWARE_ERROR",
        means="The guest's crash kernel is running. It is left alone until it is done or overdue.",
        clears="When the guest answers again; it becomes vm-panicked if the dump takes too long.",
        repair="Nothing: do not reset the VM, its dump would be lost.",
        covers=("H6", "H8"),
    ),
    AlarmType(
        id="vm-watchdog-fired",
        title="The guest's watchdog fired",
        subject=_VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="WATCH_DOG_TIMER_EXPIRED",
        means="Nothing in the guest petted its virtual watchdog in time.",
        clears="When the guest answers again, or a person settles it.",
        repair="QEMU does what the VM's watchdog action says; left stopped, it is restarted.",
        covers=("H6",),
    ),
    AlarmType(
        id="vm-io-error",
        title="A disk of the VM returned I/O errors",
        subject=SubjectKind.DISK,
        event_type=EventType.EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="INPUT_OUTPUT_DEVICE_ERROR",
        means="A read or write of the VM's disk failed on the host; the VM may be paused by it.",
        clears="When the VM has run for 60 s without a further error.",
        repair="Mend the storage, then: virsh resume NAME. A restart would meet the same disk.",
        covers=("H6",),
    ),
    AlarmType(
        id="vm-stuck",
        title="The guest is stuck",
        subject=_VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="TIMEOUT_EXPIRED",
        means="The guest agent is silent, and the vCPUs do not run at all or do nothing but spin.",
        clears="When the guest agent answers again, or a person settles it.",
        repair="A protected VM is ended and restarted; the last words hold console and screenshot.",
        covers=("H6",),
        pushed=False,
        period_s=12,
    ),
    AlarmType(
        id="recovery-given-up",
        title="A protected VM could not be brought back",
        subject=_VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="OUT_OF_SERVICE",
        means="Restarts failed, did not answer, or used up the budget: handed over.",
        clears="When the VM runs and answers again, or a person settles it.",
        repair="Read `holdfast explain`, mend the cause, then: holdfast vm recover NAME.",
        covers=("H9", "H20"),
    ),
    AlarmType(
        id="promise-broken",
        title="A group has fewer VMs in service than promised",
        subject=SubjectKind.POOL,
        event_type=EventType.QUALITY,
        severity=Severity.MAJOR,
        probable_cause="UNDERLYING_RESOURCE_UNAVAILABLE",
        means="A VM of the group that should run does not, and recovery has been given up.",
        clears="When every VM of the group that should run does.",
        repair="holdfast group show NAME names the VMs and their obstacles.",
        covers=("H9",),
    ),
    AlarmType(
        id="libvirt-silent",
        title="libvirt does not answer",
        subject=SubjectKind.PROCESS,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="APPLICATION_SUBSYSTEM_FAILURE",
        means="libvirt's daemon died, was stopped for 10 s (a restart takes less), or is hung.",
        clears="When libvirt answers again; the whole state is then read anew.",
        repair="VMs run on and are watched through the kernel. Restart libvirtd when convenient.",
        covers=("H6",),
    ),
    AlarmType(
        id="reporting-slow",
        title="Holdfast itself reports too slowly",
        subject=_SELF,
        event_type=EventType.QUALITY,
        severity=Severity.MAJOR,
        probable_cause="PERFORMANCE_DEGRADED",
        means="The p99 from a fault to the VIM's answer, over the last 100 reports, passed 1 s.",
        clears="When the p99 of the last 100 reports is below 1 s again.",
        repair="Look for a slow VIM, a starved host or a full disk: holdfast status.",
        covers=("H5",),
    ),
    AlarmType(
        id="records-lost",
        title="Holdfast could not keep a record",
        subject=_SELF,
        event_type=EventType.PROCESSING,
        severity=Severity.MINOR,
        probable_cause="STORAGE_CAPACITY_PROBLEM",
        means="A journal, outbox or recorder write failed, or a file was corrupt; losses count.",
        clears="When writing has worked again for 60 s.",
        repair="Free space on the state directory's file system, or look at its disk.",
        covers=("H5", "H8"),
    ),
    AlarmType(
        id="disarmed",
        title="Recovery is disarmed",
        subject=_SELF,
        event_type=EventType.PROCESSING,
        severity=Severity.WARNING,
        probable_cause="OUT_OF_SERVICE",
        means="A person switched automatic recovery off, with a reason and an end.",
        clears="When it ends by itself, or with holdfast arm.",
        repair="holdfast arm",
        covers=("H9",),
    ),
    AlarmType(
        id="agent-amnesiac",
        title="The agent's memory is new, corrupt or rolled back",
        subject=_SELF,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="CORRUPT_DATA",
        means="The agent cannot know which VMs it may run: it reports, and starts nothing.",
        clears="When its VMs are granted to it again.",
        repair="holdfast vm protect NAME for each VM that this host shall hold.",
        covers=("H20",),
    ),
)

BY_ID: dict[str, AlarmType] = {row.id: row for row in CATALOGUE}
