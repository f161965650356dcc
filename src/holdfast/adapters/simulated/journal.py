"""A journal in memory, for tests and for a data centre in memory."""

import itertools
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Raw, Struct

from holdfast.facts.instants import Instant
from holdfast.ports.journal import Gap, Kind, Losses, Record


class JournalInMemory:
    """See ports.journal.Journal. While `is_full` is set, what is appended is lost and counted."""

    def __init__(self, schema: int, snapshot: Callable[[], Struct | bytes]) -> None:
        self.is_full = False
        self._schema = schema
        self._snapshot = snapshot
        self._kept: list[Record] = []
        self._numbers = itertools.count(1)
        self._lost = Losses()
        self._gap = 0

    def append(self, kind: Kind, at: Instant, body: Struct | bytes) -> None:
        if self.is_full:
            next(self._numbers)
            self._gap += 1
            self._lost = Losses(count=self._lost.count + 1, reason="the disk is full")
            return
        if self._gap or not self._kept:
            self._keep("snapshot", at, self._snapshot(), self._schema)
        if self._gap:
            self._keep("note", at, Gap(lost=self._gap, reason=self._lost.reason))
            self._gap = 0
        self._keep(kind, at, body)

    def sync(self) -> None:
        pass

    def losses(self) -> Losses:
        return self._lost

    def records(self) -> Iterator[Record]:
        return iter(tuple(self._kept))

    def close(self) -> None:
        pass

    def _keep(self, kind: Kind, at: Instant, body: Struct | bytes, schema: int = 0) -> None:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        number = next(self._numbers)
        self._kept.append(
            Record(n=number, at=at, utc_ms=0, kind=kind, body=Raw(raw), schema=schema)
        )
