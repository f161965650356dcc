"""An observer of its own: it looks all the time whether any VM has two running copies."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PERIOD_S = 0.05


class CopyWatch:
    """For the length of a `with` block. It knows nothing of Holdfast: it reads the kernel's list of
    processes of the whole machine, on which all lab hosts run."""

    def __init__(self, uuids: Iterable[str]) -> None:
        self._marks = {uuid: f"-uuid\0{uuid}\0".encode() for uuid in uuids}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look_always, daemon=True)
        self.twice: set[str] = set()
        self.looks = 0
        self.longest_gap_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def count(self) -> Counter[str]:
        """How many processes run each VM now."""
        found: Counter[str] = Counter()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                found.update(uuid for uuid, mark in self._marks.items() if mark in words)
        return found

    def _look_always(self) -> None:
        looked_at = time.monotonic()
        while not self._is_over.wait(PERIOD_S):
            self.twice |= {uuid for uuid, copies in self.count().items() if copies > 1}
            self.looks += 1
            now = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now - looked_at)
            looked_at = now
