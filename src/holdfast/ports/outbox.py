"""What must arrive waits here until it was answered: written before it is sent, in order."""

from typing import Protocol

from holdfast.ports.journal import Losses


class Outbox(Protocol):
    """An entry is named (stream, sequence), and no name is ever given twice.

    A stream ends with the boot, and when its file was damaged or could not be written: what comes
    then is in a new one. Only one program may use an outbox at a time.
    """

    @property
    def stream(self) -> str:
        """The stream of the entry that was appended last; it may change with any append."""
        ...

    def append(self, payload: bytes) -> int:
        """Keep one line of bytes; its sequence. Never raises for the disk's sake: see `losses`.

        kill -9 after the return loses nothing, unless the disk was full or broken. A power cut
        loses what was not synced.
        """
        ...

    def pending(self) -> list[tuple[str, int, bytes]]:
        """What was not acknowledged, oldest first: stream, sequence, payload."""
        ...

    def first(self) -> tuple[str, int, bytes] | None:
        """The oldest of what is pending."""
        ...

    @property
    def waiting(self) -> int:
        """How many are pending."""
        ...

    def acknowledge(self, stream: str, sequence: int) -> None:
        """It arrived. One that is not pending changes nothing."""
        ...

    def take_gap(self) -> int:
        """How many entries were lost since this was last asked; say it with the next one sent."""
        ...

    def losses(self) -> Losses:
        """Entries that could not be kept safely, or not be read back, since it was opened."""
        ...

    def sync(self) -> None:
        """Bring what was appended to the disk. Blocks: call it in a thread."""
        ...

    def close(self) -> None: ...
