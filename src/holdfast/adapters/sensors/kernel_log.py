"""The kernel's own words about a death: out of memory, a machine check, a segmentation fault.

It follows /dev/kmsg and keeps the lines that matter, so that a flood of others cannot drown them.
Lines that programs wrote there themselves are not believed.
"""

import asyncio
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from holdfast.adapters.drivers.kernel_tail import KernelTail
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.observations import PieceLost
from holdfast.facts.subjects import Incarnation
from holdfast.ports.sensor import See

PATH = Path("/dev/kmsg")
LINES_KEPT = 1_000
READS_AT_ONCE = 50_000
READS_IN_A_TURN = 100  # Of the event loop, in which a flood must not hold up what else is seen.
DRIFT_NS = NS_PER_S  # How far the kernel's stamps may be from the monotonic clock.
NEAR_NS = 5 * NS_PER_S  # How far from a death a line without its pid may be, to be about it.
_INITIAL_PID_NAMESPACE = 0xEFFF_FFFC  # PROC_PID_INIT_INO of the kernel.
_QEMU_NAMES = re.compile(r"qemu|kvm|CPU \d+/|IO |worker|SPICE|vnc_|call_rcu")


class Word(StrEnum):
    OUT_OF_MEMORY = "out of memory"
    MACHINE_CHECK = "machine check"
    SEGFAULT = "segfault"


class KernelLine(Struct, frozen=True, kw_only=True):
    """`pid` is that of the initial PID namespace, and of a thread in a segfault; 0: not said."""

    at: Instant
    word: Word
    text: str
    pid: int = 0
    task: str = ""


class KernelWord(Struct, frozen=True, kw_only=True):
    """A line that is about one death; `is_likely` when time and name say so, not the pid."""

    line: KernelLine
    is_likely: bool


# The first that matches counts. Sources: mm/oom_kill.c, mm/memory-failure.c, arch/*/mm/fault.c.
_PATTERNS = (
    (Word.OUT_OF_MEMORY, re.compile(r"^oom-kill:.*\btask=(?P<task>.*),pid=(?P<pid>\d+),")),
    (
        Word.OUT_OF_MEMORY,
        re.compile(r"[Oo]ut of memory.*: Killed process (?P<pid>\d+) \((?P<task>.*?)\)"),
    ),
    (
        Word.MACHINE_CHECK,
        re.compile(
            r"(?:Memory failure: .*(?:Killing|SIGBUS to)|MCE: Killing) (?P<task>.*):(?P<pid>\d+) "
        ),
    ),
    (Word.MACHINE_CHECK, re.compile(r"\[Hardware Error\]|^mce: |Uncorrected hardware memory")),
    (Word.SEGFAULT, re.compile(r"^(?:traps: )?(?P<task>.*)\[(?P<pid>\d+)\]:? segfault at ")),
    (
        Word.SEGFAULT,
        re.compile(r"^traps: (?P<task>.*)\[(?P<pid>\d+)\] (?:general protection|trap )"),
    ),
)


class KernelLog:
    """A sensor that keeps what it saw: ask `words_about`. It can be asked without running, too."""

    name = "kernel_log"

    def __init__(self, open_log: Callable[[], int] | None = None) -> None:
        self._open_log = open_log or (lambda: os.open(PATH, os.O_RDONLY | os.O_NONBLOCK))
        self._lines: deque[KernelLine] = deque(maxlen=LINES_KEPT)
        self._fd: int | None = None
        self._is_reading = threading.Lock()
        self.is_live = False  # Whether lines are read as they come.
        self._overrun = 0
        self.tail = KernelTail()
        self.on_grave: Callable[[], None] = lambda: None  # At each grave line as it comes.
        self.on_line: Callable[[str], None] = lambda _: None  # At each line as it comes.

    async def run(self, see: See) -> None:
        """Raises OSError when the kernel's log may not be read."""
        await asyncio.to_thread(self.read_new)
        self.is_live = True
        assert self._fd is not None
        loop = asyncio.get_running_loop()
        loop.add_reader(self._fd, self._follow, see)
        try:
            await loop.create_future()
        finally:
            self.is_live = False
            loop.remove_reader(self._fd)

    def words_about(self, life: Incarnation, since: Instant, died_at: Instant) -> list[KernelWord]:
        """Lines about this death since the life began. Raises OSError if the log is not readable.

        A pid counts where pids are those of the kernel's log; elsewhere (in a container, or for a
        thread's pid) a line counts as likely when it came with the death and names a QEMU.
        """
        self.read_new()
        found = []
        for line in list(self._lines):
            if line.at < since - DRIFT_NS:
                continue
            if line.pid == life.pid and has_initial_pids():
                found.append(KernelWord(line=line, is_likely=False))
            elif abs(line.at - died_at) <= NEAR_NS and self._may_be_about(line):
                found.append(KernelWord(line=line, is_likely=True))
        return found

    def read_new(self) -> None:
        """Take in what the kernel said since the last time. Raises OSError."""
        with self._is_reading:
            self._read(READS_AT_ONCE)

    def _read(self, at_once: int) -> None:
        if self._fd is None:
            self._fd = self._open_log()
        for _ in range(at_once):
            try:
                raw = os.read(self._fd, 8_192)
            except BlockingIOError:
                break
            except BrokenPipeError:  # The kernel overwrote lines that we had not read.
                self._overrun += 1
                continue
            if not raw:
                break
            self._take(raw)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    @staticmethod
    def _may_be_about(line: KernelLine) -> bool:
        """With the kernel's own pids, only lines that name no process, or a mere thread of one."""
        if line.pid == 0:
            return True
        is_of_thread = line.word is Word.SEGFAULT or not has_initial_pids()
        return is_of_thread and _QEMU_NAMES.match(line.task) is not None

    def _follow(self, see: See) -> None:
        if not self._is_reading.acquire(blocking=False):
            return  # A thread takes it in; we are called again for what it leaves.
        before = self._overrun
        try:
            self._read(READS_IN_A_TURN)
        finally:
            self._is_reading.release()
        if self._overrun > before:
            count, at = self._overrun - before, Instant(time.monotonic_ns())
            see(PieceLost(at=at, what="kernel log", count=count, reason="lines came too fast"))

    def _take(self, raw: bytes) -> None:
        head, _, text = raw.partition(b";")
        fields = head.split(b",")
        if len(fields) < 3 or not (fields[0].isdigit() and fields[2].isdigit()):
            return
        if int(fields[0]) >> 3 != 0:  # A program wrote it there.
            return
        line = text.split(b"\n", 1)[0].decode(errors="replace")
        is_grave = self.tail.take(int(fields[0]) & 7, int(fields[2]), line)
        if is_grave and self.is_live:
            self.on_grave()
        if self.is_live:
            self.on_line(line)
        said = parse(line)
        if said is not None:
            # The kernel's stamps drift from the monotonic clock over weeks: our own are better
            # for lines that are read as they come.
            stamped = int(fields[2]) * 1_000
            at = Instant(time.monotonic_ns() if self.is_live else stamped)
            self._lines.append(
                KernelLine(at=at, word=said.word, text=said.text, pid=said.pid, task=said.task)
            )


def parse(text: str) -> KernelLine | None:
    """What a line says about a death, or None if nothing."""
    for word, pattern in _PATTERNS:
        match = pattern.search(text)
        if match is not None:
            groups = match.groupdict()
            return KernelLine(
                at=Instant(0),
                word=word,
                text=text,
                pid=int(groups.get("pid") or 0),
                task=groups.get("task") or "",
            )
    return None


def has_initial_pids() -> bool:
    """Whether our pids are those that the kernel writes into its log."""
    return os.stat("/proc/self/ns/pid").st_ino == _INITIAL_PID_NAMESPACE


PLUGIN = KernelLog
