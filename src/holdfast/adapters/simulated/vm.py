"""A VM in memory: what it is, and how its guest behaves when it is started."""

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.facts.definitions import Rebuild, RebuiltDisk
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.subjects import Incarnation

BOOT_MS = 3_000.0
NO_DISK = "its disk is missing on this host"
MIB_PER_GB = 1_024
IN, OUT = "in", "out"


@dataclass
class SimulatedVm:
    """A VM on one host. Another host may have the same one: the same uuid, and the same disk.

    `disk` is what it writes to, on storage that all hosts share; empty: one of its uuid's.
    """

    name: str
    uuid: str
    has_agent: bool = True
    memory_gb: float = 1.0
    boot_ms: float = BOOT_MS
    is_defined: bool = True
    is_mute: bool = False
    obeys_term: bool = False  # Its QEMU ends in order on SIGTERM, also while its guest is stuck.
    disk: str = ""
    cpu_feature: str = ""  # That a host's CPU must have.
    is_local: bool = False  # Its disk is a file of its host alone.
    made_for: int = 0  # The generation for which that was made here anew; 0: never.
    has_disk: bool = True
    rebuilds: int = 0  # How often it was made anew here.
    life: Incarnation | None = None
    began: int = 0
    has_run: bool = False  # Ever, on this host.
    is_ending: bool = False
    is_stuck: bool = False
    is_paused: bool = False
    moves: str = ""  # "in": it waits for the rest of it. "out": all was sent, and it stands still.
    is_shut_out: bool = False  # The end that it was to move to has its disks: it cannot go on.
    fails_to_start: int = 0
    dies_at_boot: int = 0
    reason: str = "unknown"  # libvirt's word for why it is shut off.
    libvirt_thinks: str = "shut off"
    log_line: str = ""
    gone_after: list[Callable[[], None]] = field(default_factory=list)

    def in_the_way(self, disks: tuple[RebuiltDisk, ...]) -> str:
        """Why its disk cannot be made anew on this host, or empty."""
        is_foreign = self.has_disk and not self.made_for
        return f"there is a file {disks[0].path} already" if disks and is_foreign else ""

    def rebuild(self, rebuild: Rebuild) -> None:
        """Once for a generation. What an earlier one wrote is put aside."""
        if self.made_for != rebuild.generation:
            self.has_disk, self.made_for = True, rebuild.generation
            self.rebuilds += 1

    @property
    def writes_to(self) -> str:
        return self.disk or self.uuid

    @property
    def memory_mib(self) -> int:
        return round(self.memory_gb * MIB_PER_GB)

    def elsewhere(self) -> "SimulatedVm":
        """The same VM as another host has it: defined, and never run there."""
        return SimulatedVm(
            name=self.name,
            uuid=self.uuid,
            has_agent=self.has_agent,
            memory_gb=self.memory_gb,
            boot_ms=self.boot_ms,
            is_mute=self.is_mute,
            obeys_term=self.obeys_term,
            disk=self.disk,
            cpu_feature=self.cpu_feature,
            is_local=self.is_local,
            has_disk=not self.is_local,
        )

    @property
    def runs(self) -> bool:
        return self.life is not None

    @property
    def can_write(self) -> bool:
        return self.runs and not self.moves and not self.is_shut_out

    def serves(self, now: int) -> bool:
        is_up = self.can_write and now - self.began >= self.boot_ms * NS_PER_MS
        return is_up and not (self.is_mute or self.is_stuck or self.is_paused or self.is_ending)
