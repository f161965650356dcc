"""A sensor in memory: it hands over what a test gives it, while it runs."""

import asyncio

from holdfast.facts.observations import Observation
from holdfast.ports.sensor import See


class SensorInMemory:
    """See ports.sensor.Sensor. What is given while it does not run is handed over when it does."""

    def __init__(self, name: str = "in_memory") -> None:
        self.name = name
        self._given: asyncio.Queue[Observation] = asyncio.Queue()
        self.defect: Exception | None = None  # It ends with this when it is set.

    def give(self, seen: Observation) -> None:
        self._given.put_nowait(seen)

    async def run(self, see: See) -> None:
        while True:
            if self.defect is not None:
                raise self.defect
            see(await self._given.get())
