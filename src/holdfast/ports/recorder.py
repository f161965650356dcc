"""The flight recorder of one VM: its newest samples, events and console, in bounded space."""

from typing import Protocol

from holdfast.facts.instants import Instant
from holdfast.facts.last_words import Noted, Sample

Kept = Sample | Noted


class Recorder(Protocol):
    """What was added survives kill -9 of the program that added it."""

    def add(self, kept: Kept) -> None:
        """Keep it; the oldest makes room. Never raises for the disk's sake: see `lost`."""
        ...

    def since(self, at: Instant) -> list[Kept]:
        """All from then on, oldest first; nothing of an earlier boot."""
        ...

    def newest(self, max_bytes: int) -> str:
        """As many of the newest as fit, as lines of JSON, oldest first."""
        ...

    @property
    def lost(self) -> int:
        """Records that could not be written, and files found damaged, since it was opened."""
        ...

    def close(self) -> None: ...
