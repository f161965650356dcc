"""Which parts the host has, read anew each minute, and what it had when an agent last looked."""

import asyncio
import logging
import time
from collections.abc import Callable

from holdfast.adapters.drivers.hardware_memory import HardwareMemory
from holdfast.adapters.drivers.sysfs_parts import is_given_away, list_parts, memory_mib
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
        is_given: Callable[[Part], bool] = is_given_away,
    ) -> None:
        self._memory, self._period_s, self._look = memory, period_s, look
        self._is_given = is_given
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
            parts = (*parts, *self._given_away(parts))
            at = Instant(time.monotonic_ns())
            see(HardwareListed(at=at, parts=parts, memory_mib=size_mib))
            self.state = f"{len(parts)} parts, {size_mib} MiB of memory"
            await self._keep(parts, size_mib)
            await asyncio.sleep(self._period_s)

    def _given_away(self, parts: tuple[Part, ...]) -> list[Part]:
        """Disks that went to a VM with their device are not missing."""
        here = {part.key for part in parts}
        gone = [part for part in self._memory.known.parts if part.key not in here]
        return [part for part in gone if self._is_given(part)]

    async def _keep(self, parts: tuple[Part, ...], size_mib: int) -> None:
        try:
            await asyncio.to_thread(lambda: self._memory.change(parts=parts, memory_mib=size_mib))
        except OSError as error:
            self.state += f"; the list cannot be kept: {error}"
            log.warning("the list of hardware cannot be kept: %s", error)


PLUGIN: type[Sensor] = HardwareList
