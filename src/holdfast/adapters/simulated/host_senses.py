"""What a simulated host shows of itself in time: its clock, what sensors see, what libvirt says."""

import itertools
from collections.abc import Callable

from holdfast.adapters.simulated import host_times as times
from holdfast.adapters.simulated.clock import Clock, HostClock
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.observations import (
    LibvirtGone,
    LibvirtSilent,
    LifecycleSeen,
    Observation,
    QmpEventSeen,
)


class HostSenses:
    """`see` is handed what a sensor would see; while nobody looks it is lost."""

    def __init__(self, clock: Clock, own: HostClock | None = None, name: str = "") -> None:
        self.clock, self._own = clock, own
        self._boot_name = f"{name}-boot" if name else "boot"
        self.boot = f"{self._boot_name}-1"
        self.is_up, self.is_frozen = True, False
        self.see: Callable[[Observation], None] | None = None
        self.libvirt = "answers"  # or: frozen, dead
        self._boots = itertools.count(2)
        self._boot_began = 0
        self._held_back: list[Callable[[], None]] = []

    def now(self) -> Instant:
        """As this boot's monotonic clock has it; the clock of a boot begins at one second."""
        if self._own is not None:
            return Instant(self._own.monotonic_ns())
        return Instant(self.clock.now - self._boot_began + 1_000 * NS_PER_MS)

    def at_zero(self) -> int:
        return self._boot_began - 1_000 * NS_PER_MS

    def later(self, delay_ms: float, what: Callable[[], None]) -> None:
        """On this boot's time: a power cut takes it away."""
        boot = self.boot
        self.clock.later(delay_ms, lambda: what() if self.is_up and self.boot == boot else None)

    # What befalls libvirt.

    def freeze_libvirt(self) -> None:
        self.libvirt = "frozen"
        since = self.now()
        self.later(times.SILENT_AFTER_MS, lambda: self._say_silent(since))

    def kill_libvirt(self) -> None:
        self.libvirt = "dead"
        self.later(1, self._say_dead)

    def when_libvirt_answers(self, what: Callable[[], None]) -> None:
        """A frozen libvirt does what it was told once it is back; a dead one has forgotten it."""
        if self.libvirt == "frozen":
            self._held_back.append(what)

    def _say_dead(self) -> None:
        if self.libvirt == "dead":
            self._tell(LibvirtGone(at=self.now(), reason="connection closed"))

    def _say_silent(self, since: Instant) -> None:
        if self.libvirt == "frozen":
            self._tell(LibvirtSilent(at=self.now(), since=since))

    # What is seen.

    def _tell(self, seen: Observation) -> None:
        if self.see is not None:
            self.see(seen)

    def _event(self, vm: str, event: str, data: str, delay_ms: float) -> None:
        self._through_libvirt(
            delay_ms,
            lambda: self._tell(QmpEventSeen(at=self.now(), vm=vm, event=event, data=data)),
        )

    def _word(self, vm: str, event: str, detail: str, delay_ms: float) -> None:
        self._through_libvirt(
            delay_ms,
            lambda: self._tell(LifecycleSeen(at=self.now(), vm=vm, event=event, detail=detail)),
        )

    def _through_libvirt(self, delay_ms: float, tell: Callable[[], None]) -> None:
        def pass_on() -> None:
            if self.libvirt == "frozen":
                self._held_back.append(tell)
            elif self.libvirt == "answers":
                tell()

        self.later(delay_ms, pass_on)
