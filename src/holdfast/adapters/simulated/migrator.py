"""A migrator in memory: VMs move between hypervisors in memory whose hosts share a network."""

import asyncio

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.facts.migrations import End, Progress
from holdfast.ports.hypervisor import CallFailed
from holdfast.ports.migrator import Looked, Place

PORT = 7314
PAUSE_MS = 42


class Roads:
    """Where a VM may come in: at which host, and from which."""

    def __init__(self) -> None:
        self.doors: dict[tuple[str, str], tuple[MigratorInMemory, str]] = {}


class MigratorInMemory:
    """`refusal`: why nothing moves from or to here. While `is_open` is not set a move is on its
    way; `breaks`: what goes wrong with it then. `left`: who stands still for a move that nobody
    carries on."""

    def __init__(self, host: str, hypervisor: HypervisorInMemory, roads: Roads) -> None:
        self.host, self.hypervisor, self._roads = host, hypervisor, roads
        self.refusal = self.breaks = ""
        self.is_open = asyncio.Event()
        self.is_open.set()
        self._sending: dict[str, asyncio.Event] = {}
        self.left: set[str] = set()
        self._came: set[str] = set()

    def why_not(self) -> str:
        return self.refusal

    async def receive(self, vm: str, source: str, address: str) -> int:
        if not address:
            raise CallFailed("there is no address to listen at")
        self._roads.doors[self.host, vm] = self, source
        return PORT

    async def send(self, vm: str, place: Place, limit_s: float) -> None:
        if vm in self._sending:
            raise CallFailed("it is being moved already")
        stopped = self._sending[vm] = asyncio.Event()
        try:
            domain = await self.hypervisor.domain(vm)
            await self._wait(stopped, limit_s)
            door, allowed = self._roads.doors.get((place.host, vm), (None, ""))
            if door is None or allowed != self.host:
                raise CallFailed(f"nobody lets it in at {place.address}")
            if self.breaks:
                raise CallFailed(self.breaks)
            self.hypervisor.kill(vm, "migrated")
            self.hypervisor.undefine(vm)
            door.hypervisor.add(domain)
            await door.hypervisor.start(vm)
            door._came.add(vm)  # noqa: SLF001  Its own kind.
        finally:
            del self._sending[vm]

    async def _wait(self, stopped: asyncio.Event, limit_s: float) -> None:
        waits = [asyncio.ensure_future(one.wait()) for one in (self.is_open, stopped)]
        done, rest = await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for one in rest:
            one.cancel()
        if stopped.is_set():
            raise CallFailed("it was called off")
        if not done:
            raise CallFailed(f"it had not come over within {limit_s:g} s, and was called off")

    async def look(self, vm: str) -> Looked:
        if vm in self.hypervisor.hangs:
            raise CallFailed("libvirt does not answer")
        is_here = self.hypervisor.life(vm) is not None
        is_awaited = (self.host, vm) in self._roads.doors and not is_here
        if vm in self._sending or is_awaited:
            return Looked(end=End.MOVING, progress=Progress(total_bytes=100, left_bytes=60))
        if vm in self.left:
            return Looked(end=End.MOVING, is_left=True)
        pause_ms = PAUSE_MS if vm in self._came else None
        return Looked(end=End.RUNS if is_here else End.NOTHING, pause_ms=pause_ms)

    async def cancel(self, vm: str) -> None:
        stopped = self._sending.get(vm)
        if stopped is not None:
            stopped.set()

    async def leave(self, vm: str) -> None:
        await self.cancel(vm)
        self._roads.doors.pop((self.host, vm), None)

    async def close(self) -> None:
        for host, vm in list(self._roads.doors):
            if host == self.host:
                await self.leave(vm)
