"""What flaps is said once: a fault after it stood for a while, its end after a longer while.

A link that goes and comes every second is one alarm that stays, not one each second.
"""

from collections.abc import Iterator

from msgspec import Struct

from holdfast.facts.instants import Instant, after
from holdfast.ports.dues import Dues


class _Standing(Struct, kw_only=True):
    is_bad: bool
    since: Instant  # When the fault began that is said, or would be.
    is_said: bool = False


class Turned(Struct, frozen=True, kw_only=True):
    """`key` is to be said now: a fault that began at `since`, or that it is over."""

    key: str
    is_bad: bool
    since: Instant


class Held:
    """`clear_ms` is how long something must be well before that is said."""

    def __init__(self, *, clear_ms: float) -> None:
        self._clear_ms = clear_ms
        self._standing: dict[str, _Standing] = {}
        self._dues: Dues[str] = Dues()

    def __contains__(self, key: str) -> bool:
        """Whether its fault is said, and not its end."""
        known = self._standing.get(key)
        return known is not None and known.is_said

    def bad(self, key: str, at: Instant, hold_ms: float = 0.0) -> None:
        """It is at fault, from `at` on where that is news; said after `hold_ms`."""
        known = self._standing.get(key)
        if known is None:
            known = self._standing[key] = _Standing(is_bad=True, since=at)
        elif known.is_bad:
            return
        else:
            known.is_bad = True
            known.since = known.since if known.is_said else at
        self._dues.set(key, None if known.is_said else after(at, hold_ms))

    def good(self, key: str, at: Instant) -> None:
        """It is well. The first word of that is said at once: a fault of before may stand still."""
        known = self._standing.get(key)
        if known is None:
            known = self._standing[key] = _Standing(is_bad=False, since=at, is_said=True)
            self._dues.set(key, at)
        elif known.is_bad:
            known.is_bad = False
            self._dues.set(key, after(at, self._clear_ms) if known.is_said else None)

    def forget(self, key: str) -> bool:
        """It is no more; whether its fault was said, so that its end must be."""
        known = self._standing.pop(key, None)
        self._dues.set(key, None)
        return known is not None and known.is_said

    def first(self) -> Instant | None:
        """When there is something to say."""
        return self._dues.first()

    def take(self, now: Instant) -> Iterator[Turned]:
        """What is to be said by now."""
        for key in self._dues.take(now):
            known = self._standing[key]
            known.is_said = known.is_bad
            yield Turned(key=key, is_bad=known.is_bad, since=known.since)
