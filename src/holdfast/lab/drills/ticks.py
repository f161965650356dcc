"""How long a guest stood still, as seen from outside: it writes all the time, until it cannot.

Nothing of Holdfast or of libvirt is asked: the console's log grows on one host, then on another.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.lab.commands import LabError
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host

PERIOD_S = 0.002
SIGN_LIMIT_S = 10.0
WRITE = "while :; do echo . > /dev/console; usleep 5000; done"
NS_PER_MS = 1_000_000


def keep_busy(guest: Guest) -> None:
    """The guest writes on its console without end, and so its CPU is at work."""
    guest.begin(["/bin/sh", "-c", WRITE])


class Ticks:
    """For the length of a `with` block: when the guest's console was written to, on any host."""

    def __init__(self, guest: Guest, hosts: Sequence[Host]) -> None:
        self._logs = []
        for host in hosts:
            with suppress(LabError):
                self._logs.append(host.path(guest.plan.console_log))
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look_always, daemon=True)
        self.longest_gap_ms = 0.0
        self._awaited_ns: int | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """It has moved: its next sign of life ends the pause."""
        self._awaited_ns = time.monotonic_ns()
        self._is_over.wait(SIGN_LIMIT_S)
        self._is_over.set()
        self._thread.join()

    def _look_always(self) -> None:
        sizes = [_size(log) for log in self._logs]
        grew_ns: int | None = None
        while not self._is_over.wait(PERIOD_S):
            now = [_size(log) for log in self._logs]
            if now == sizes:
                continue
            sizes, at_ns = now, time.monotonic_ns()
            if grew_ns is not None:
                self.longest_gap_ms = max(self.longest_gap_ms, (at_ns - grew_ns) / NS_PER_MS)
            grew_ns = at_ns
            if self._awaited_ns is not None and at_ns > self._awaited_ns:
                self._is_over.set()


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0
