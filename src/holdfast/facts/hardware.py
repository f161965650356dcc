"""What is seen of a host's hardware: errors that the kernel told of, and how each part is.

A part is named by what stays with it (a serial number, an address on a bus), so that a disk which
comes back under another name is the same disk.
"""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.seen import Seen
from holdfast.facts.subjects import Subject, SubjectKind


class PartKind(StrEnum):
    MEMORY = "memory"
    CPU = "cpu"
    PCI = "pci"
    DISK = "disk"
    ARRAY = "array"
    FAN = "fan"
    POWER = "power"
    TEMPERATURE = "temperature"
    KERNEL = "kernel"


ADVICE = "advice"  # In the evidence of a verdict, and in the details of its alarm.


class Advice(StrEnum):
    """What the VIM should do about it, the mildest first."""

    NOTHING = "nothing"
    QUARANTINE = "quarantine"  # Place no new VM on the host.
    DRAIN = "drain"  # Move its VMs away while they run.


class Severity(StrEnum):
    """How bad an error of the hardware was, whoever told of it."""

    CORRECTED = "corrected"  # Nothing was lost.
    RECOVERABLE = "recoverable"  # Something was lost, and the kernel could go on.
    FATAL = "fatal"  # The kernel could not go on, or the device is gone.


class Part(Struct, frozen=True, kw_only=True, omit_defaults=True):
    kind: PartKind
    id: str
    name: str
    device: str = ""  # The PCI device that a disk is at.

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id}"


class AlarmLeft(Seen, frozen=True, kw_only=True):
    """An agent before this one, in this boot, raised it and did not clear it."""

    condition: str
    subject: Subject


class MachineCheck(Seen, frozen=True, kw_only=True):
    """A processor's own report of an error. `part` is empty where nobody knows whose it was.

    Source: MCi_STATUS (Intel SDM volume 3B chapter 16; AMD APM volume 2 chapter 9).
    """

    part: str  # memory, processor, bus, or empty: unknown.
    severity: Severity
    cpu: int
    bank: int
    status: str  # Sixteen hexadecimal digits.
    address: str = ""
    socket: int = 0


class MemoryErrors(Seen, frozen=True, kw_only=True):
    """A memory controller counted errors of a module. Source: EDAC's `mc_event`."""

    severity: Severity
    count: int
    module: str
    address: str = ""  # Physical; empty where it is not known to the page.


class MemoryFailure(Seen, frozen=True, kw_only=True):
    """The kernel took a page out of use. Source: mm/memory-failure.c.

    `result` is its own word: Recovered, Delayed, Ignored or Failed. `used_for` is what the page
    was.
    """

    page: str
    used_for: str
    result: str


class PageRetired(Seen, frozen=True, kw_only=True):
    """A page was looked at after its repair, and is out of use. Source: /proc/kpageflags."""

    page: str


class CpuOffline(Seen, frozen=True, kw_only=True):
    """A CPU was looked at after its repair, and nothing runs on it any more."""

    cpu: int


class PcieAnswers(Seen, frozen=True, kw_only=True):
    """A device was looked at after its repair: it answers, and has a driver."""

    device: str


class PageOwnerKilled(Seen, frozen=True, kw_only=True):
    """The kernel sent SIGBUS to a process that used a poisoned page; `pid` is the kernel's own.

    `page` is empty where the kernel names only an address of the process.
    """

    page: str
    pid: int
    task: str


class PcieError(Seen, frozen=True, kw_only=True):
    device: str
    severity: Severity
    what: str = ""


class PcieRecovered(Seen, frozen=True, kw_only=True):
    """How the kernel's own recovery of a device, or of all below a port, ended."""

    device: str
    worked: bool


class DiskIoFailed(Seen, frozen=True, kw_only=True):
    """The kernel gave a request of a disk up, or the disk's controller. `disk` is its name now."""

    disk: str
    what: str


class DiskHealth(Seen, frozen=True, kw_only=True):
    """What a disk says of itself. `warnings` are NVMe's critical warnings, in words.

    Source: NVM Express Base Specification, figure 206 (SMART / health log); ATA SMART.
    """

    id: str
    name: str
    is_nvme: bool
    passed: bool
    warnings: tuple[str, ...] = ()
    model: str = ""
    temperature_c: int | None = None
    worn_percent: int | None = None
    media_errors: int | None = None
    pending_sectors: int | None = None


class RaidState(Seen, frozen=True, kw_only=True):
    """A Linux software RAID. `missing` members of `members`; `rebuilt_percent` while it mends."""

    array: str
    level: str
    members: int
    missing: int
    failed: tuple[str, ...] = ()
    spares: tuple[str, ...] = ()
    action: str = "idle"  # idle, resync, recovery, check, ... as the kernel says.
    rebuilt_percent: float | None = None


class ReadingState(StrEnum):
    """What a board says of one of its sensors."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class Reading(Seen, frozen=True, kw_only=True):
    """One sensor of the board: a temperature, a fan or a power supply."""

    kind: PartKind
    name: str
    state: ReadingState
    value: float | None = None
    unit: str = ""


class HardwareListed(Seen, frozen=True, kw_only=True):
    """All parts that the host has; `is_of_before`: as it was when an agent last looked."""

    parts: tuple[Part, ...]
    memory_mib: int = 0
    is_of_before: bool = False


class KernelCrashed(Seen, frozen=True, kw_only=True):
    """An earlier boot of this host ended in a crash, and firmware kept its last words."""

    record: str
    last_words: str
    written_utc_ms: int


HardwareSeen = (
    AlarmLeft
    | MachineCheck
    | MemoryErrors
    | MemoryFailure
    | PageRetired
    | CpuOffline
    | PcieAnswers
    | PageOwnerKilled
    | PcieError
    | PcieRecovered
    | DiskIoFailed
    | DiskHealth
    | RaidState
    | Reading
    | HardwareListed
    | KernelCrashed
)

PAGE_BYTES = 4_096
ONE_CPU = "one_cpu"  # In the evidence of a verdict: the only CPU of all that erred.
PAGE = "page"  # In the evidence of a verdict: the page that can be taken out of use.


def page_of(address: str) -> str:
    """The number of the page that a physical address is in; empty where it is none."""
    try:
        return f"0x{int(address, 16) // PAGE_BYTES:x}"
    except ValueError:
        return ""


MEMORY = Part(kind=PartKind.MEMORY, id="all", name="memory")
PROCESSORS = Part(kind=PartKind.CPU, id="all", name="processors")
KERNEL = Part(kind=PartKind.KERNEL, id="crash", name="kernel")


def part_subject(part: Part) -> Subject:
    """A part is said to be of the host: the controllers before this version know no other word."""
    return Subject(kind=SubjectKind.HOST, id=part.key, name=part.name)


def is_part(subject: Subject) -> bool:
    kind, colon, _ = subject.id.partition(":")
    return subject.kind is SubjectKind.HOST and bool(colon) and kind in [*PartKind]
