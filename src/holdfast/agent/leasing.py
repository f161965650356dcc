"""The agent's part in the lease of its host: it acknowledges what relies on it, and ends that.

When the lease has run out nobody is told first: no start here is allowed any more, the processes
are killed, and only when nothing of them is left the pulse hears that it may go on petting.
"""

import asyncio
import logging
from typing import Any

import msgspec

from holdfast.agent.loop import Loop, now
from holdfast.agent.questions import PLAIN, Questions
from holdfast.facts import wire
from holdfast.facts.commands import LeaseHolds, LeaseOrdered, LeaseRanOut
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.lease_times import END_MS, LEASE_MS
from holdfast.facts.lease_words import Armed, LeaseBoard, lease_end
from holdfast.facts.leases import LeaseOrder, LeaseWord
from holdfast.facts.subjects import Incarnation
from holdfast.policy.timing import LAYER_PERIOD_MS
from holdfast.ports.hypervisor import CallFailed, Hypervisor
from holdfast.ports.journal import Journal

log = logging.getLogger(__name__)

OPEN_LIMIT_S = 2.0  # The pulse looks with each beat.
LOOK_S = 0.05


class Leasing:
    def __init__(
        self, loop: Loop, hypervisor: Hypervisor, board: LeaseBoard, journal: Journal
    ) -> None:
        self._loop, self._hypervisor = loop, hypervisor
        self._board, self._journal = board, journal
        self._ordering = asyncio.Lock()

    def add_to(self, questions: Questions) -> None:
        questions.add("lease", self._ordered)

    # What relies on it.

    async def _ordered(self, asked: wire.Question) -> Any:
        order = msgspec.convert(asked.args["order"], LeaseOrder)
        async with self._ordering:
            return PLAIN(await self._obey(order))

    async def _obey(self, order: LeaseOrder) -> LeaseWord:
        world = self._loop.decider.world
        epoch = max(world.reliance.epoch, self._board.armed().epoch)
        if order.boot != world.boot:
            return LeaseWord(epoch=epoch, is_taken=False, reason="it is for an earlier boot")
        if order.epoch <= epoch:
            reason = f"this host obeys order {epoch} about its lease already"
            return LeaseWord(epoch=epoch, is_taken=False, reason=reason, has_newer=True)
        if self._is_ending():
            reason = "its lease ran out, and what relied on it is being ended"
            return LeaseWord(epoch=epoch, is_taken=False, reason=reason)
        reason = await self._consume(order)
        if reason or not order.vms:
            is_armed = bool(order.vms) and self._board.armed().is_armed
            self._arm(order.epoch, is_armed=is_armed)
            return LeaseWord(epoch=order.epoch, is_taken=not reason, reason=reason)
        was_armed = self._board.armed().is_armed
        self._arm(order.epoch, is_armed=True)
        watchdog_ms = await self._wait_open(order.epoch)
        if watchdog_ms:
            return LeaseWord(epoch=order.epoch, is_taken=True, watchdog_ms=watchdog_ms)
        if not was_armed:  # Nothing counts on it, and so nothing shall be ended for it.
            await self._consume(msgspec.structs.replace(order, vms=()))
            self._arm(order.epoch, is_armed=False)
        reason = "its pulse has not opened the watchdog: see the log of holdfast-pulse there"
        return LeaseWord(epoch=order.epoch, is_taken=False, reason=reason)

    async def _consume(self, order: LeaseOrder) -> str:
        """It is on the disk before it is relied on. Why it is not, or empty."""
        lost = self._journal.losses().count
        fact = LeaseOrdered(at=now(), epoch=order.epoch, vms=order.vms, held=order.held)
        self._loop.consume(fact)
        await asyncio.to_thread(self._journal.sync)
        if self._journal.losses().count != lost:
            return f"the agent's journal cannot be written: {self._journal.losses().reason}"
        return ""

    def _is_ending(self) -> bool:
        """Whether it ran out, and it was not shown yet that all is gone."""
        armed, end = self._board.armed(), self._end_of_lease()
        return armed.is_armed and now() >= end and self._board.gone_for() != end

    def _end_of_lease(self) -> int:
        return lease_end(self._board.armed(), self._board.held())

    def _arm(self, epoch: int, *, is_armed: bool) -> None:
        """What is armed and holds runs on: only grants make it longer. One that ran out, and of
        which all is gone, begins anew for what relies on it from now on."""
        was, at = self._board.armed(), now()
        holds = was.is_armed and at < self._end_of_lease()
        until = was.until if holds else at + LEASE_MS * NS_PER_MS
        self._board.arm(Armed(epoch=epoch, is_armed=is_armed, until=until if is_armed else 0))

    async def _wait_open(self, epoch: int) -> int:
        """Until the pulse has seen this word: the time-out of the watchdog; 0: it is not open."""
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                while True:
                    held = self._board.held()
                    if held.seen_epoch == epoch:
                        return held.watchdog_ms
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return 0

    # When it has run out.

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LAYER_PERIOD_MS / 1_000)

    async def look(self) -> None:
        world, armed, held = self._loop.decider.world, self._board.armed(), self._board.held()
        if not armed.is_armed or not world.reliance.vms:
            return  # Without its memory an agent shows nothing: then the watchdog bites.
        end, at = lease_end(armed, held), now()
        if at < end:
            if held.granted_epoch == world.reliance.epoch and any(self._lapsed()):
                self._loop.consume(LeaseHolds(at=at, epoch=held.granted_epoch))
            return
        if not all(self._lapsed()):
            log.error("no controller has granted the lease in time: what relies on it is ended")
            self._loop.consume(LeaseRanOut(at=at))
        if self._board.gone_for() == end:
            return
        gone = await asyncio.gather(*(self._end(vm) for vm in world.reliance.vms))
        if all(gone) and self._end_of_lease() == end:
            self._board.say_gone(end)

    def _lapsed(self) -> list[bool]:
        """Of each that relies on it, whether it may not start here now."""
        world = self._loop.decider.world
        return [vm in world.lapsed for vm in world.reliance.vms]

    async def _end(self, vm: str) -> bool:
        """Whether nothing of it is left here, and nothing of it can begin."""
        record = self._loop.decider.world.vms.get(vm)
        life = record.life if record is not None else None
        name = record.name if record is not None else vm
        if record is not None and record.start_in_flight:
            return False  # It may begin at any moment; after it, none is let begin.
        try:
            if record is not None and life is not None and not record.is_gone:
                await self._hypervisor.end(life, END_MS, is_forced=True)
            life = life or Incarnation(vm=vm, boot="", pid=0, started_ticks=0)
            await self._hypervisor.prove_gone(life, name, is_copy=True)
        except CallFailed as failed:
            log.error("%s is not shown to be gone: %s", name, failed)
            return False
        return True
