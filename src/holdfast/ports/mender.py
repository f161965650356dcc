"""Who carries out one kind of repair step. It says what it did; whether that helped, others see."""

from typing import Protocol

from holdfast.facts.actions import TryRepair


class MendFailed(Exception):
    """The step was not done; the text is a sentence without its end."""


class Mender(Protocol):
    async def mend(self, asked: TryRepair) -> str:
        """Do it, and say what was done. Raises MendFailed, or TimeoutError where its own limit was
        over. Cancelled, it leaves nothing behind that still works at it."""
        ...
