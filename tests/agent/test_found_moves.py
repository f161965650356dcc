"""A move that virsh or Nova began is told as it begins, and never taken for anything else.

covers: H2 H9
"""

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.adapters.simulated.migrator import PORT
from holdfast.agent.found_moves import FoundMoves
from holdfast.facts.instants import Instant
from holdfast.facts.observations import (
    LibvirtAnswered,
    LibvirtGone,
    QmpEventSeen,
)
from holdfast.facts.tenure import TenureState
from holdfast.facts.verdicts import StopWanted, VmProcessEnded
from holdfast.policy import moving
from holdfast.ports.migrator import Place
from tests.agent.scene import HOST, wait_for
from tests.agent.starting_scene import VM
from tests.agent.test_migrating import OTHER, Moving, play

HELD, MIGRATING = TenureState.HELD, TenureState.MIGRATING


class Found:
    """Somebody uses the same libvirt, beside our agent."""

    def __init__(self, scene: Moving) -> None:
        self.moving, self.record = scene, scene.scene.record
        self.running: asyncio.Future[None] | None = None

    def begin_again(self) -> None:
        """A new agent, which remembers what policy does."""
        if self.running is not None:
            self.running.cancel()
        self.moves = FoundMoves(self.moving.scene.loop, self.moving.here, 0.01, 0.1)
        self.running = asyncio.ensure_future(self.moves.run())

    def qemu(self, status: str) -> None:
        data = f'{{"status": "{status}"}}'
        self.moves.see(QmpEventSeen(at=Instant(1), vm=VM, event="MIGRATION", data=data))

    async def virsh(self) -> None:
        """It sends all that it has, and stands still before it is over."""
        await self.moving.there.receive(VM, HOST, "10.0.0.2")
        self.moving.here.is_open.clear()
        place = Place(host=OTHER, address="10.0.0.2", port=PORT)
        self.sending = asyncio.ensure_future(self.moving.here.send(VM, place, 30))
        await asyncio.sleep(0)

    def fail(self) -> None:
        """Its QEMU is gone, and libvirt calls that no move."""
        assert self.record.life is not None
        self.moving.scene.loop.consume(VmProcessEnded(life=self.record.life, at=Instant(2)))

    def leave(self) -> None:
        life = self.record.life
        assert life is not None
        self.moving.scene.loop.consume(
            StopWanted(life=life, at=Instant(2), how="m", reason="migrated", moved_away=True)
        )

    async def begins(self) -> None:
        """Somebody moves it with virsh, and that is told."""
        await self.virsh()
        self.qemu("setup")
        await wait_for(lambda: self.moving.state is MIGRATING, "it is told")

    async def stays(self, state: TenureState) -> None:
        for _ in range(30):
            assert self.moving.state is state
            await asyncio.sleep(0.01)


def tell(story: Callable[[Found], Awaitable[None]]) -> None:
    async def whole(scene: Moving) -> None:
        await scene.run_here()
        found = Found(scene)
        found.begin_again()
        try:
            await story(found)
        finally:
            if found.running is not None:
                found.running.cancel()

    play(whole)


def test_it_is_told_as_it_begins_and_held_again_when_it_fails() -> None:
    async def story(found: Found) -> None:
        await found.begins()
        await found.stays(MIGRATING)
        await found.moving.here.cancel(VM)
        await wait_for(lambda: found.moving.state is HELD, "it is held again")
        assert found.record.moves == ""

    tell(story)


def test_what_is_saved_or_dumped_does_not_move() -> None:
    async def story(found: Found) -> None:
        found.qemu("setup")
        found.qemu("active")
        await found.stays(HELD)

    tell(story)


def test_an_agent_that_comes_back_finds_what_moves_already() -> None:
    async def story(found: Found) -> None:
        await found.virsh()
        found.moves.see(LibvirtAnswered(at=Instant(1), after_gap=True))
        await wait_for(lambda: found.moving.state is MIGRATING, "it is told")

    tell(story)


def test_what_was_found_under_way_may_have_left_when_it_fails() -> None:
    async def story(found: Found) -> None:
        await found.virsh()
        found.moves.see(LibvirtAnswered(at=Instant(1), after_gap=True))
        await wait_for(lambda: found.moving.state is MIGRATING, "it is told")
        found.fail()
        await found.stays(MIGRATING)

    tell(story)


def test_an_agent_after_this_one_does_not_know_what_was_sent() -> None:
    async def story(found: Found) -> None:
        await found.begins()
        found.begin_again()
        found.fail()
        await found.stays(MIGRATING)

    tell(story)


def test_an_earlier_move_says_nothing_of_this_one() -> None:
    async def story(found: Found) -> None:
        found.qemu("completed")
        await found.begins()
        found.fail()
        await wait_for(lambda: found.moving.state is HELD, "its other end has not all of it")

    tell(story)


def test_what_left_is_not_taken_back() -> None:
    async def story(found: Found) -> None:
        await found.begins()
        found.qemu("active")
        found.qemu("completed")
        found.moving.here.is_open.set()
        await found.sending
        found.leave()
        await found.stays(MIGRATING)

    tell(story)


def test_what_failed_before_all_of_it_was_sent_is_held_here_again() -> None:
    async def story(found: Found) -> None:
        await found.begins()
        found.qemu("active")
        found.fail()
        await wait_for(lambda: found.moving.state is HELD, "its other end has not all of it")

    tell(story)


def test_what_failed_when_all_of_it_was_sent_may_run_at_the_other_end() -> None:
    async def story(found: Found) -> None:
        await found.begins()
        found.qemu("active")
        found.fail()
        found.qemu("completed")
        await found.stays(MIGRATING)

    tell(story)


def test_what_failed_while_libvirt_was_not_heard_may_run_at_the_other_end() -> None:
    async def story(found: Found) -> None:
        await found.begins()
        found.qemu("active")
        found.moves.see(LibvirtGone(at=Instant(3), reason="stopped"))
        found.fail()
        await found.stays(MIGRATING)

    tell(story)


def test_what_the_leader_moves_is_left_to_the_leader() -> None:
    async def story(found: Found) -> None:
        await found.moving.there.receive(VM, HOST, "10.0.0.2")
        found.moving.here.is_open.clear()
        await found.moving.out()
        found.qemu("setup")
        await found.stays(MIGRATING)
        assert found.record.moves == moving.OUT

    tell(story)
