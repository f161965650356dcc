"""A shelf in memory, which a simulated program leaves behind when it dies, and its next finds."""

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.ports.journal import Losses


class ShelfInMemory(Shelf):
    """See adapters.drivers.shelf.Shelf; nothing is ever lost or late here."""

    def __init__(self) -> None:  # The real one opens its file.
        self._on_it: dict[tuple[str, str], bytes] = {}

    def all(self, shelf: str) -> dict[str, bytes]:
        return {key: value for (of, key), value in self._on_it.items() if of == shelf}

    def put(self, shelf: str, key: str, value: bytes | None) -> None:
        if value is None:
            self._on_it.pop((shelf, key), None)
        else:
            self._on_it[shelf, key] = value

    async def kept(self) -> None:
        pass

    def losses(self) -> Losses:
        return Losses()

    def close(self) -> None:
        pass
