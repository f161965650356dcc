"""Ends one very process, in order if it listens, and no other that got its number since."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence

from holdfast.adapters.drivers import pidfds
from holdfast.adapters.drivers.qemu_proc import read_ticks
from holdfast.ports.mender import MendFailed

TERM_S, KILL_S = 1.0, 2.0
LOOK_S = 0.01
IN_ORDER = (signal.SIGTERM, signal.SIGKILL)


async def end_process(pid: int, ticks: str, signals: Sequence[signal.Signals] = IN_ORDER) -> str:
    """What ended it, as the beginning of a sentence; empty where it is gone already. `ticks` is
    its start time, if that is known. Raises MendFailed where it stays."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return ""
    try:
        if ticks and str(read_ticks(pid)) != ticks:
            return ""  # The number is another's by now.
        for number in signals:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
            if await _has_ended(fd, TERM_S if number is signal.SIGTERM else KILL_S):
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
