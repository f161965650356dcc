"""Which parts the host has, read anew each minute, and what it had when an agent last looked."""

import asyncio
import logging
import time
from collections.abc import Callable

from holdfast.adapters.drivers.hardware_memory import HardwareMemory
from holdfast.adapters.drivers.sysfs_parts import list_parts, memory_mib
from holdfast.facts.hardware import HardwareListed, Part
from holdfast.facts.instants import Instant
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)

PERIOD_S = 55.0  # A minute is promised; looking takes some of it.


class HardwareList:
    name = "hardware_list"

    def __init__(
        self,
        memory: HardwareMemory,
        period_s: float = PERIOD_S,
        look: Callable[[], tuple[tuple[Part, ...], int]] = lambda: (list_parts(), memory_mib()),
    ) -> None:
        self._memory, self._period_s, self._look = memory, period_s, look
        self.state = "not looked yet"

    async def run(self, see: See) -> None:
        known = self._memory.known
        if known.parts:
            at = Instant(time.monotonic_ns())
            see(
                HardwareListed(
                    at=at,
                    parts=known.parts,
                    memory_mib=known.memory_mib,
                    is_of_before=True,
                )
            )
        while True:
            parts, size_mib = await asyncio.to_thread(self._look)
            at = Instant(time.monotonic_ns())
            see(HardwareListed(at=at, parts=parts, memory_mib=size_mib))
            self.state = f"{len(parts)} parts, {size_mib} MiB of memory"
            await self._keep(parts, size_mib)
            await asyncio.sleep(self._period_s)

    async def _keep(self, parts: tuple[Part, ...], size_mib: int) -> None:
        try:
            await asyncio.to_thread(lambda: self._memory.change(parts=parts, memory_mib=size_mib))
        except OSError as error:
            self.state += f"; the list cannot be kept: {error}"
            log.warning("the list of hardware cannot be kept: %s", error)


PLUGIN: type[Sensor] = HardwareList
