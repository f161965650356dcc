"""Waiting for libvirt's word that a VM stopped, so that nobody has to poll for it."""

import asyncio

from holdfast.facts.observations import LifecycleSeen, Observation


class Ends:
    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def see(self, seen: Observation) -> None:
        if not isinstance(seen, LifecycleSeen) or seen.event != "stopped":
            return
        for future in self._waiting.pop(seen.vm, ()):
            if not future.done():
                future.set_result(None)

    async def wait_end(self, vm: str, limit_s: float) -> None:
        """Return when libvirt said that the VM stopped, or after the limit."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(vm, set()).add(future)
        try:
            async with asyncio.timeout(limit_s):
                await future
        except TimeoutError:
            return
        finally:
            waiting = self._waiting.get(vm)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[vm]
