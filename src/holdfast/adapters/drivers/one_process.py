"""One life of a process that serves, as the kernel shows it: how it ended, and what it does.

Whether somebody stopped it or it died is in its exit status; whether it is frozen, hung or merely
busy is in /proc.
"""

import os
import select
from typing import NamedTuple

from holdfast.adapters.drivers import pidfds
from holdfast.adapters.drivers.qemu_proc import (
    list_threads,
    read_bytes,
    read_state,
    read_thread_name,
    read_ticks,
)

MOST_THREADS = 4
STOPPED_LETTERS = ("T", "t")


class Doing(NamedTuple):
    """What it does: the kernel's letter, and how long its threads ran or wanted to."""

    letter: str
    used_ns: int
    is_runnable: bool


class Daemon:
    """One life of it. Raises ProcessLookupError when it is gone already."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.name = read_thread_name(pid, pid)
        self.ticks = read_ticks(pid)
        self._process = os.pidfd_open(pid)
        self._threads = [self._process]
        if pidfds.probe_threads():
            self._open_threads()

    @property
    def end_fd(self) -> int:
        """Readable when it has ended."""
        return self._process

    def wait_ended(self, limit_s: float | None = None) -> bool:
        """Whether it has ended, after this time at the latest. None: however long it takes."""
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(None if limit_s is None else limit_s * 1_000))

    def exit_status(self) -> int | None:
        """As wait(2) gives it; None where the kernel does not tell.

        A thread that left before all others says 0 of itself: what any says else is the reason.
        """
        said = [status for fd in self._threads if (status := pidfds.exit_status(fd)) is not None]
        return next((status for status in said if status), 0) if said else None

    def look(self) -> Doing:
        used_ns, is_runnable = 0, False
        for tid in list_threads(self.pid):
            task = f"/proc/{self.pid}/task/{tid}"
            fields = read_bytes(f"{task}/schedstat").split()
            if len(fields) == 3:
                used_ns += int(fields[0]) + int(fields[1])
            is_runnable |= read_bytes(f"{task}/stat").rpartition(b")")[2].split()[:1] == [b"R"]
        return Doing(read_state(self.pid), used_ns, is_runnable)

    def is_same(self, other: "Daemon") -> bool:
        return (self.pid, self.ticks) == (other.pid, other.ticks)

    def close(self) -> None:
        for fd in self._threads:
            os.close(fd)
        self._threads = []

    def _open_threads(self) -> None:
        """A first thread has no status until it is reaped: others tell it at once."""
        for tid in [tid for tid in list_threads(self.pid) if tid != self.pid][:MOST_THREADS]:
            try:
                fd = pidfds.open_thread(tid)
            except OSError:
                continue
            # The id may be another process's by now: only while it is listed is it ours.
            if os.path.exists(f"/proc/{self.pid}/task/{tid}"):
                self._threads.append(fd)
            else:
                os.close(fd)
