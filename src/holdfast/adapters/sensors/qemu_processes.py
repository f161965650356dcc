"""Sees each VM's QEMU process come and go, through the kernel alone: libvirt may be dead.

A process is found by libvirt's pid file, within a tenth of a second, or by a slow look at all
processes. Its end is told by pidfds of its permanent threads (Linux 6.15, with the exit status at
the first sign), or by the process connector, or at the last by a pidfd of the process.
"""

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Literal

from holdfast.adapters.drivers import pidfds
from holdfast.adapters.drivers.life_watch import GoneBefore, LifeWatch, life_of
from holdfast.adapters.drivers.process_connector import (
    ConnectorAway,
    CoreBegan,
    Overrun,
    ProcessConnector,
    ThreadEnd,
)
from holdfast.adapters.drivers.qemu_proc import (
    QemuProcess,
    list_pids,
    read_pid_file,
    read_process,
    scan,
)
from holdfast.facts.instants import Instant
from holdfast.facts.observations import (
    CoreDumpBegan,
    QemuProcessGone,
    QemuThreadEnded,
    VmAppeared,
)
from holdfast.facts.subjects import Incarnation
from holdfast.ports.sensor import See

RUN_DIR = Path("/run/libvirt/qemu")
POLL_S = 0.1
TICK_S = 0.7  # A core dump is to be told within the second.
SCAN_PERIOD_S = 10.0
SCAN_AT_ONCE = 100  # Processes looked at before others get their turn.
NOT_YET_QEMU_S = 5.0  # libvirt writes the pid file before it becomes QEMU.
RELIST_AFTER_S = (0.2, 1.0, 3.0)  # QEMU starts its threads one after the other.
SETTLED_NS = 50_000_000  # A folder changed so lately may change again with the same time stamp.

Mechanism = Literal["threads", "connector", "process"]
Choice = Literal["auto", "threads", "connector", "process"]


class QemuProcesses:
    """`mechanism` other than auto is for tests: what cannot be had falls back to `process`."""

    name = "qemu_processes"

    def __init__(
        self,
        boot: str,
        run_dir: Path = RUN_DIR,
        mechanism: Choice = "auto",
        *,
        scans: bool = True,
        tick_s: float = TICK_S,
    ) -> None:
        self._tick_s = tick_s
        self._boot = boot
        self._run_dir = run_dir
        self._scans = scans
        self._see: See = lambda _: None
        self._watches: dict[tuple[int, int], LifeWatch] = {}
        self._newest: dict[str, LifeWatch] = {}
        self._pid_files: dict[str, tuple[int, int, float]] = {}  # Name -> stamp, pid, seen at.
        self._folder_stamp = 0
        self._has_looked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connector: ProcessConnector | None = None
        self.mechanism: Mechanism = self._probe(mechanism)

    def look(self, see: See) -> None:
        """Find what runs now; to be called once before `run`, or by it."""
        self._see = see
        self._read_folder(is_forced=True)
        if self._scans:
            for process in scan():
                self._found(process)
        self._has_looked = True

    def rescan(self) -> None:
        """Somebody heard that a VM started or ended: look now."""
        if self._loop is not None:
            self._read_folder(is_forced=True)

    def running(self) -> dict[str, Incarnation]:
        return {vm: watch.life for vm, watch in self._newest.items()}

    def runs(self, vm: str) -> Incarnation | None:
        watch = self._newest.get(vm)
        return watch.life if watch else None

    def names(self) -> dict[str, str]:
        """The name of each VM that runs."""
        return {vm: watch.name for vm, watch in self._newest.items()}

    def watched_by(self, vm: str) -> str:
        """threads, connector or process; empty for a VM that does not run."""
        watch = self._newest.get(vm)
        if watch is None:
            return ""
        if self.mechanism == "threads" and not watch.watches_threads:
            return "process"
        return self.mechanism

    async def run(self, see: See) -> None:
        self._see = see
        self._loop = asyncio.get_running_loop()
        if not self._has_looked:
            self.look(see)
        for watch in list(self._watches.values()):
            watch.attach(self._loop)
        if self._connector is not None:
            self._loop.add_reader(self._connector.fileno(), self._on_connector)
        try:
            self._poll()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tick())
                group.create_task(self._scan_slowly())
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for watch in self._watches.values():
                watch.detach()
            if self._connector is not None:
                self._loop.remove_reader(self._connector.fileno())
            self._loop = None

    def close(self) -> None:
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        self._newest.clear()
        if self._connector is not None:
            self._connector.close()
            self._connector = None

    def _probe(self, wish: Choice) -> Mechanism:
        """The best that this kernel really does, tried and not guessed by its version."""
        if wish in ("auto", "connector"):
            with contextlib.suppress(ConnectorAway):
                self._connector = ProcessConnector()
        if wish in ("auto", "threads") and pidfds.probe_status():
            return "threads"  # Where there is a connector too, it tells of core dumps.
        if self._connector is not None:
            return "connector"
        if wish in ("auto", "threads") and pidfds.probe_threads():
            return "threads"  # The first sign without its status: libvirt is waited for.
        return "process"

    def _poll(self) -> None:
        """A timer, since a task's wake-up costs three times as much, ten times a second."""
        if self._loop is not None:
            self._timer = self._loop.call_later(POLL_S, self._poll)
            self._read_folder()

    async def _tick(self) -> None:
        """Look for core dumps, unless the connector tells of them for nothing."""
        while self._connector is None:
            await asyncio.sleep(self._tick_s)
            for watch in list(self._watches.values()):
                if not watch.is_dumping and watch.dumps_core():
                    self._core_began(watch, Instant(time.monotonic_ns()))

    async def _scan_slowly(self) -> None:
        while True:
            await asyncio.sleep(SCAN_PERIOD_S)
            pids = list_pids() if self._scans else []
            for start in range(0, len(pids), SCAN_AT_ONCE):
                for process in scan(pids[start : start + SCAN_AT_ONCE]):
                    self._found(process)
                await asyncio.sleep(0.02)
            for watch in list(self._watches.values()):
                watch.list_anew()

    def _read_folder(self, *, is_forced: bool = False) -> None:
        try:
            stamp = os.stat(self._run_dir).st_mtime_ns
            if stamp == self._folder_stamp and not is_forced:
                return
            with os.scandir(self._run_dir) as entries:
                files = {e.name: e.stat().st_mtime_ns for e in entries if e.name.endswith(".pid")}
        except FileNotFoundError:
            return  # Not there until libvirt is; or a file that went while we looked: next time.
        waits = self._read_pid_files(files)
        is_settled = time.time_ns() - stamp > SETTLED_NS
        self._folder_stamp = stamp if is_settled and not waits else 0

    def _read_pid_files(self, files: dict[str, int]) -> bool:
        """Look at the new ones; true when one of them is not QEMU's yet and may become so."""
        now = time.monotonic()
        waits = False
        for name in self._pid_files.keys() - files.keys():
            del self._pid_files[name]
        for name, stamp in files.items():
            known = self._pid_files.get(name)
            if known is None or known[0] != stamp:
                known = (stamp, 0, now)
                self._pid_files[name] = known
            if known[1] or now - known[2] > NOT_YET_QEMU_S:
                continue
            pid = read_pid_file(self._run_dir / name)
            process = read_process(pid) if pid else None
            if process is None:
                waits = True
                continue
            self._pid_files[name] = (stamp, process.pid, now)
            self._found(process)
        return waits

    def _found(self, process: QemuProcess) -> None:
        key = (process.pid, process.started_ticks)
        if key in self._watches:
            return
        life = life_of(process, self._boot)
        try:
            watch = LifeWatch(life, process.name, with_threads=self.mechanism == "threads")
        except GoneBefore:
            return
        watch.on_sign = lambda tid, thread, status: self._sign(watch, tid, thread, status, "pidfd")
        watch.on_gone = lambda status: self._gone(watch, status)
        self._watches[key] = watch
        self._newest[life.vm] = watch
        self._filter()
        at = Instant(time.monotonic_ns())
        found = not self._has_looked
        self._see(VmAppeared(at=at, incarnation=life, name=process.name, found=found))
        if self._loop is not None:
            watch.attach(self._loop)
            for delay_s in RELIST_AFTER_S:
                self._loop.call_later(delay_s, self._list_anew, key)

    def _list_anew(self, key: tuple[int, int]) -> None:
        if key in self._watches:
            self._watches[key].list_anew()

    def _sign(
        self,
        watch: LifeWatch,
        tid: int,
        thread: str,
        status: int | None,
        source: str,
        at: Instant | None = None,
    ) -> None:
        self._see(
            QemuThreadEnded(
                at=at or Instant(time.monotonic_ns()),
                incarnation=watch.life,
                tid=tid,
                thread=thread,
                status=status,
                source=source,
            )
        )
        if not status and self._loop is not None:  # A vCPU may have been taken out: stay awake.
            key = (watch.life.pid, watch.life.started_ticks)
            self._loop.call_later(RELIST_AFTER_S[0], self._list_anew, key)

    def _gone(self, watch: LifeWatch, status: int | None) -> None:
        if self._connector is not None:
            self._on_connector()  # Its word on the threads, which is older, may wait unread.
        life = watch.life
        self._watches.pop((life.pid, life.started_ticks), None)
        if self._newest.get(life.vm) is watch:
            del self._newest[life.vm]
        at = Instant(time.monotonic_ns())
        self._see(QemuProcessGone(at=at, incarnation=life, status=status or watch.status))
        watch.close()
        self._filter()

    def _core_began(self, watch: LifeWatch, at: Instant) -> None:
        if not watch.is_dumping:
            watch.is_dumping = True
            self._see(CoreDumpBegan(at=at, incarnation=watch.life))

    def _filter(self) -> None:
        if self._connector is not None:
            self._connector.watch(pid for pid, _ in self._watches)

    def _on_connector(self) -> None:
        assert self._connector is not None
        by_pid = {pid: watch for (pid, _), watch in self._watches.items()}
        for event in self._connector.read():
            match event:
                case Overrun():
                    self._read_folder(is_forced=True)
                case CoreBegan() if event.pid in by_pid:
                    self._core_began(by_pid[event.pid], event.at)
                case ThreadEnd() if event.pid in by_pid and self.mechanism == "connector":
                    self._on_thread_end(by_pid[event.pid], event)
                case _:
                    pass  # The pidfds told it, or its process was forgotten meanwhile.

    def _on_thread_end(self, watch: LifeWatch, event: ThreadEnd) -> None:
        """One that failed is a sign whoever it is; one that just ended, only if permanent."""
        is_permanent = event.tid in watch.names
        if watch.status or not (event.status or is_permanent):
            return
        watch.status = event.status
        thread = watch.names.get(event.tid, "")
        self._sign(watch, event.tid, thread, event.status, "connector", event.at)


PLUGIN = QemuProcesses
