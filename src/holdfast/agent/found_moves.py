"""Moves that somebody else began (virsh, Nova): told as they begin, and when they came to nothing.

QEMU says that it sends its memory, also while a VM is saved or dumped; libvirt's job says which of
these it is. Of one that has left, libvirt's own word is told by the sensors, as before.
"""

import asyncio
import logging

from holdfast.agent.loop import Loop, now
from holdfast.facts.commands import MoveSeen
from holdfast.facts.migrations import End
from holdfast.facts.observations import (
    LibvirtAnswered,
    LibvirtGone,
    LibvirtSilent,
    Observation,
    QmpEventSeen,
)
from holdfast.policy import moving
from holdfast.policy.world import VmRecord
from holdfast.ports.hypervisor import CallFailed
from holdfast.ports.migrator import Migrator

log = logging.getLogger(__name__)

LOOK_S = 1.0
WORD_S = 3.0  # QEMU's last words may come after its end was seen.


class FoundMoves:
    """`see` every observation; `run` as long as the agent."""

    def __init__(
        self, loop: Loop, migrator: Migrator, look_s: float = LOOK_S, word_s: float = WORD_S
    ) -> None:
        self._loop, self._migrator = loop, migrator
        self._look_s, self._word_s = look_s, word_s
        self._asked: set[str] = set()
        # All of it was sent, or QEMU's word was not heard: by an agent before this one, perhaps.
        self._may_have_left = {record.vm for record in self._found()}
        self._gone_at: dict[str, float] = {}
        self._woken = asyncio.Event()

    def see(self, seen: Observation) -> None:
        match seen:
            case QmpEventSeen(event="MIGRATION"):
                self._heard(seen.vm, seen.details().get("status"))
            case LibvirtGone() | LibvirtSilent():
                self._may_have_left |= {record.vm for record in self._found()}
            case LibvirtAnswered():
                for record in self._loop.decider.world.vms.values():
                    if record.protection is not None and record.runs:
                        self._may_have_left.add(record.vm)  # What it said before is not known.
                        self._ask(record.vm)
            case _:
                pass

    def _heard(self, vm: str, status: object) -> None:
        if status == "setup":  # A new one.
            self._may_have_left.discard(vm)
        elif status == "completed":
            self._may_have_left.add(vm)
        self._ask(vm)

    def _ask(self, vm: str) -> None:
        self._asked.add(vm)
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            asked, self._asked = self._asked, set()
            for vm in asked | {record.vm for record in self._found()}:
                await self.look(vm)
            try:
                async with asyncio.timeout(self._look_s if self._found() else None):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def look(self, vm: str) -> None:
        """Once. What libvirt does not answer is looked at again while it is thought to move."""
        record = self._loop.decider.world.vms.get(vm)
        if record is None or record.protection is None or record.moves not in ("", moving.FOUND):
            return
        if record.runs:
            self._gone_at.pop(vm, None)
            await self._look_at_job(record)
        elif record.moves and not record.is_elsewhere:
            self._look_at_end(record)

    async def _look_at_job(self, record: VmRecord) -> None:
        try:
            looked = await self._migrator.look(record.vm)
        except CallFailed as failure:
            log.debug("whether %s moves is not known: %s", record.name, failure)
            return
        if looked.end is End.MOVING and not record.moves:
            self._say(record, is_under_way=True)
        elif looked.end is End.RUNS and record.moves == moving.FOUND:
            self._say(record, is_under_way=False)

    def _look_at_end(self, record: VmRecord) -> None:
        """It failed here. What was not sent whole runs nowhere else; else both ends must say."""
        at = asyncio.get_running_loop().time()
        gone_at = self._gone_at.setdefault(record.vm, at)
        if record.vm not in self._may_have_left and at - gone_at >= self._word_s:
            self._say(record, is_under_way=False)

    def _say(self, record: VmRecord, *, is_under_way: bool) -> None:
        self._gone_at.pop(record.vm, None)
        self._loop.consume(MoveSeen(at=now(), vm=record.vm, is_under_way=is_under_way))

    def _found(self) -> list[VmRecord]:
        world = self._loop.decider.world
        return [one for one in world.vms.values() if one.moves == moving.FOUND]
