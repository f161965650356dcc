"""Who waits until when: with a thousand hosts the first one due is found without asking each."""

import heapq
from typing import Generic, TypeVar

from holdfast.facts.instants import Instant

Key = TypeVar("Key", str, tuple[str, str])


class Dues(Generic[Key]):
    """Each key waits until one instant at most."""

    def __init__(self) -> None:
        self._at: dict[Key, Instant] = {}
        self._heap: list[tuple[Instant, Key]] = []

    def __contains__(self, key: Key) -> bool:
        return key in self._at

    def set(self, key: Key, at: Instant | None) -> None:
        """Wait until then, and not until any other instant; None: do not wait."""
        if at is None:
            self._at.pop(key, None)
        elif self._at.get(key) != at:
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))

    def first(self) -> Instant | None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: Instant) -> list[Key]:
        """Those that are due by now, the earliest first: they wait no more."""
        due: list[Key] = []
        while (first := self.first()) is not None and first <= now:
            _, key = heapq.heappop(self._heap)
            del self._at[key]
            due.append(key)
        return due
