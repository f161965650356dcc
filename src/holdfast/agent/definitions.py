"""How protected VMs are defined, read anew when libvirt says so, and told to every controller.

A host that dies takes libvirt's definitions with it: who starts a VM elsewhere has them from here.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.drivers.vm_needs import LARGEST_XML
from holdfast.facts import wire
from holdfast.facts.definitions import VmDefinition, VmNeeds
from holdfast.facts.observations import LibvirtAnswered, LifecycleSeen, Observation
from holdfast.ports.answers import REFUSED, Unanswerable
from holdfast.ports.hypervisor import CallFailed, Hypervisor

PLAIN = msgspec.to_builtins
PERIOD_S = 300.0  # What is mounted where, and which images rest on which, tells nobody of a change.
RETRY_S = 5.0
GATHER_S = 0.3
FRAME_BYTES = 1 << 20
TELLING = ("defined", "undefined", "started")  # What CPU it got is known when it started.
NONE = "libvirt keeps no definition of it"


class Definitions:
    """`protected` are the VMs in question, by uuid, with their names. `tell` hears each change, and
    `changed` that an obstacle may be another. Of one that `is_moving` the definition leaves with
    the guest: until it is known where it is, what was known of it stands."""

    def __init__(
        self,
        hypervisor: Hypervisor,
        protected: Callable[[], dict[str, str]],
        is_moving: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._hypervisor, self._protected, self._is_moving = hypervisor, protected, is_moving
        self._known: dict[str, VmDefinition] = {}
        self._told: dict[str, VmDefinition] = {}
        self._stale: set[str] = set()
        self._asked: set[str] = set()  # Who was protected at the newest reading.
        self._woken = asyncio.Event()
        self.tell: Callable[[wire.Definitions], None] = lambda _: None
        self.changed: Callable[[], None] = lambda: None

    def needs(self, vm: str) -> VmNeeds | None:
        """Of a protected VM; None: not read yet."""
        known = self._known.get(vm)
        return known.needs if known else None

    async def answer(self, asked: wire.Question) -> Any:
        """What a VM needs that is not protected yet, too. Raises Unanswerable."""
        try:
            return PLAIN((await self._hypervisor.definition(str(asked.args["vm"]))).needs)
        except CallFailed as failure:
            raise Unanswerable(str(failure), "", REFUSED) from None

    def see(self, seen: Observation) -> None:
        if isinstance(seen, LibvirtAnswered):
            self._stale |= self._known.keys()
            self._woken.set()
        elif isinstance(seen, LifecycleSeen) and seen.event in TELLING:
            self._stale.add(seen.vm)
            self._woken.set()

    def policy_moved(self) -> None:
        """Others may be protected now."""
        if self._protected().keys() != self._asked:
            self._woken.set()

    def tell_anew(self) -> None:
        """Somebody new listens: tell all."""
        self._told = {}
        self._tell_changes()

    async def read(self) -> bool:
        """Read what is new or may have changed; whether all could be read."""
        protected = self._protected()
        stale, self._stale, self._asked = self._stale, set(), set(protected)
        self._known = {vm: one for vm, one in self._known.items() if vm in protected}
        for vm, name in protected.items():
            if vm not in self._known or vm in stale:
                await self._read_one(vm, name)
        self._tell_changes()
        return not self._stale

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        all_due = loop.time() + PERIOD_S
        while True:
            self._woken.clear()
            if loop.time() >= all_due:
                self._stale |= self._known.keys()
                all_due = loop.time() + PERIOD_S
            is_whole = await self.read()
            try:
                async with asyncio.timeout_at(all_due if is_whole else loop.time() + RETRY_S):
                    await self._woken.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(GATHER_S)

    async def _read_one(self, vm: str, name: str) -> None:
        try:
            found = await self._hypervisor.definition(vm)
        except CallFailed as failure:
            if not failure.is_final or self._is_moving(vm):
                self._stale.add(vm)  # What was known stands.
                return
            needs = VmNeeds(memory_mib=0, vcpus=0, obstacle=NONE)
            found = VmDefinition(vm=vm, name=name, xml="", needs=needs)
        if len(found.xml.encode()) > LARGEST_XML:  # Its needs say so.
            found = structs.replace(found, xml="")
        if self._known.get(vm) != found:
            self._known[vm] = found
            self.changed()

    def _tell_changes(self) -> None:
        """Of those that are protected now: the newest welcome may have ended that of others. Of
        one that moves its next holder tells, or this host once it stays."""
        protected = self._protected()
        mine = {
            vm: one
            for vm, one in self._known.items()
            if vm in protected and not self._is_moving(vm)
        }
        news = [one for vm, one in mine.items() if self._told.get(vm) != one]
        for part in _in_parts(news):
            self.tell(wire.Definitions(definitions=tuple(part)))
        self._told = mine


def _in_parts(definitions: list[VmDefinition]) -> Iterator[list[VmDefinition]]:
    """So that no frame is larger than a controller takes."""
    part: list[VmDefinition] = []
    size = 0
    for one in definitions:
        if part and size + len(one.xml) > FRAME_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one.xml)
    if part:
        yield part
