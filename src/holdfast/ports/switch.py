"""A virtual switch that can be mended: what it was is recorded, and put back as it was.

Each act is bounded, looks again at what it did, and returns what was done as a sentence.
"""

from collections.abc import Sequence
from typing import Protocol


class NotMended(Exception):
    """It was tried, and is not as it should be; the text says what was tried and why it failed."""


class Switch(Protocol):
    async def record(self) -> None:
        """Keep what the switch is now, unless most of it is lost. Raises OSError."""
        ...

    async def restart(self, command: Sequence[str]) -> str:
        """Run this command, which restarts the switch's daemon, and give it its flows back before
        it carries anything. Raises NotMended."""
        ...

    async def restore_flows(self, bridge: str) -> str:
        """Give a bridge back the flows that were recorded, beside those it has. Raises
        NotMended."""
        ...

    async def rebuild_port(self, interface: str) -> str:
        """Make the port of this interface anew, as it was recorded. Raises NotMended."""
        ...

    async def raise_link(self, device: str) -> str:
        """Switch a network device on, and wait for its carrier. Raises NotMended."""
        ...

    async def clean_up(self) -> None:
        """End what an agent before this one may have left half done. Raises OSError."""
        ...
