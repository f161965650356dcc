"""Looks at a part of the hardware after its repair: nobody else tells that it is well again.

The kernel says when memory or a device errs, and never that a page is out of use by now, or that a
device answers: it is looked at when policy asks for that.
"""

import asyncio
import logging
import time
from collections.abc import Mapping

from holdfast.adapters.drivers.hardware_repairs import RepairFailed, Repairs
from holdfast.facts.hardware import (
    ONE_CPU,
    PAGE,
    CpuOffline,
    PageRetired,
    PartKind,
    PcieAnswers,
)
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.subjects import Subject
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)


class RepairedParts:
    name = "repaired_parts"

    def __init__(self, repairs: Repairs | None = None) -> None:
        self._repairs = repairs or Repairs()
        self._asked: asyncio.Queue[tuple[Subject, Mapping[str, str]]] = asyncio.Queue()
        self.state = "nothing was repaired yet"

    def look_again(self, part: Subject, evidence: Mapping[str, str]) -> None:
        """`evidence` is that of the fault. What stays wrong is not told: its alarm stands."""
        self._asked.put_nowait((part, evidence))

    async def run(self, see: See) -> None:
        while True:
            part, evidence = await self._asked.get()
            try:
                # A bus that is dead can hold up who reads: then that thread is lost, and this
                # sensor with it; the step is not verified, and the VIM has the fault.
                seen = await asyncio.to_thread(self._look, part, evidence)
            except RepairFailed as reason:
                log.warning("%s cannot be looked at: %s", part.name, reason)
                self.state = f"{part.name} cannot be looked at: {reason}"
                continue
            self.state = f"looked at {part.name}: {'it is well' if seen else 'it is as it was'}"
            if seen is not None:
                see(seen)

    def _look(self, part: Subject, evidence: Mapping[str, str]) -> Observation | None:
        kind, _, id = part.id.partition(":")
        if kind == PartKind.MEMORY and evidence.get(PAGE):
            page = evidence[PAGE]
            is_well = self._repairs.is_retired(int(page, 16))
            return PageRetired(at=_now(), page=page) if is_well else None
        if kind == PartKind.CPU and evidence.get(ONE_CPU):
            cpu = int(evidence[ONE_CPU])
            return CpuOffline(at=_now(), cpu=cpu) if self._repairs.is_offline(cpu) else None
        if kind == PartKind.PCI:
            return PcieAnswers(at=_now(), device=id) if self._repairs.answers(id) else None
        return None  # A RAID is told of by the kernel.


def _now() -> Instant:
    return Instant(time.monotonic_ns())


PLUGIN: type[Sensor] = RepairedParts
