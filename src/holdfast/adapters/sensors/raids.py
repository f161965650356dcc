"""The state of software RAIDs, told by the kernel when it changes and looked at now and then.

/proc/mdstat can be read at any time, so that only its exceptional readiness says that it changed:
an epoll of its own waits for that, and the event loop for the epoll.
"""

import asyncio
import contextlib
import logging
import os
import select
import time
from pathlib import Path

from holdfast.adapters.drivers.mdstat import MDSTAT, read_mdstat
from holdfast.facts.hardware import RaidState
from holdfast.facts.instants import Instant
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)

PERIOD_S = 30.0
READ_BYTES = 1 << 20


class Raids:
    name = "raids"

    def __init__(self, path: Path = MDSTAT, period_s: float = PERIOD_S) -> None:
        self._path, self._period_s = path, period_s
        self.state = "not looked yet"

    async def run(self, see: See) -> None:
        """The kernel's module for RAID may be loaded later: it is looked for again."""
        while True:
            try:
                fd = os.open(self._path, os.O_RDONLY)
            except OSError:
                self._say("there is no software RAID")
                await asyncio.sleep(self._period_s)
                continue
            try:
                await self._follow(fd, see)
            finally:
                os.close(fd)

    async def _follow(self, fd: int, see: See) -> None:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        with select.epoll() as poll:
            with contextlib.suppress(PermissionError):  # An ordinary file, which tells nothing.
                poll.register(fd, select.EPOLLPRI | select.EPOLLERR)
            loop.add_reader(poll.fileno(), changed.set)
            try:
                while True:
                    states = _read(fd)
                    poll.poll(0)  # What was read is no news.
                    changed.clear()
                    self._say(f"watches {len(states)} software RAIDs")
                    for state in states:
                        see(state)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._period_s):
                            await changed.wait()
            finally:
                loop.remove_reader(poll.fileno())

    def _say(self, state: str) -> None:
        if state != self.state:
            log.info("RAID: %s", state)
        self.state = state


def _read(fd: int) -> list[RaidState]:
    os.lseek(fd, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(fd, READ_BYTES):
        pieces.append(piece)
    return read_mdstat(b"".join(pieces).decode(errors="replace"), Instant(time.monotonic_ns()))


PLUGIN: type[Sensor] = Raids
