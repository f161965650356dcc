"""An outbox in memory, which a simulated process leaves behind when it dies, and its next finds."""

import collections

from holdfast.ports.journal import Losses


class OutboxInMemory:
    """See ports.outbox.Outbox. `begin_stream` is what a boot, or a damaged file, does."""

    def __init__(self, stream: str = "stream-1") -> None:
        self._stream = stream
        self._next: dict[str, int] = {}
        self._pending: collections.OrderedDict[tuple[str, int], bytes] = collections.OrderedDict()

    @property
    def stream(self) -> str:
        return self._stream

    def begin_stream(self, stream: str) -> None:
        self._stream = stream

    def append(self, payload: bytes) -> int:
        sequence = self._next.get(self._stream, 1)
        self._next[self._stream] = sequence + 1
        self._pending[self._stream, sequence] = payload
        return sequence

    def pending(self) -> list[tuple[str, int, bytes]]:
        return [(stream, number, what) for (stream, number), what in self._pending.items()]

    def first(self) -> tuple[str, int, bytes] | None:
        for (stream, number), what in self._pending.items():
            return stream, number, what
        return None

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def acknowledge(self, stream: str, sequence: int) -> None:
        self._pending.pop((stream, sequence), None)

    def take_gap(self) -> int:
        return 0

    def losses(self) -> Losses:
        return Losses()

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass
