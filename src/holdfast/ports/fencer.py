"""What switches a host off, reads its power back, and only then says that it is dead."""

from enum import StrEnum
from typing import Protocol

from holdfast.facts.fencing import Fence, FenceDevice
from holdfast.facts.tenure import DeathProof


class FenceFailed(Exception):
    """The device could not be asked, or the host could not be switched off: a sentence."""


class PowerState(StrEnum):
    ON = "on"
    OFF = "off"


class Fencer(Protocol):
    """Every call ends within the device's deadline, and raises FenceFailed."""

    async def check(self, device: FenceDevice) -> None:
        """Raise FenceFailed where the device could never work: its agent is not installed, needs
        an option that is not given, or knows none of that name. Touches no host."""
        ...

    async def power(self, device: FenceDevice) -> PowerState:
        """What the device says of the host's power now. Changes nothing."""
        ...

    async def switch_off(self, fence: Fence, device: FenceDevice) -> DeathProof:
        """Switch the host off; never on again. A host that is off already is a success. The proof
        is made only after the power was read back off."""
        ...
