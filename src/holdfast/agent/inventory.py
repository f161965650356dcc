"""What libvirt last said of its VMs, read anew on its events and every minute, told on change."""

import asyncio
import contextlib
from collections.abc import Callable

from msgspec import structs

from holdfast.facts import wire
from holdfast.facts.definitions import HostRole, HostSize
from holdfast.facts.observations import (
    LibvirtAnswered,
    LibvirtGone,
    LibvirtSilent,
    LifecycleSeen,
    Observation,
    ProcessAnswered,
    ProcessEnded,
    ProcessRan,
    ProcessSilent,
)
from holdfast.ports.hypervisor import CallFailed, Domain, Hypervisor

PERIOD_S = 60.0
GATHER_S = 0.3  # Events come in bunches: one reading, or telling, serves them all.
TROUBLES: dict[type[Observation], str] = {
    LibvirtGone: "its libvirt does not run",
    LibvirtSilent: "its libvirt does not answer",
}


class Inventory:
    """`tell` hears the whole list whenever it differs from what it heard last."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        summaries: Callable[[], list[wire.VmSummary]],
        roles: tuple[HostRole, ...] = (),
        parts: Callable[[], tuple[wire.HostPart, ...]] = tuple,
    ) -> None:
        self._parts = parts
        self._roles = roles
        self._hypervisor = hypervisor
        self._summaries = summaries
        self._domains: dict[str, Domain] = {}
        self._woken = asyncio.Event()
        self._must_read = True
        self._size: HostSize | None = None
        self._trouble = ""
        self._told: wire.Inventory | None = None
        self.tell: Callable[[wire.Inventory], None] = lambda _: None

    def domains(self) -> dict[str, Domain]:
        return self._domains

    def domain(self, vm: str) -> Domain | None:
        return self._domains.get(vm)

    def told_running(self) -> set[str]:
        """The VMs that run, as the controllers were told last."""
        return {one.vm for one in self._told.vms if one.is_running} if self._told else set()

    def see(self, seen: Observation) -> None:
        if isinstance(seen, LifecycleSeen | LibvirtAnswered):
            self._must_read = True
            self._woken.set()
        elif isinstance(seen, ProcessRan | ProcessEnded | ProcessSilent | ProcessAnswered):
            self._woken.set()
        if isinstance(seen, LibvirtAnswered | LibvirtGone | LibvirtSilent):
            self._trouble = TROUBLES.get(type(seen), "")
            self._woken.set()

    def policy_moved(self) -> None:
        """What is told of a VM may have changed here, without a word of libvirt's."""
        self._woken.set()

    def tell_anew(self) -> None:
        """Somebody new listens: tell all."""
        self._told = None
        self.tell_changes()

    def tell_changes(self) -> None:
        size = structs.replace(self._size, trouble=self._trouble) if self._size else None
        now = wire.Inventory(vms=tuple(self._summaries()), size=size, parts=self._parts())
        if now != self._told:
            self._told = now
            self.tell(now)

    async def read(self) -> None:
        with contextlib.suppress(CallFailed):  # A verdict of its own: keep what was known.
            self._domains = {d.vm: d for d in await self._hypervisor.domains()}
            self._size = structs.replace(await self._hypervisor.size(), roles=self._roles)
        self.tell_changes()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        read_at = 0.0
        while True:
            if self._must_read or loop.time() >= read_at:
                self._must_read = False
                read_at = loop.time() + PERIOD_S
                self.tell_changes()  # What policy knows need not wait for libvirt.
                await self.read()
            else:
                self.tell_changes()
            try:
                async with asyncio.timeout_at(read_at):
                    await self._woken.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(GATHER_S)
            self._woken.clear()
