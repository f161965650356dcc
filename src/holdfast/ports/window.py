"""How often something happened within the newest window of time."""

from collections import deque

from holdfast.facts.instants import Instant, after


class Window:
    def __init__(self, window_ms: float) -> None:
        self._window_ms = window_ms
        self._counts: deque[tuple[Instant, int]] = deque()
        self._total = 0

    def add(self, at: Instant, count: int = 1) -> int:
        """Count it; returns how many there are within the window that ends now."""
        self._counts.append((at, count))
        self._total += count
        while after(self._counts[0][0], self._window_ms) <= at:
            self._total -= self._counts.popleft()[1]
        return self._total

    @property
    def first_at(self) -> Instant:
        """When the oldest of them happened. Ask after `add` only."""
        return self._counts[0][0]
