"""What the leader asks of an agent whose VM moves, or to which one moves while it runs.

Before libvirt is told, it is on this host's disk that the VM migrates: from then on this end only
reports, also after a restart of the agent, until the leader says how it ended.
"""

import asyncio
import logging
from typing import Any

import msgspec

from holdfast.agent.loop import Loop, now
from holdfast.agent.questions import PLAIN, Questions, read_protection
from holdfast.facts import wire
from holdfast.facts.commands import (
    CopyOutranked,
    MigrationBegan,
    MigrationEnded,
    ProtectionGranted,
)
from holdfast.facts.definitions import VmDefinition
from holdfast.facts.migrations import End
from holdfast.facts.promises import Protection
from holdfast.policy import moving
from holdfast.ports.answers import REFUSED, Unanswerable
from holdfast.ports.hypervisor import CallFailed, Hypervisor
from holdfast.ports.journal import Journal
from holdfast.ports.migrator import Migrator, Place

log = logging.getLogger(__name__)

BY = "the controller"
DOOR_OPEN_S = 180.0  # Beyond its limit: then nobody comes any more.


class Migrating:
    def __init__(
        self, loop: Loop, hypervisor: Hypervisor, migrator: Migrator, journal: Journal
    ) -> None:
        self._loop, self._hypervisor = loop, hypervisor
        self._migrator, self._journal = migrator, journal
        self._moves: dict[str, asyncio.Task[None]] = {}
        self._doors: dict[str, asyncio.Task[None]] = {}
        self._unwanted: set[str] = set()
        self._failed: dict[str, str] = {}  # Why the newest move of a VM failed.

    def add_to(self, questions: Questions) -> None:
        questions.add("migrate-in", self._migrate_in)
        questions.add("migrate-out", self._migrate_out)
        questions.add("migrate-cancel", self._cancel)
        questions.add("migration-look", self._look)
        questions.add("migration-end", self._end)

    async def close(self) -> None:
        for task in (*self._moves.values(), *self._doors.values()):
            task.cancel()
        await self._migrator.close()

    # The target.

    async def _migrate_in(self, asked: wire.Question) -> Any:
        args = asked.args
        order = _read_order(args, is_source=False)
        definition = msgspec.convert(args["definition"], VmDefinition)
        lost = self._lost
        refusal = self._migrator.why_not() or moving.refusal(self._loop.decider.world, order)
        try:
            refusal = refusal or await self._hypervisor.judge(definition)
            if refusal:
                return {"refusal": refusal}
            self._loop.consume(order)
            await self._keep(lost)
            source, address = str(args["source"]), str(args["address"])
            port = await self._migrator.receive(order.vm, source, address)
        except CallFailed as error:
            return {"refusal": f"libvirt on the target: {error}"}
        self._wait_close(order, float(args["limit_s"]) + DOOR_OPEN_S)
        return {"port": port}

    def _wait_close(self, order: MigrationBegan, wait_s: float) -> None:
        """Should the leader never come back to it."""
        before = self._doors.pop(order.vm, None)
        if before is not None:
            before.cancel()

        async def close() -> None:
            await asyncio.sleep(wait_s)
            try:
                await self._migrator.leave(order.vm)
            except CallFailed as error:
                log.warning("a migration's door could not be closed: %s", error)

        self._doors[order.vm] = asyncio.get_running_loop().create_task(close())

    # The source.

    async def _migrate_out(self, asked: wire.Question) -> Any:
        args = asked.args
        order = _read_order(args, is_source=True)
        if order.vm in self._moves:
            return {"refusal": ""}  # A repeat: it is under way.
        lost = self._lost
        refusal = self._migrator.why_not() or moving.refusal(self._loop.decider.world, order)
        if refusal:
            return {"refusal": refusal}
        place = msgspec.convert(args["place"], Place)
        self._failed.pop(order.vm, None)
        work = self._move(order, place, float(args["limit_s"]), lost)
        self._loop.consume(order)
        self._moves[order.vm] = asyncio.get_running_loop().create_task(work)
        return {"refusal": ""}

    async def _move(self, order: MigrationBegan, place: Place, limit_s: float, lost: int) -> None:
        try:
            await self._keep(lost)
            if order.vm in self._unwanted:
                raise CallFailed("it was called off")
            await self._migrator.send(order.vm, place, limit_s)
        except (CallFailed, Unanswerable) as error:
            log.warning("%s did not move: %s", order.name, error)
            self._failed[order.vm] = str(error)
        finally:
            del self._moves[order.vm]
            self._unwanted.discard(order.vm)

    async def _cancel(self, asked: wire.Question) -> Any:
        vm = str(asked.args["vm"])
        if vm in self._moves:
            self._unwanted.add(vm)  # It may not have begun yet.
        try:
            await self._migrator.cancel(vm)
        except CallFailed as error:
            raise Unanswerable(f"libvirt: {error}", "try again", REFUSED) from None
        return {}

    # Either.

    async def _look(self, asked: wire.Question) -> Any:
        """`is_over`: the other end is done with it, and so is this one from now on."""
        vm = str(asked.args["vm"])
        try:
            if asked.args.get("is_over"):
                await self._migrator.leave(vm)
            looked = await self._migrator.look(vm)
        except CallFailed as error:
            raise Unanswerable(f"libvirt: {error}", "", REFUSED) from None
        is_moving = vm in self._moves
        # The libvirt that moved it away ended in the middle: it is here, and the target is asked.
        is_left = looked.is_left and not is_moving and self._is_source(vm)
        return {
            "end": End.MOVING if is_moving else End.RUNS if is_left else looked.end,
            "progress": PLAIN(looked.progress),
            "pause_ms": looked.pause_ms,
            "reason": self._failed.get(vm, ""),
        }

    async def _end(self, asked: wire.Question) -> Any:
        args, lost = asked.args, self._lost
        vm, generation = str(args["vm"]), int(args["generation"])
        protection = read_protection(args)
        is_target = vm not in self._moves and not self._is_source(vm)
        try:
            if is_target:
                await self._migrator.leave(vm)
            await self._prepare(protection, args)
        except CallFailed as error:
            log.warning("after the migration of %s: %s", protection.name, error)
        door = self._doors.pop(vm, None)
        if door is not None:
            door.cancel()
        self._settle(protection, generation, args)
        await self._keep(lost)
        return {}

    def _is_source(self, vm: str) -> bool:
        record = self._loop.decider.world.vms.get(vm)
        return record is not None and record.moves in (moving.OUT, moving.FOUND)

    async def _prepare(self, protection: Protection, args: dict[str, Any]) -> None:
        """What this host must do to hold it: take its settings over, or know it again."""
        if protection.tenure.host != self._loop.decider.world.host:
            return
        if args.get("is_lost") and args.get("definition"):
            await self._hypervisor.define(msgspec.convert(args["definition"], VmDefinition))
        await self._hypervisor.take_over(protection.vm)

    def _settle(self, protection: Protection, generation: int, args: dict[str, Any]) -> None:
        tenure, at = protection.tenure, now()
        is_here = tenure.host == self._loop.decider.world.host
        if is_here and tenure.generation > generation:
            self._loop.consume(ProtectionGranted(at=at, protection=protection, by=BY))
        elif not is_here and tenure.generation > generation:
            holder = str(args.get("holder") or tenure.host)
            outranked = CopyOutranked(
                at=at, vm=protection.vm, generation=tenure.generation, holder=holder
            )
            self._loop.consume(outranked)
        self._loop.consume(
            MigrationEnded(
                at=at,
                vm=protection.vm,
                generation=tenure.generation,
                revision=tenure.revision,
                is_held=is_here,
                is_lost=bool(args.get("is_lost")),
                reason=str(args.get("reason") or ""),
            )
        )

    @property
    def _lost(self) -> int:
        return self._journal.losses().count

    async def _keep(self, lost: int) -> None:
        """Raises Unanswerable where the disk does not have it: then nobody may rely on it."""
        await asyncio.to_thread(self._journal.sync)
        if self._lost != lost:
            text = f"the agent's journal cannot be written: {self._journal.losses().reason}"
            raise Unanswerable(text, "make room on the disk of the agent's state", REFUSED)


def _read_order(args: dict[str, Any], *, is_source: bool) -> MigrationBegan:
    return MigrationBegan(
        at=now(),
        vm=str(args["vm"]),
        name=str(args["name"]),
        generation=int(args["generation"]),
        revision=int(args["revision"]),
        is_source=is_source,
    )
