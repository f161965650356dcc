"""Mends by taking a page of memory out of use: what is in it moves, and its owner goes on."""

from holdfast.adapters.drivers.hardware_repairs import Repairs
from holdfast.adapters.drivers.repairing import carry_out
from holdfast.facts.actions import TryRepair
from holdfast.facts.hardware import PAGE, PAGE_BYTES
from holdfast.ports.mender import Mender, MendFailed


class MemoryPage:
    def __init__(self, repairs: Repairs | None = None) -> None:
        self._repairs = repairs or Repairs()

    async def mend(self, asked: TryRepair) -> str:
        """Which page, the fault's evidence says."""
        try:
            page = int(asked.evidence.get(PAGE, ""), 16)
        except ValueError:
            raise MendFailed("no page is known whose errors repeat") from None
        return await carry_out(
            asked, self._repairs, lambda repairs: repairs.soft_offline(page * PAGE_BYTES)
        )


PLUGIN: type[Mender] = MemoryPage
