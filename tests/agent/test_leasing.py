"""The agent acknowledges a lease once it is on its disk, and ends what relies on it: nothing else.

covers: H9
"""

import asyncio
from typing import Any

import msgspec

from holdfast.adapters.simulated.watchdog import LeaseBoardInMemory
from holdfast.agent.leasing import Leasing
from holdfast.agent.loop import now
from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.lease_times import WATCHDOG_MS
from holdfast.facts.lease_words import Armed
from holdfast.facts.leases import LeaseOrder, LeaseWord
from holdfast.facts.verdicts import VmRan
from holdfast.policy import relying
from tests.agent.scene import BOOT, domain_of, protection_of
from tests.agent.starting_scene import Scene

WEB, DB = "vm-1", "vm-2"


class Board(LeaseBoardInMemory):
    """A pulse looks at it: it opens the watchdog at once, unless there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.watchdog_ms = WATCHDOG_MS

    def arm(self, word: Armed) -> None:
        super().arm(word)
        watchdog_ms = self.watchdog_ms if word.is_armed else 0
        self.hold(self.held()._replace(seen_epoch=word.epoch, watchdog_ms=watchdog_ms))

    def run_out(self) -> None:
        """It ended a moment ago."""
        super().arm(self.armed()._replace(until=now() - NS_PER_MS))
        self.hold(self.held()._replace(until=0))

    def grant(self, epoch: int) -> None:
        self.hold(self.held()._replace(until=now() + 10**12, granted_epoch=epoch))


class Leased(Scene):
    """Two VMs run, and are held here."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()
        self.leasing = Leasing(self.loop, self.hypervisor, self.board, self.disk)
        self.leasing.add_to(self.questions)

    async def run(self) -> None:
        for vm in (WEB, DB):
            self.hypervisor.add(domain_of(vm))
            self.loop.consume(
                told.ProtectionGranted(at=now(), protection=protection_of(vm), by="a")
            )
            life = await self.hypervisor.start(vm)
            self.loop.consume(VmRan(life=life, name=vm, at=now()))

    @property
    def world(self) -> Any:
        return self.decider.world

    async def lease(self, epoch: int, *vms: str, held: tuple[str, ...] = (WEB, DB)) -> LeaseWord:
        order = LeaseOrder(boot=BOOT, epoch=epoch, vms=vms, held=held)
        args = {"order": msgspec.to_builtins(order)}
        reply = await self.questions.answer(
            wire.Question(id=1, name="lease", args=args, by="the controller", term=1)
        )
        assert not reply.error, reply.error
        return msgspec.convert(reply.data, LeaseWord)

    def lives(self, vm: str) -> bool:
        return self.hypervisor.life(vm) is not None


def test_it_is_on_the_disk_and_the_watchdog_open_before_it_is_acknowledged() -> None:
    async def story() -> None:
        scene = Leased()
        await scene.run()
        word = await scene.lease(1, WEB)
        assert word == LeaseWord(epoch=1, is_taken=True, watchdog_ms=WATCHDOG_MS)
        assert scene.disk.has("LeaseOrdered")
        assert scene.board.armed().is_armed

    asyncio.run(story())


def test_an_older_epoch_another_boot_and_a_full_disk_are_refused() -> None:
    async def story() -> None:
        scene = Leased()
        await scene.run()
        assert (await scene.lease(3, WEB)).is_taken
        late = await scene.lease(2, DB)
        assert (late.is_taken, late.epoch) == (False, 3)
        assert scene.world.reliance.vms == (WEB,)
        scene.disk.may_sync = False
        refused = await scene.lease(4, WEB, DB)
        assert not refused.is_taken
        assert "journal cannot be written" in refused.reason

    asyncio.run(story())


def test_a_host_without_a_watchdog_arms_nothing_and_ends_nothing() -> None:
    async def story() -> None:
        scene = Leased()
        await scene.run()
        scene.board.watchdog_ms = 0
        word = await scene.lease(1, WEB)
        assert not word.is_taken
        assert "has not opened the watchdog" in word.reason
        assert not scene.board.armed().is_armed
        scene.board.run_out()
        await scene.leasing.look()
        assert scene.lives(WEB)

    asyncio.run(story())


def test_arming_anew_makes_no_lease_longer() -> None:
    async def story() -> None:
        scene = Leased()
        await scene.run()
        await scene.lease(1, WEB)
        until = scene.board.armed().until
        await scene.lease(2, WEB, DB)
        assert scene.board.armed() == Armed(2, True, until)

    asyncio.run(story())


def test_one_that_ran_out_begins_anew_once_all_is_gone_and_not_before() -> None:
    """An order that was given before, and comes late, must not let live what is to end."""

    async def story() -> None:
        scene = Leased()
        await scene.run()
        await scene.lease(1, WEB)
        scene.board.run_out()
        early = await scene.lease(2, WEB, DB)
        assert (early.is_taken, early.reason) == (
            False,
            "its lease ran out, and what relied on it is being ended",
        )
        await scene.leasing.look()
        assert (await scene.lease(2, WEB, DB)).is_taken
        await scene.leasing.look()
        assert scene.lives(DB)  # It relies on the one that begins now.
        assert relying.waits(scene.world, scene.world.vms[WEB])  # Until that is granted.
        scene.board.run_out()
        await scene.leasing.look()
        assert not scene.lives(DB)
        assert relying.waits(scene.world, scene.world.vms[DB])

    asyncio.run(story())


def test_when_it_runs_out_only_what_relies_on_it_is_ended_and_shown_gone() -> None:
    async def story() -> None:
        scene = Leased()
        await scene.run()
        await scene.lease(1, WEB)
        await scene.leasing.look()
        assert scene.lives(WEB)  # It holds.
        scene.board.run_out()
        await scene.leasing.look()
        assert (scene.lives(WEB), scene.lives(DB)) == (False, True)
        assert ("end by force", WEB) in scene.hypervisor.calls
        assert scene.board.gone_for() == scene.board.armed().until
        assert relying.waits(scene.world, scene.world.vms[WEB])

    asyncio.run(story())


def test_what_is_not_shown_gone_leaves_the_host_to_its_watchdog() -> None:
    async def story() -> None:
        scene = Leased()
        await scene.run()
        await scene.lease(1, WEB)
        scene.hypervisor.leftovers[WEB] = "its cgroup is not empty"
        scene.board.run_out()
        await scene.leasing.look()
        assert scene.board.gone_for() == 0
        scene.hypervisor.leftovers.clear()
        scene.world.vms[WEB].start_in_flight = "i-1"  # libvirt may start it at any moment.
        await scene.leasing.look()
        assert scene.board.gone_for() == 0
        scene.world.vms[WEB].start_in_flight = ""
        await scene.leasing.look()
        assert scene.board.gone_for() == scene.board.armed().until

    asyncio.run(story())


def test_an_agent_that_forgot_what_relies_shows_nothing_gone() -> None:
    async def story() -> None:
        scene = Leased()
        scene.board.arm(Armed(1, True, 1))
        await scene.leasing.look()
        assert scene.board.gone_for() == 0

    asyncio.run(story())


def test_it_may_start_again_only_by_a_grant_of_the_epoch_that_it_obeys() -> None:
    async def story() -> None:
        scene = Leased()
        await scene.run()
        await scene.lease(5, WEB)
        scene.board.run_out()
        await scene.leasing.look()
        scene.loop.consume(told.LeaseHolds(at=now(), epoch=4))
        assert relying.waits(scene.world, scene.world.vms[WEB])
        for epoch, is_free in ((4, False), (5, True)):
            scene.board.grant(epoch)
            await scene.leasing.look()
            assert relying.waits(scene.world, scene.world.vms[WEB]) is not is_free

    asyncio.run(story())


def test_what_another_host_was_given_meanwhile_waits_on() -> None:
    """The host is armed anew without it, and its leader does not say that it is held here."""

    async def story() -> None:
        scene = Leased()
        await scene.run()
        await scene.lease(1, WEB, DB)
        scene.board.run_out()
        await scene.leasing.look()
        await scene.lease(2, DB, held=(DB,))
        scene.board.grant(2)
        await scene.leasing.look()
        assert relying.waits(scene.world, scene.world.vms[WEB])
        assert not relying.waits(scene.world, scene.world.vms[DB])
        await scene.lease(3, held=(WEB, DB))  # It is held here, and relies on nothing now.
        assert not relying.waits(scene.world, scene.world.vms[WEB])

    asyncio.run(story())
