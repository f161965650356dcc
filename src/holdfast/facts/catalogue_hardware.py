"""The catalogue's rows on the hardware of a host, as its agent sees it.

Each alarm's details hold `advice`: what the VIM should do (nothing, quarantine: place no new VM on
the host; drain: move its VMs away while they run).
"""

from holdfast.facts.alarm_types import AlarmType
from holdfast.facts.alarms import EventType, Severity
from holdfast.facts.subjects import SubjectKind

_HOST = SubjectKind.HOST
_EQUIPMENT = EventType.EQUIPMENT
_BOOT = ", or when the host boots"

HARDWARE: tuple[AlarmType, ...] = (
    AlarmType(
        id="memory-corrected",
        title="Memory of a host corrects too many errors",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MINOR,
        probable_cause="CORRUPT_DATA",
        means="Failure predicted: a module corrected ten errors or more within an hour (setting"
        " corrected_per_hour). Nothing was lost. Advice to the VIM: quarantine.",
        clears="When an hour passed without such an error, when the page whose errors repeated is"
        f" out of use and too few are left{_BOOT}.",
        reported="within a minute: the agent has the kernel look each 30 s for errors that do not"
        " interrupt it.",
        repair="Drain the host when its VMs allow it; replace the module that the details name.",
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="memory-poisoned",
        title="A page of a host's memory lost its content and is out of use",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="CORRUPT_DATA",
        means="The kernel took the page out of use, and ended whoever needed its content: the VM or"
        " process is named. Degraded; with four pages in a day, a failure. Advice: quarantine, then"
        " drain.",
        clears=f"When a day passed without another page{_BOOT}.",
        repair="A protected VM that was hit restarts in place. Drain the host, test its memory.",
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="memory-fatal",
        title="Memory in use lost its content and could not be taken out of use",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.CRITICAL,
        probable_cause="CORRUPT_DATA",
        means="The page is the kernel's own: it may crash, or compute wrongly, at any time."
        " Failure predicted. Advice to the VIM: drain.",
        clears="When the host boots.",
        repair="Drain the host at once, then switch it off and replace the module.",
        covers=("H1", "H2", "H5"),
    ),
    AlarmType(
        id="cpu-suspect",
        title="A processor of a host reports errors of its own",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="PROCESSOR_PROBLEM",
        means="A cache, a bus or a part that Holdfast does not know erred: once without being"
        " corrected, or ten times within an hour. Failure predicted. Advice: quarantine or drain.",
        clears="When a day passed without such an error, when the only CPU that erred is offline"
        f"{_BOOT}.",
        repair="Drain the host; the details name the CPU, its socket and the bank. Replace it.",
        covers=("H1", "H2", "H5"),
    ),
    AlarmType(
        id="pcie-error",
        title="A PCIe device of a host reports errors",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="ADAPTER_ERROR",
        means="Degraded: the device, or its link, had an error that was not corrected, or a hundred"
        " that were. Where the kernel could not bring it back, it is gone until it is reset."
        " Advice: quarantine; drain where it is gone.",
        clears=f"When an hour passed without an error{_BOOT}; what is gone, when"
        " it answers after a repair, or the host boots.",
        repair="Look which device it is: lspci -s DEVICE. Seat it anew, or replace it.",
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="nvme-warning",
        title="An NVMe disk warns of its own failure",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="STORAGE_CAPACITY_PROBLEM",
        means="Its health log has a critical warning, or it is worn out: failure predicted. One"
        " that is only too hot is degraded. Advice to the VIM: drain, or quarantine.",
        clears=f"When it has warned of nothing for a minute and a half{_BOOT}.",
        repair="Move its data away and replace it: smartctl -a /dev/NAME says more.",
        pushed=False,
        period_s=60,
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="disk-error",
        title="A disk of a host returns errors, or says that it is failing",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="INPUT_OUTPUT_DEVICE_ERROR",
        means="The kernel gave a request up: degraded. Its SMART says that it fails: failure"
        " predicted. Advice to the VIM: quarantine, or drain.",
        clears=f"When ten minutes passed without an error and its SMART is well{_BOOT}.",
        reported="within a second where the kernel tells of it; what SMART says, within a minute.",
        repair="Replace it: smartctl -a /dev/NAME says more. A RAID goes on without it.",
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="raid-degraded",
        title="A software RAID of a host lacks a member",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="LOSS_OF_REDUNDANCY",
        means="Degraded: its data is there, and one failure more may cost it. The alarm says"
        " whether it is being rebuilt. Advice to the VIM: quarantine until it is.",
        clears=f"When it has all its members again{_BOOT}.",
        repair="Replace the failed disk, then: mdadm /dev/ARRAY --add /dev/DISK",
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="overheated",
        title="A host is too hot",
        subject=_HOST,
        event_type=EventType.ENVIRONMENTAL,
        severity=Severity.MAJOR,
        probable_cause="TEMPERATURE_UNACCEPTABLE",
        means="Its board says so twice, by limits of its own: a warning is degraded, a critical"
        " temperature a failure predicted. Advice to the VIM: quarantine, or drain.",
        clears=f"When the board has said for a minute that it is in order{_BOOT}.",
        repair="Look at its fans, its filters and the room.",
        pushed=False,
        period_s=60,
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="fan-failed",
        title="A fan of a host failed",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MINOR,
        probable_cause="HEATING_OR_VENTILATION_OR_COOLING_SYSTEM_PROBLEM",
        means="Degraded: its board says twice that the fan stands still or is too slow. Advice to"
        " the VIM: quarantine.",
        clears=f"When the board has said for a minute that it is in order{_BOOT}.",
        repair="Replace the fan; many can be replaced while the host runs.",
        pushed=False,
        period_s=60,
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="power-supply-failed",
        title="A power supply of a host failed",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="POWER_PROBLEM",
        means="Degraded: it is broken, or its mains are gone, and the others carry the host. Advice"
        " to the VIM: quarantine.",
        clears=f"When the board has said for a minute that it is in order{_BOOT}.",
        repair="Look at its cable and its feed, then replace it; the host runs on meanwhile.",
        pushed=False,
        period_s=60,
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="hardware-missing",
        title="A part of a host is not there any more",
        subject=_HOST,
        event_type=_EQUIPMENT,
        severity=Severity.MAJOR,
        probable_cause="REPLACEABLE_UNIT_MISSING",
        means="A processor, a PCI device, a disk, or memory that the host had is not seen any more,"
        " also if it was lost while the host booted. Advice to the VIM: quarantine.",
        clears="When it is there again, or when the host boots a second time without it.",
        repair="Seat or replace it. One that was taken out, or given to a VM, on purpose: nothing.",
        pushed=False,
        period_s=60,
        covers=("H1", "H5"),
    ),
    AlarmType(
        id="host-kernel-crashed",
        title="The kernel of a host crashed before this boot",
        subject=_HOST,
        event_type=EventType.PROCESSING,
        severity=Severity.MAJOR,
        probable_cause="SOFTWARE_ERROR",
        means="Firmware kept the kernel's last words, and the details hold their end. Advice to the"
        " VIM: quarantine until somebody has looked.",
        clears="When the host has run for an hour since.",
        reported="once, within a minute after the agent started in a boot that followed a crash.",
        repair="Read the details. A machine check means hardware: test it. Else update the kernel.",
        covers=("H5", "H7", "H8"),
    ),
)
