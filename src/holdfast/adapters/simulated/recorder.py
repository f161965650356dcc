"""A flight recorder in memory, for tests and for a data centre in memory."""

from collections import deque

import msgspec

from holdfast.facts.instants import Instant
from holdfast.ports.recorder import Kept


class RecorderInMemory:
    """See ports.recorder.Recorder."""

    def __init__(self, kept_at_most: int = 10_000) -> None:
        self.lost = 0
        self._kept: deque[Kept] = deque(maxlen=kept_at_most)

    def add(self, kept: Kept) -> None:
        self._kept.append(kept)

    def since(self, at: Instant) -> list[Kept]:
        return [kept for kept in self._kept if kept.at >= at]

    def newest(self, max_bytes: int) -> str:
        lines: list[str] = []
        for kept in reversed(self._kept):
            line = msgspec.json.encode(kept).decode()
            max_bytes -= len(line.encode()) + 1
            if max_bytes < 0:
                break
            lines.append(line)
        return "\n".join(reversed(lines))

    def close(self) -> None:
        pass
