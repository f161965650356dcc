"""Virtual time: nothing happens but what was put on the clock, in order, at once."""

import heapq
import itertools
from collections.abc import Callable

from holdfast.facts.instants import NS_PER_MS

MILLION = 1_000_000
UTC_NS = 1_800_000_000 * 1_000_000_000  # A day in 2027, when every simulated world begins.


class Clock:
    """Virtual time in nanoseconds. Callbacks of one instant run in the order they were put."""

    def __init__(self) -> None:
        self.now = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def later(self, delay_ms: float, what: Callable[[], None]) -> None:
        self.at(self.now + round(delay_ms * NS_PER_MS), what)

    def at(self, at_ns: int, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (at_ns, next(self._count), what))

    def next_due(self) -> int | None:
        return self._due[0][0] if self._due else None

    @property
    def is_idle_now(self) -> bool:
        """Nothing more is due at this instant."""
        return not self._due or self._due[0][0] > self.now

    def run_next(self) -> None:
        at, _, what = heapq.heappop(self._due)
        self.now = max(self.now, at)
        what()

    def run_until(self, end_ns: int) -> None:
        """Let everything that is due by then happen, in order."""
        due, next_of = self._due, heapq.heappop
        while due and due[0][0] <= end_ns:
            at, _, what = next_of(due)
            if at > self.now:
                self.now = at
            what()
        self.now = max(self.now, end_ns)


class HostClock:
    """A machine's own time: it drifts by `ppm`, begins anew at a boot, and its wall clock steps."""

    def __init__(self, clock: Clock, ppm: int = 0, begins_ns: int = 0, wrong_ms: float = 0) -> None:
        self._clock, self._ppm = clock, ppm
        self._booted_at = clock.now - begins_ns
        self._utc_wrong_ns = round(wrong_ms * NS_PER_MS)

    def monotonic_ns(self) -> int:
        passed = self._clock.now - self._booted_at
        return passed + passed * self._ppm // MILLION

    def virtual_at(self, monotonic_ns: int) -> int:
        """The first instant at which this clock shows that."""
        passed = monotonic_ns * MILLION // (MILLION + self._ppm)
        while passed + passed * self._ppm // MILLION < monotonic_ns:
            passed += 1
        return self._booted_at + passed

    def utc_ns(self) -> int:
        return UTC_NS + self._clock.now + self._utc_wrong_ns

    def step_utc(self, ms: float) -> None:
        """Somebody, or NTP, sets the wall clock."""
        self._utc_wrong_ns += round(ms * NS_PER_MS)

    def boot(self, begins_ns: int = NS_PER_MS) -> None:
        self._booted_at = self._clock.now - begins_ns
