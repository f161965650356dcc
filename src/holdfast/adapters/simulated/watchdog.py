"""A watchdog in virtual time, outside of its host's clock; and the board that its programs share.

It bites when nobody petted it, whatever else runs, is frozen or hangs, but for one that is broken.
"""

from collections.abc import Callable

from holdfast.adapters.simulated.clock import Clock
from holdfast.facts.lease_words import Armed, Held
from holdfast.ports.watchdog import WatchdogRefused


class SimulatedWatchdog:
    """See ports.watchdog.Watchdog. `bite` resets the host. `is_missing`: it has none; `is_broken`:
    it says that it runs, and never bites."""

    def __init__(self, clock: Clock, bite: Callable[[], None]) -> None:
        self._clock, self._bite = clock, bite
        self.is_missing = self.is_broken = False
        self.bites = 0
        self._timeout_ms = 0
        self._pets = 0

    @property
    def is_open(self) -> bool:
        return bool(self._timeout_ms)

    def open(self, timeout_ms: int) -> int:
        if self.is_missing:
            raise WatchdogRefused("this host has no watchdog")
        self._timeout_ms = timeout_ms
        self.pet()
        return timeout_ms

    def pet(self) -> None:
        self._pets += 1
        pets = self._pets
        if self._timeout_ms:
            self._clock.later(self._timeout_ms, lambda: self._due(pets))

    def close(self) -> None:
        self._timeout_ms = 0
        self._pets += 1

    def _due(self, pets: int) -> None:
        if self._timeout_ms and pets == self._pets and not self.is_broken:
            self.bites += 1
            self._bite()


class LeaseBoardInMemory:
    """See facts.lease_words.LeaseBoard: that of one boot."""

    def __init__(self) -> None:
        self._armed, self._held, self._gone_for = Armed(), Held(), 0

    def armed(self) -> Armed:
        return self._armed

    def arm(self, word: Armed) -> None:
        self._armed = word

    def held(self) -> Held:
        return self._held

    def hold(self, word: Held) -> None:
        self._held = word

    def gone_for(self) -> int:
        return self._gone_for

    def say_gone(self, end: int) -> None:
        self._gone_for = end
