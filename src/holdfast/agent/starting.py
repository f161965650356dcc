"""What only the leader asks of an agent: start a VM whose host is dead, or hold it no more.

Whatever is answered is on this host's disk first: a late duplicate of an order that was refused, or
taken back, is never taken, and what is taken is known before it starts.
"""

import asyncio
from collections import defaultdict
from typing import Any

import msgspec

from holdfast.adapters.drivers.vm_needs import NotXml, parse
from holdfast.agent.loop import Loop, now
from holdfast.agent.questions import Questions, read_protection
from holdfast.facts import wire
from holdfast.facts.commands import CopyOutranked, StartOrdered, StartRefused
from holdfast.facts.definitions import RebuiltDisk, VmDefinition
from holdfast.facts.instants import after
from holdfast.facts.subjects import Incarnation
from holdfast.policy import ordered
from holdfast.policy.world import VmRecord
from holdfast.ports.answers import REFUSED, Unanswerable
from holdfast.ports.hypervisor import CallFailed, Hypervisor
from holdfast.ports.journal import Journal

TAKE_BACK_LIMIT_S = 15.0  # The leader asks again.
LOOK_S = 0.05


class Starting:
    def __init__(
        self,
        loop: Loop,
        hypervisor: Hypervisor,
        journal: Journal,
        take_back_limit_s: float = TAKE_BACK_LIMIT_S,
    ) -> None:
        self._take_back_limit_s = take_back_limit_s
        self._loop, self._hypervisor, self._journal = loop, hypervisor, journal
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._kept: dict[str, asyncio.Future[bool]] = {}  # Orders on their way to the disk.

    def turn(self, vm: str) -> asyncio.Lock:
        """What is asked about one VM is done one after the other."""
        return self._locks[vm]

    def add_to(self, questions: Questions) -> None:
        questions.add("start-here", self._start_here)
        questions.add("take-back", self._take_back)

    async def is_kept(self, vm: str) -> bool:
        """Once it is known whether the order to start this VM is on the disk: it must be, before
        it starts."""
        kept = self._kept.get(vm)
        if kept is None or await asyncio.shield(kept):
            return True
        try:
            await self._keep(self._lost)
        except Unanswerable:
            return False
        return True

    async def _start_here(self, asked: wire.Question) -> Any:
        args = asked.args
        order = StartOrdered(
            at=now(),
            protection=read_protection(args),
            was=str(args["was"]),
            fault_at=after(now(), -int(args["fault_age_ms"])),
            incident=str(args["incident"]),
            rebuilds=msgspec.convert(args.get("rebuilds", ()), tuple[RebuiltDisk, ...]),
            tries=int(args.get("tries") or 0),  # An older leader does not say it.
        )
        definition = msgspec.convert(args["definition"], VmDefinition)
        async with self._locks[order.protection.vm]:
            return await self._start(order, definition)

    async def _start(self, order: StartOrdered, definition: VmDefinition) -> Any:
        world, wanted, lost = self._loop.decider.world, order.protection, self._lost
        if not ordered.is_taken(world, wanted):
            reason = ordered.refusal(world, wanted)
            reason = reason or await self._prepare(wanted.vm, definition, order.rebuilds)
            reason = reason or ordered.refusal(world, wanted)  # It took a while.
            if reason:
                return await self._refuse(order, reason, lost)
            self._kept[wanted.vm] = asyncio.get_running_loop().create_future()
            self._loop.consume(order)
        await self._keep_order(wanted.vm, lost)
        return {"is_taken": True, "reason": ""}

    async def _refuse(self, order: StartOrdered, reason: str, lost: int) -> Any:
        wanted = order.protection
        self._loop.consume(
            StartRefused(
                at=now(),
                vm=wanted.vm,
                name=wanted.name,
                generation=wanted.tenure.generation,
                reason=reason,
            )
        )
        await self._keep(lost)
        return {"is_taken": False, "reason": reason}

    async def _prepare(
        self, vm: str, definition: VmDefinition, rebuilds: tuple[RebuiltDisk, ...]
    ) -> str:
        """Have it defined here. Why that cannot be, or empty. Its disks are made anew only once
        the order is on the disk."""
        try:
            if parse(definition.xml).findtext("uuid", "").strip() != vm:
                return "its definition is that of another VM"
            reason = await self._hypervisor.judge(definition, rebuilds=rebuilds)
            if reason:
                return reason
            await self._hypervisor.define(definition)
            await self._hypervisor.take_over(vm)
        except NotXml as error:
            return str(error)
        except CallFailed as error:
            return f"libvirt on this host: {error}"
        return ""

    async def _keep_order(self, vm: str, lost: int) -> None:
        """Raises Unanswerable; then it does not start, either."""
        kept = self._kept.get(vm)
        is_on_disk = False
        try:
            await self._keep(lost)
            is_on_disk = True
        finally:
            if kept is not None and not kept.done():
                kept.set_result(is_on_disk)
            if is_on_disk:
                self._kept.pop(vm, None)

    async def _take_back(self, asked: wire.Question) -> Any:
        vm, generation = str(asked.args["vm"]), int(asked.args["generation"])
        async with self._locks[vm]:
            lost = self._lost
            record = self._loop.decider.world.vms.get(vm)
            held = record.protection.tenure.generation if record and record.protection else 0
            if held > generation:
                return _not_gone(f"this host holds generation {held} of it by now")
            self._loop.consume(CopyOutranked(at=now(), vm=vm, generation=generation, holder=""))
            reason = await self._wait_gone(self._loop.decider.world.vms[vm])
            if reason:
                return _not_gone(reason)
            await self._keep(lost)
            return {"is_gone": True, "reason": ""}

    async def _wait_gone(self, record: VmRecord) -> str:
        """Until policy has ended it and shown it to be gone; then look once more. Why it is not,
        or empty."""
        try:
            async with asyncio.timeout(self._take_back_limit_s):
                while record.is_copy:  # noqa: ASYNC110  Policy moves on by many ways.
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            known = self._loop.decider.world.incidents.get(record.incident)
            return f"{record.name} is not shown to be gone yet: it {known.step if known else ''}"
        if record.runs:
            return f"{record.name} runs here, and not by a tenure of this host"
        if record.start_in_flight:
            return f"a start of {record.name} here has no outcome yet"
        life = record.life or Incarnation(vm=record.vm, boot="", pid=0, started_ticks=0)
        try:
            await self._hypervisor.prove_gone(life, record.name)
        except CallFailed as error:
            return str(error)
        return ""

    @property
    def _lost(self) -> int:
        return self._journal.losses().count

    async def _keep(self, lost: int) -> None:
        """Bring to the disk what was consumed since so many lines were lost. Raises Unanswerable:
        then nobody may rely on it."""
        await asyncio.to_thread(self._journal.sync)
        if self._lost != lost:
            text = f"the agent's journal cannot be written: {self._journal.losses().reason}"
            raise Unanswerable(text, "make room on the disk of the agent's state", REFUSED)


def _not_gone(reason: str) -> dict[str, Any]:
    return {"is_gone": False, "reason": reason}
