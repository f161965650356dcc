"""The catalogue's rows on what Holdfast does about hosts that are silent, and cannot do."""

from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.alarms import EventType, Severity
from holdfast.facts.subjects import SubjectKind

_HOST = SubjectKind.HOST


ACTING: tuple[AlarmType, ...] = (
    AlarmType(
        id="fence-failed",
        title="A silent host could not be proven dead",
        subject=_HOST,
        event_type=EventType.EQUIPMENT,
        severity=Severity.CRITICAL,
        probable_cause="EQUIPMENT_MALFUNCTION",
        means="No fence device could switch the host off and read that back, or what one said is"
        " not believed. Its VMs start nowhere else: they may still run there.",
        clears="When the host is proven dead, or pulses in a new boot.",
        repair="See that it is off, with your own eyes or at its BMC; then give the proof:"
        " holdfast host confirm-dead HOST --because WHY. One that lives: mend its power control,"
        " and reboot it.",
        covers=("H2", "H7", "H9"),
    ),
    AlarmType(
        id="host-not-dead",
        title="A host pulses that was proven dead",
        subject=_HOST,
        event_type=EventType.EQUIPMENT,
        severity=Severity.CRITICAL,
        probable_cause="EQUIPMENT_MALFUNCTION",
        means="Its power was read back off, or a person said that it is dead, and it pulses in the"
        " same boot: its VMs may run twice. Nothing more is started because of that proof.",
        clears="When the host pulses in a new boot, or falls silent.",
        repair="Cut it off at once (pull its plug, or its storage), then find out which power"
        " control is wired to it: holdfast fence list.",
        covers=("H7", "H9"),
    ),
    AlarmType(
        id="recovery-braked",
        title="Too many hosts are lost at once: nothing is switched off or started elsewhere",
        subject=SubjectKind.POOL,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="OUT_OF_SERVICE",
        means="More hosts fell silent than die at once by themselves: it may be a network, a power"
        " feed, or the controllers' own view. Everything is reported, and nothing is done.",
        clears="When fewer hosts are silent.",
        repair="Look at the network first. Of each host that is really dead, give the proof:"
        " holdfast host confirm-dead HOST --because WHY.",
        covers=("H7", "H9"),
    ),
    AlarmType(
        id="host-unfenceable",
        title="A host could not be fenced if it died now",
        subject=_HOST,
        event_type=EventType.EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="LOSS_OF_REDUNDANCY",
        means=(
            "Holdfast is to act on this host, and none of its fence devices worked at the newest"
            " rehearsal, or that is older than two days: its VMs would start nowhere else."
        ),
        clears="When a rehearsal finds a device that works, or its mode is report again.",
        reported="within a minute of the rehearsal; each host is rehearsed once a day by itself.",
        repair="holdfast fence list says why. Mend it, then: holdfast fence rehearse HOST.",
        covers=("H5", "H7"),
    ),
    AlarmType(
        id="host-failure-predicted",
        title="A host is expected to fail",
        subject=_HOST,
        event_type=EventType.EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="EQUIPMENT_MALFUNCTION",
        means="A person, or a tool that watches hardware, said so: holdfast host predicted. Nothing"
        " is placed there. In mode act its VMs move away while they run, unless a brake holds.",
        clears="When that is taken back, or the host leaves the site.",
        repair="See what stays there, and why: holdfast host predicted HOST. Mend the host, then:"
        " holdfast host predicted HOST --clear.",
        covers=("H2", "H5"),
    ),
    AlarmType(
        id="guarantee-lost",
        title="The site could not absorb the loss of as many hosts as it should",
        subject=SubjectKind.POOL,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="LOSS_OF_REDUNDANCY",
        means="If a host died on which Holdfast is to act, some of its VMs would start nowhere"
        " else: there is no room for them, or nothing that they need. All runs as it should now.",
        clears="When every VM would start elsewhere again.",
        reported="after a minute; how many losses should be absorbed is set by host_losses in"
        " [acting].",
        repair="holdfast guarantee says which VMs, and why. Make room there, or add a host.",
        covers=("H5", "H9"),
    ),
    AlarmType(
        id="vm-runs-twice",
        title="A VM runs on two hosts after its migration",
        subject=SubjectKind.VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="DUPLICATE_INFORMATION",
        means="The connection between both hosts broke off in the moment in which the VM changed"
        " from one to the other, and both let it run. Holdfast ends neither.",
        clears="When only one of both is left.",
        repair="End the one that you do not want, on its host: virsh destroy VM. Then check its"
        " data: both may have written to its disks.",
        covers=("H2", "H9"),
    ),
    AlarmType(
        id="vm-adrift",
        title="A VM was moved by hand, and no host has it",
        subject=SubjectKind.VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="OUT_OF_SERVICE",
        means="Somebody moved it with virsh, or a program did; its host has seen it leave, and no"
        " host says that it runs there. Holdfast starts it nowhere: it may run somewhere.",
        clears="When a host says that it runs there, or the VM is protected anew.",
        reported="30 seconds after nobody had it.",
        repair="See where it is: virsh list --all on the hosts that it may have gone to. Where it"
        " runs nowhere: holdfast vm unprotect VM, start it on one host, and protect it again.",
        covers=("H2", "H9"),
    ),
    AlarmType(
        id="vm-copy-ended",
        title="A VM ran on a host though another holds it, and its copy there was ended",
        subject=SubjectKind.VM,
        event_type=EventType.PROCESSING,
        severity=Severity.CRITICAL,
        probable_cause="DUPLICATE_INFORMATION",
        means="The VM was started on another host, and this host came back with it still running.",
        clears="When nothing of the VM is left on this host.",
        repair="Check the VM's data where it runs now: both may have written to its disks.",
        covers=("H9", "H15"),
    ),
    AlarmType(
        id="store-member-lost",
        title="A member of the store does not answer",
        subject=SubjectKind.HOLDFAST,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="LOSS_OF_REDUNDANCY",
        means="The etcd beside this controller is away for 15 s: one more, and nothing is decided.",
        clears="When it answers again.",
        repair="On that host: holdfast status, and the log of the service holdfast-store.",
        pushed=False,
        period_s=25,
        covers=("H6", "H9"),
    ),
)
