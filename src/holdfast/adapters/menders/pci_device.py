"""Mends a PCI device that is gone by a reset, or by removing and finding it again.

Never one that a VM was given, that holds a disk, or that the host itself is reached over.
"""

import asyncio

from holdfast.adapters.drivers.hardware_repairs import Repairs
from holdfast.adapters.drivers.part_holders import device_holder
from holdfast.adapters.drivers.repairing import carry_out
from holdfast.facts.actions import TryRepair
from holdfast.ports.mender import Mender, MendFailed

RESCAN = "rescan"


class PciDevice:
    def __init__(self, repairs: Repairs | None = None) -> None:
        self._repairs = repairs or Repairs()

    async def mend(self, asked: TryRepair) -> str:
        """The step's `args` say which: `reset` or `rescan`. The device is the fault's subject."""
        return await carry_out(asked, self._repairs, lambda repairs: self._mend(repairs, asked))

    async def _mend(self, repairs: Repairs, asked: TryRepair) -> str:
        device = asked.subject.id.partition(":")[2]
        holder = await asyncio.to_thread(device_holder, device, repairs.sys, repairs.proc)
        if holder:
            raise MendFailed(f"{device} is left to a person: {holder}")
        if RESCAN in asked.step.args:
            return await repairs.rescan_pci(device)
        return await repairs.reset_pci(device)


PLUGIN: type[Mender] = PciDevice
