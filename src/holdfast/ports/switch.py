"""A virtual switch that can be mended: what it was is recorded, and put back as it was.

Each act is bounded, looks again at what it did, and returns what was done as a sentence.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol


class NotMended(Exception):
    """It was tried, and is not as it should be; the text says what was tried and why it failed."""


class Switch(Protocol):
    async def record(self) -> None:
        """Keep what the switch is now, unless most of it is lost. Raises OSError."""
        ...

    @property
    def has_record(self) -> bool:
        """Whether anything is on record that a restart would lose."""
        ...

    async def restart(self, begin: Callable[[], Awaitable[object]]) -> str:
        """Have the switch's daemon restarted by `begin`, and give it its flows back before it
        carries anything. Raises NotMended, and what `begin` raises."""
        ...

    async def restore_flows(self, bridge: str) -> str:
        """Give a bridge back the flows that were recorded, beside those it has, unless somebody
        owns them who is there. Raises NotMended."""
        ...

    async def missing_ports(self, bridge: str) -> tuple[str, ...]:
        """Interfaces on record that the switch has no more, while their device is there still.
        Raises OSError."""
        ...

    async def rebuild_port(self, interface: str) -> str:
        """Make the port of this interface anew, as it was recorded. Raises NotMended."""
        ...

    def switched_off(self, devices: Iterable[str]) -> tuple[str, ...]:
        """Which of these network devices are there, and switched off here."""
        ...

    async def raise_link(self, device: str) -> str:
        """Switch a network device on, and wait for its carrier. Raises NotMended."""
        ...

    async def clean_up(self) -> None:
        """End what an agent before this one may have left half done. Raises OSError."""
        ...
