"""An archive that keeps its indexes in memory, and everything for ever."""

from pathlib import Path

from holdfast.facts.last_words import Bundle


class ArchiveInMemory:
    """See ports.archive.Archive. The files themselves need a folder all the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened = 0
        self._closed: dict[Path, tuple[str, Bundle]] = {}

    def open_bundle(self, vm: str, incident: str) -> Path:
        self._opened += 1
        path = self._folder / f"{self._opened}-{vm}-{incident}"
        path.mkdir(mode=0o700)
        return path

    def close_bundle(self, folder: Path, bundle: Bundle) -> str:
        self._closed.pop(folder, None)
        self._closed[folder] = (bundle.vm, bundle)
        return folder.name

    def bundles(self, vm: str) -> list[tuple[Path, Bundle]]:
        return [(path, b) for path, (of, b) in reversed(self._closed.items()) if of == vm]
