"""Where bundles of last words are kept: the first and the latest of each VM, within a size."""

from pathlib import Path
from typing import Protocol

from holdfast.facts.last_words import Bundle


class Archive(Protocol):
    def open_bundle(self, vm: str, incident: str) -> Path:
        """A new owner-only folder for the bundle's files."""
        ...

    def close_bundle(self, folder: Path, bundle: Bundle) -> str:
        """Write the index, apply retention; the bundle's name."""
        ...

    def bundles(self, vm: str) -> list[tuple[Path, Bundle]]:
        """Newest first. Unreadable ones are left out and counted by the caller's sensor."""
        ...
