"""What disks say of themselves, asked by smartctl, each within a limit and a few at once."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.adapters.drivers import smartctl, sysfs_parts
from holdfast.adapters.drivers.held_program import run_program
from holdfast.facts.instants import Instant
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)

PERIOD_S = 30.0
AT_ONCE = 4  # Some that hang must not make the others wait for more than the promised minute.
ONE_DISK_S = 10.0  # A disk that is dying answers slowly, and what asks it is killed then.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class DiskHealthAsked:
    """`state` is what it reads, or why it does not; said in the log when it changes."""

    name = "disk_health"

    def __init__(
        self,
        period_s: float = PERIOD_S,
        programs: Sequence[str] = smartctl.PROGRAMS,
        disks: Callable[[], dict[str, str]] = sysfs_parts.disk_names,
        one_disk_s: float = ONE_DISK_S,
    ) -> None:
        self._period_s, self._programs, self._disks = period_s, programs, disks
        self._one_disk_s = one_disk_s
        self._why: dict[str, str] = {}
        self.state = "not looked yet"

    async def run(self, see: See) -> None:
        while True:
            began = time.monotonic()
            await self._look(see)
            await asyncio.sleep(max(1.0, self._period_s - (time.monotonic() - began)))

    async def _look(self, see: See) -> None:
        program = next((one for one in self._programs if Path(one).exists()), None)
        if program is None:
            self._say("disks are not asked: smartctl is not here (install smartmontools)")
            return
        disks = await asyncio.to_thread(self._disks)
        turn = asyncio.Semaphore(AT_ONCE)

        async def ask(disk: str, id: str) -> str:
            async with turn:
                return await self._ask(program, disk, id, see)

        async with asyncio.TaskGroup() as group:
            asked = {disk: group.create_task(ask(disk, id)) for disk, id in disks.items()}
        why = {disk: task.result() for disk, task in asked.items()}
        for disk, reason in why.items():
            if reason and self._why.get(disk) != reason:
                log.warning("the health of disk %s is not known: %s", disk, reason)
        self._why = why
        answers = sum(not reason for reason in why.values())
        self._say(f"{answers} of {len(disks)} disks tell their health")

    async def _ask(self, program: str, disk: str, id: str, see: See) -> str:
        """Why it is not known; empty when it was seen."""
        command = [program, *smartctl.options(f"/dev/{disk}")]
        try:
            ended = await run_program(command, b"", self._one_disk_s, ENVIRONMENT)
        except OSError as error:
            return f"smartctl cannot be begun: {error}"
        if ended.code is None:
            return f"smartctl had no answer within {self._one_disk_s:g} s"
        try:
            see(smartctl.read_health(ended.said, disk, id, Instant(time.monotonic_ns())))
        except smartctl.NotRead as reason:
            return str(reason)
        return ""

    def _say(self, state: str) -> None:
        if state != self.state:
            log.info("disks: %s", state)
        self.state = state


PLUGIN: type[Sensor] = DiskHealthAsked
