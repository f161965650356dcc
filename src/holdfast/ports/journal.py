"""Everything policy consumed and asked for, in order: audit log and replay file in one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Protocol

from msgspec import Raw, Struct

from holdfast.facts.instants import Instant

Kind = Literal["snapshot", "input", "action", "note"]


class Record(Struct, frozen=True, kw_only=True):
    """One line. `n` counts up by one over all lines, lost ones too, so that a hole is a gap.

    `body` is the JSON of a fact with its name in `is`. `schema` is set in snapshots only: the
    version of what the body of the snapshot looks like.
    """

    n: int
    at: Instant
    utc_ms: int
    kind: Kind
    body: Raw
    schema: int = 0


class Gap(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The body of the note that follows lost lines: how many, and why they were lost."""

    lost: int
    reason: str


class Losses(Struct, frozen=True, kw_only=True):
    """What could not be written since the journal was opened, and the newest reason."""

    count: int = 0
    reason: str = ""


def losses_told(losses: Mapping[str, Callable[[], Losses]]) -> dict[str, Any]:
    """For who asks a program how it is: by name what it lost, and why."""
    found = {name: read() for name, read in losses.items()}
    return {
        "records_lost": {name: one.count for name, one in found.items()},
        "lost_because": {name: one.reason for name, one in found.items() if one.count},
    }


class Journal(Protocol):
    """A journal begins, and begins again after a gap, with a snapshot of the world."""

    def append(self, kind: Kind, at: Instant, body: Struct | bytes) -> None:
        """Keep one line. Append an input *before* policy consumes it: snapshots are taken between
        inputs, and hold the world as it was before the input that follows.

        Never raises for the disk's sake: what cannot be written is counted. kill -9 after the
        return loses nothing; a power cut loses what was not synced.
        """
        ...

    def sync(self) -> None:
        """Bring what was appended to the disk. Blocks: call it in a thread."""
        ...

    def losses(self) -> Losses: ...

    def records(self) -> Iterator[Record]:
        """All that is kept, oldest first; damaged lines are left out."""
        ...

    def close(self) -> None: ...
