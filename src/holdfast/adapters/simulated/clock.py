"""Virtual time: nothing happens but what was put on the clock, in order, at once."""

import heapq
import itertools
from collections.abc import Callable

from holdfast.facts.instants import NS_PER_MS


class Clock:
    """Virtual time in nanoseconds. Callbacks of one instant run in the order they were put."""

    def __init__(self) -> None:
        self.now = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def later(self, delay_ms: float, what: Callable[[], None]) -> None:
        at = self.now + round(delay_ms * NS_PER_MS)
        heapq.heappush(self._due, (at, next(self._count), what))

    def next_due(self) -> int | None:
        return self._due[0][0] if self._due else None

    def run_next(self) -> None:
        at, _, what = heapq.heappop(self._due)
        self.now = max(self.now, at)
        what()
