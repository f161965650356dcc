"""How often something happened within the newest window of time."""

from collections import Counter, deque

from holdfast.facts.instants import Instant, after


class Window:
    def __init__(self, window_ms: float) -> None:
        self._window_ms = window_ms
        self._counts: deque[tuple[Instant, int, str]] = deque()
        self._total = 0
        self._places: Counter[str] = Counter()

    def add(self, at: Instant, count: int = 1, where: str = "") -> int:
        """Count it; returns how many there are within the window that ends now."""
        self._counts.append((at, count, where))
        self._total += count
        self._places[where] += count
        while after(self._counts[0][0], self._window_ms) <= at:
            _, gone, of = self._counts.popleft()
            self._total -= gone
            self._places[of] -= gone
            if not self._places[of]:
                del self._places[of]
        return self._total

    def forget(self, where: str) -> int:
        """What happened there counts no more; returns how many are left."""
        self._counts = deque(one for one in self._counts if one[2] != where)
        self._total -= self._places.pop(where, 0)
        return self._total

    def worst(self) -> tuple[str, int]:
        """The place, of those that have a name, where it happened most often, and how often."""
        named = ((where, count) for where, count in self._places.items() if where)
        return max(named, key=lambda one: one[1], default=("", 0))

    @property
    def first_at(self) -> Instant:
        """When the oldest of them happened. Ask after `add` only."""
        return self._counts[0][0]
