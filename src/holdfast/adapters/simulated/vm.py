"""A VM in memory: what it is, and how its guest behaves when it is started."""

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.subjects import Incarnation

BOOT_MS = 3_000.0


@dataclass
class SimulatedVm:
    """`behaviour` is what the guest does when it is started: serves, mute (never answers)."""

    name: str
    uuid: str
    has_agent: bool = True
    memory_gb: float = 1.0
    boot_ms: float = BOOT_MS
    is_defined: bool = True
    is_mute: bool = False
    obeys_term: bool = False  # Its QEMU ends in order on SIGTERM, also while its guest is stuck.
    life: Incarnation | None = None
    began: int = 0
    is_ending: bool = False
    is_stuck: bool = False
    is_paused: bool = False
    fails_to_start: int = 0
    dies_at_boot: int = 0
    reason: str = "unknown"  # libvirt's word for why it is shut off.
    libvirt_thinks: str = "shut off"
    log_line: str = ""
    gone_after: list[Callable[[], None]] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        return self.life is not None

    def serves(self, now: int) -> bool:
        is_up = self.runs and now - self.began >= self.boot_ms * NS_PER_MS
        return is_up and not (self.is_mute or self.is_stuck or self.is_paused or self.is_ending)
