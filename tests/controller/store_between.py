"""A store in which something happens while it is read anew, as when others are at work."""

from collections.abc import Awaitable, Callable

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.registry import Registry
from holdfast.ports.store import Held


async def _nothing() -> None:
    """All is quiet."""


class StoreBetween(StoreInMemory):
    """`between`: what happens, once, the next time that all of it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.between: Callable[[], Awaitable[None]] = _nothing

    async def list(self, prefix: str) -> dict[str, Held]:
        between, self.between = self.between, _nothing
        await between()
        return await super().list(prefix)


async def led(store: StoreInMemory) -> Registry:
    """The registry of a controller that leads."""
    term = await store.begin_term("controller-1", 60_000)
    registry = Registry(store, lambda: term)
    await registry.begin(term or 0)
    return registry
