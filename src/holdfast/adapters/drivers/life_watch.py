"""Watches one life of a VM through the kernel: the first sign of its end, and the last.

The first sign is the end of a permanent thread, with its exit status; the last is the end of the
process, when its memory is freed.
"""

import asyncio
import os
import time
from collections.abc import Callable

from holdfast.adapters.drivers import pidfds
from holdfast.adapters.drivers.qemu_proc import (
    QemuProcess,
    choose_permanent,
    is_dumping_core,
    list_threads,
    open_status,
    read_thread_name,
    read_ticks,
)
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import Incarnation

MOST_THREADS = 6  # With the process itself and its status, 8 open files for a VM.
_STATUS_WAIT_S = 0.001
_STATUS_TRIES = 10


def life_of(process: QemuProcess, boot: str) -> Incarnation:
    return Incarnation(
        vm=process.vm, boot=boot, pid=process.pid, started_ticks=process.started_ticks
    )


class GoneBefore(Exception):
    """The life ended before it could be watched."""


class LifeWatch:
    """`on_sign(tid, thread, status)` at each thread's end, `on_gone(status)` once, at the last."""

    def __init__(self, life: Incarnation, name: str, *, with_threads: bool) -> None:
        self.life = life
        self.name = name
        self.since = Instant(time.monotonic_ns())
        self.names: dict[int, str] = {}  # Of the permanent threads, also where none is watched.
        self.status: int | None = None
        self.is_dumping = False
        self.has_ended = False
        self.on_sign: Callable[[int, str, int | None], None] = lambda *_: None
        self.on_gone: Callable[[int | None], None] = lambda _: None
        self._with_threads = with_threads
        self._threads: dict[int, int] = {}  # Thread id -> pidfd.
        self._loop: asyncio.AbstractEventLoop | None = None
        try:
            self._process = os.pidfd_open(life.pid)
        except ProcessLookupError:
            raise GoneBefore from None
        if read_ticks(life.pid) != life.started_ticks:
            os.close(self._process)
            raise GoneBefore
        self._status = open_status(life.pid)
        self.list_anew()

    @property
    def watches_threads(self) -> bool:
        return bool(self._threads)

    def list_anew(self) -> None:
        """Watch permanent threads that came since; forget such as are gone unseen."""
        pid = self.life.pid
        known = self.names
        names = {tid: known.get(tid) or read_thread_name(pid, tid) for tid in list_threads(pid)}
        if pid not in names:
            return  # It is on its way out: what was known of its threads still tells of that.
        chosen = choose_permanent(names, pid, MOST_THREADS + len(names))
        # A thread has its creator's name until it gives itself its own.
        self.names = {tid: names[tid] for tid in chosen if not names[tid].startswith("qemu")}
        self.names[pid] = names.get(pid, "")
        if not self._with_threads:
            return
        for tid in choose_permanent(names, pid, MOST_THREADS):
            if tid not in self._threads and len(self._threads) < MOST_THREADS:
                self._watch(tid)

    def dumps_core(self) -> bool:
        """Whether the kernel writes its core at the moment; no thread ends for as long."""
        return is_dumping_core(self._status)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen. What ended since it was made is heard at once."""
        self._loop = loop
        for tid, fd in self._threads.items():
            loop.add_reader(fd, self._on_thread, tid)
        loop.add_reader(self._process, self._on_process)

    def detach(self) -> None:
        if self._loop is None:
            return
        for fd in (*self._threads.values(), self._process):
            self._loop.remove_reader(fd)
        self._loop = None

    def close(self) -> None:
        self.detach()
        for tid in list(self._threads):
            self._unwatch(tid)
        for fd in (self._process, self._status):
            if fd >= 0:
                os.close(fd)
        self._process = self._status = -1

    def _watch(self, tid: int) -> None:
        try:
            fd = pidfds.open_thread(tid)
        except OSError:
            return  # It ended meanwhile: the others tell why.
        # The id may be another process's by now: only while it is listed is it ours.
        if not os.path.exists(f"/proc/{self.life.pid}/task/{tid}"):
            os.close(fd)
            return
        self._threads[tid] = fd
        if self._loop is not None:
            self._loop.add_reader(fd, self._on_thread, tid)

    def _unwatch(self, tid: int) -> None:
        fd = self._threads.pop(tid)
        if self._loop is not None:
            self._loop.remove_reader(fd)
        os.close(fd)

    def _on_thread(self, tid: int, tries: int = _STATUS_TRIES) -> None:
        """Say it at once if the status is there. A first thread has none until it is reaped, and
        any may have none yet: then look at the others, and wait for a few milliseconds."""
        if tid not in self._threads or self._loop is None:
            return
        status = pidfds.exit_status(self._threads[tid])
        if status is None and tries > 0:
            self._loop.remove_reader(self._threads[tid])
            self._hear_ended(besides=tid)
            if self.status is None:
                self._loop.call_later(_STATUS_WAIT_S, self._on_thread, tid, tries - 1)
                return
        self._say(tid, status if status is not None else self.status)

    def _hear_ended(self, besides: int) -> None:
        for tid in list(self._threads):
            if tid != besides and pidfds.has_ended(self._threads[tid]):
                status = pidfds.exit_status(self._threads[tid])
                if status is not None:
                    self._say(tid, status)

    def _say(self, tid: int, status: int | None) -> None:
        if status is not None and not self.status:
            self.status = status
        self.on_sign(tid, self.names.get(tid, ""), status)
        if tid in self._threads:
            self._unwatch(tid)
        if status:  # All is said; the other threads would only repeat it.
            for other in list(self._threads):
                self._unwatch(other)

    def _on_process(self) -> None:
        if not self.status:
            self._hear_ended(besides=0)
        status = pidfds.exit_status(self._process)
        self.has_ended = True
        self.on_gone(status if status is not None else self.status)
