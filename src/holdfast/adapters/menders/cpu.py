"""Mends by taking a CPU that errs offline, unless a VM may run on that one only.

Where a VM may run is asked of the kernel, for each thread of its QEMU: so it counts whoever
pinned it, and by which means.
"""

import asyncio

from holdfast.adapters.drivers.hardware_repairs import Repairs
from holdfast.adapters.drivers.part_holders import cpu_holder
from holdfast.adapters.drivers.repairing import carry_out
from holdfast.facts.actions import TryRepair
from holdfast.facts.hardware import ONE_CPU
from holdfast.ports.mender import Mender, MendFailed


class Cpu:
    def __init__(self, repairs: Repairs | None = None) -> None:
        self._repairs = repairs or Repairs()

    async def mend(self, asked: TryRepair) -> str:
        """Which CPU, the fault's evidence says."""
        number = asked.evidence.get(ONE_CPU, "")
        if not number.isdigit():
            raise MendFailed("it is not known that one CPU alone errs")
        return await carry_out(asked, self._repairs, lambda one: self._mend(one, int(number)))

    async def _mend(self, repairs: Repairs, cpu: int) -> str:
        holder = await asyncio.to_thread(cpu_holder, cpu, repairs.proc)
        if holder:
            raise MendFailed(f"CPU {cpu} is left to a person: {holder}")
        return await repairs.take_cpu_offline(cpu)


PLUGIN: type[Mender] = Cpu
