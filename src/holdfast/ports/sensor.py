"""Something that sees: it runs until cancelled and hands over what it saw."""

from collections.abc import Callable
from typing import Protocol

from holdfast.facts.observations import Observation

See = Callable[[Observation], None]


class Sensor(Protocol):
    name: str

    async def run(self, see: See) -> None:
        """Look until cancelled. Anything raised is a defect of the sensor, and is observed."""
        ...
