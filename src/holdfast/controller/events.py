"""The newest events of this controller, numbered and kept on disk, for any number of readers.

Readers have no queue: each asks for what follows the number it has, so a slow one costs nothing
and sees a gap once the log has moved past it. Numbers rise by one within one log; after a kill they
leap, so that none is ever used twice.
"""

import asyncio
import bisect
import uuid
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.facts.events import Event, EventGap, EventKind
from holdfast.ports import clock
from holdfast.ports.journal import Losses

KEPT = 5_000
LEAP = 10_000  # More than can wait for the disk when the program is killed.
MOST_AT_ONCE = 1_000
EVENTS, ABOUT = "event", "about"


class Position(Struct, frozen=True):
    """Where a reader stands: the last number it has, in which log (empty: it does not say)."""

    number: int
    log: str = ""

    def __str__(self) -> str:
        return f"{self.log}.{self.number}" if self.log else str(self.number)


class Batch(Struct, frozen=True, kw_only=True):
    """`events` are JSON with their numbers. `position` is that of the last; `gap` comes first."""

    position: Position
    events: tuple[tuple[int, bytes], ...] = ()
    gap: EventGap | None = None


class Events:
    def __init__(self, path: Path, *, kept: int = KEPT) -> None:
        self._shelf, self._kept = Shelf(path), kept
        found = sorted((int(key), value) for key, value in self._shelf.all(EVENTS).items())
        self._events: deque[tuple[int, bytes]] = deque(found[-kept:])
        self._forget([number for number, _ in found[:-kept]])
        about = self._shelf.all(ABOUT)
        self.log = about.get("log", b"").decode() or uuid.uuid4().hex[:8]
        self.newest = found[-1][0] if found else 0
        if found and "closed" not in about:
            self.newest += LEAP
        self._shelf.put(ABOUT, "log", self.log.encode())
        self._shelf.put(ABOUT, "closed", None)
        self._news = asyncio.Event()

    def note(self, kind: EventKind, text: str, data: Any = None) -> None:
        """Returns at once; never raises for the disk's sake."""
        self.newest += 1
        number, utc_ms = self.newest, clock.utc_ms()
        event = Event(number=number, utc_ms=utc_ms, kind=kind, text=text, data=data)
        raw = msgspec.json.encode(event)
        self._events.append((number, raw))
        self._shelf.put(EVENTS, f"{number:016}", raw)
        if len(self._events) > self._kept:
            self._forget([self._events.popleft()[0]])
        self._news.set()
        self._news = asyncio.Event()

    @property
    def position(self) -> Position:
        """Of the newest event."""
        return Position(self.newest, self.log)

    def newest_ones(self, limit: int) -> Batch:
        events = tuple(self._events)[-limit:]
        return Batch(position=self.position, events=events)

    def after(self, asked: Position, limit: int = MOST_AT_ONCE) -> Batch:
        """Those that follow, the oldest first, with the gap before them if there is one."""
        oldest = self._events[0][0] if self._events else self.newest + 1
        number, gap = asked.number, None
        if asked.log not in ("", self.log):
            gap = EventGap(first=0, last=oldest - 1, reason=f"{asked} is of another log")
            number = oldest - 1
        elif number > self.newest:
            reason = f"this log has come to {self.newest} only"
            gap = EventGap(first=self.newest + 1, last=number, reason=reason)
            number = self.newest
        elif number < oldest - 1:
            gap = EventGap(first=number + 1, last=oldest - 1, reason="they are not kept any more")
            number = oldest - 1
        begin = bisect.bisect_right(self._events, number, key=lambda event: event[0])
        end = min(begin + limit, len(self._events))
        events = tuple(self._events[at] for at in range(begin, end))
        last = events[-1][0] if events else number
        return Batch(position=Position(last, self.log), events=events, gap=gap)

    async def wait_news(self, number: int, limit_s: float) -> None:
        """Until there is more than this number, or the time is over."""
        if self.newest > number:
            return
        try:
            async with asyncio.timeout(limit_s):
                await self._news.wait()
        except TimeoutError:
            return

    def losses(self) -> Losses:
        return self._shelf.losses()

    def close(self) -> None:
        """Blocks until all is written. After it numbers go on without a leap."""
        self._shelf.put(ABOUT, "closed", b"1")
        self._shelf.close()

    def _forget(self, numbers: list[int]) -> None:
        for number in numbers:
            self._shelf.put(EVENTS, f"{number:016}", None)


def read_position(text: str) -> Position:
    """`NUMBER` or `LOG.NUMBER`. Raises ValueError."""
    log, _, number = text.rpartition(".")
    if not (number.isascii() and number.isdigit() and len(number) < 16) or len(log) > 64:
        raise ValueError(f"{text!r} is no number of an event")
    return Position(int(number), log)
