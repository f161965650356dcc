"""Mends by ending what is left of a process that no service manager keeps, and beginning it."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from holdfast.adapters.drivers import pidfds
from holdfast.adapters.drivers.qemu_proc import read_pid_file, read_ticks
from holdfast.adapters.menders.command import run_step
from holdfast.facts.actions import TryRepair
from holdfast.ports.mender import Mender, MendFailed

TERM_S, KILL_S = 1.0, 2.0
LOOK_S = 0.01


class ProcessMender:
    async def mend(self, asked: TryRepair) -> str:
        """The step's `args` are its end mark, its pid file (or empty), and what begins it. The
        process of the fault's evidence is ended first, if it is still that one."""
        mark, pid_file, *command = asked.step.args
        if Path(mark).exists():
            raise MendFailed(f"{mark} says that somebody stopped it")
        deadline = time.monotonic() + asked.limit_ms / 1_000
        pid, ticks = int(asked.evidence.get("pid", 0)), asked.evidence.get("started_ticks", "")
        if not pid and pid_file:
            pid = read_pid_file(Path(pid_file)) or 0
        ended = await _end(pid, ticks) if pid else ""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return ended + await run_step(command, left_s)


async def _end(pid: int, ticks: str) -> str:
    """End that very process, in order if it listens. Raises MendFailed where it stays."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return ""
    try:
        if ticks and str(read_ticks(pid)) != ticks:
            return ""  # The number is another's by now.
        for number, wait_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
            if await _has_ended(fd, wait_s):
                return f"process {pid} was ended by {number.name}; "
    finally:
        os.close(fd)
    raise MendFailed(f"process {pid} does not end: it hangs in the kernel")


async def _has_ended(fd: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while not pidfds.has_ended(fd):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_S)
    return True


PLUGIN: type[Mender] = ProcessMender
