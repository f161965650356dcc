"""The leader's orders about a VM that moves: on the disk first, taken once, and undone cleanly.

covers: H2 H9
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.adapters.simulated.migrator import PAUSE_MS, PORT, MigratorInMemory, Roads
from holdfast.agent.loop import now
from holdfast.agent.migrating import Migrating
from holdfast.agent.questions import PLAIN
from holdfast.agent.terms import COMMANDS
from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.facts.promises import Protection
from holdfast.facts.tenure import TenureState
from holdfast.facts.verdicts import VmRan
from holdfast.policy import promise
from holdfast.ports.migrator import Place
from tests.agent.scene import HOST, domain_of, wait_for
from tests.agent.starting_scene import DEFINITION, NAME, VM, Scene, ordered

OTHER = "host-2"


class Moving:
    """This host's agent, and the other end without one: its migrator alone."""

    def __init__(self, scene: Scene) -> None:
        roads = Roads()
        self.scene = scene
        self.here = MigratorInMemory(HOST, scene.hypervisor, roads)
        self.there = MigratorInMemory(OTHER, HypervisorInMemory("boot-2"), roads)
        self.migrating = Migrating(scene.loop, scene.hypervisor, self.here, scene.disk)
        self.migrating.add_to(scene.questions)

    async def ask(self, name: str, **args: Any) -> wire.Reply:
        order = {"vm": VM, "name": NAME, "generation": 1, "revision": 1, **args}
        return await self.scene.questions.answer(wire.Question(id=1, name=name, args=order))

    async def out(self, **args: Any) -> Any:
        place = PLAIN(Place(host=OTHER, address="10.0.0.2", port=PORT))
        return (await self.ask("migrate-out", place=place, limit_s=60, **args)).data

    async def come_in(self, **args: Any) -> Any:
        return (
            await self.ask(
                "migrate-in",
                source=OTHER,
                address="10.0.0.1",
                definition=PLAIN(DEFINITION),
                limit_s=60,
                **args,
            )
        ).data

    async def look(self, *, is_over: bool = False) -> Any:
        return (await self.ask("migration-look", is_over=is_over)).data

    async def end(self, protection: Protection, *, is_lost: bool = False) -> None:
        reply = await self.ask(
            "migration-end",
            protection=PLAIN(protection),
            holder="two",
            reason="both said so",
            is_lost=is_lost,
            definition=PLAIN(DEFINITION),
        )
        assert not reply.error, reply

    async def run_here(self) -> None:
        """Protected, and running."""
        domain = structs.replace(domain_of(VM), name=NAME)
        self.scene.hypervisor.add(domain)
        life = await self.scene.hypervisor.start(VM)
        self.scene.loop.consume(VmRan(life=life, name=NAME, at=now()))
        granted = told.ProtectionGranted(at=now(), protection=ordered(1), by="ann")
        self.scene.loop.consume(granted)

    @property
    def state(self) -> TenureState | None:
        held = self.scene.record.protection
        return held.tenure.state if held is not None else None


def play(story: Callable[[Moving], Awaitable[None]]) -> None:
    async def whole() -> None:
        scene = Scene()
        moving = Moving(scene)
        try:
            async with asyncio.timeout(30):
                await story(moving)
        finally:
            await moving.migrating.close()
            await scene.executor.close()
            scene.loop.close()

    asyncio.run(whole())


def test_that_it_migrates_is_on_the_disk_before_libvirt_is_told() -> None:
    async def story(moving: Moving) -> None:
        await moving.run_here()
        await moving.there.receive(VM, HOST, "10.0.0.2")
        moving.here.is_open.clear()
        assert await moving.out() == {"refusal": ""}
        await wait_for(lambda: moving.scene.disk.has("MigrationBegan"), "it is on the disk")
        assert moving.state is TenureState.MIGRATING
        assert (await moving.look())["end"] == "moving"
        world = moving.scene.decider.world
        assert promise.obstacle(world, moving.scene.record) == "its tenure is migrating"
        moving.here.is_open.set()
        await wait_for(lambda: moving.there.hypervisor.life(VM), "it runs there")

    play(story)


def test_a_full_disk_moves_nothing() -> None:
    async def story(moving: Moving) -> None:
        await moving.run_here()
        await moving.there.receive(VM, HOST, "10.0.0.2")
        moving.scene.disk.may_sync = False
        await moving.out()
        await wait_for(lambda: moving.scene.disk.losses().count, "the disk is full")
        async with asyncio.timeout(10):
            while (said := await moving.look())["end"] == "moving":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert said["end"] == "runs"
        assert "cannot be written" in said["reason"]

    play(story)


def test_a_repeat_of_an_order_moves_it_once() -> None:
    async def story(moving: Moving) -> None:
        await moving.run_here()
        await moving.there.receive(VM, HOST, "10.0.0.2")
        moving.here.is_open.clear()
        assert [await moving.out() for _ in range(3)] == 3 * [{"refusal": ""}]
        moving.here.is_open.set()
        await wait_for(lambda: moving.there.hypervisor.life(VM), "it runs there")
        assert (await moving.look())["reason"] == ""

    play(story)


def test_a_move_that_fails_says_why_and_is_held_again() -> None:
    async def story(moving: Moving) -> None:
        await moving.run_here()
        await moving.out()
        async with asyncio.timeout(10):
            while (said := await moving.look())["end"] == "moving":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (said["end"], said["reason"]) == ("runs", "nobody lets it in at 10.0.0.2")
        await moving.end(ordered(1, revision=2))
        assert moving.state is TenureState.HELD
        assert moving.scene.disk.has("MigrationEnded")
        refused = await moving.out()
        assert refused == {"refusal": "its tenure has changed meanwhile"}

    play(story)


def test_what_the_source_was_left_with_in_the_middle_is_there_and_the_target_is_asked() -> None:
    """Its libvirt ended as the guest went on elsewhere, and was started anew: nothing moves it."""

    async def story(moving: Moving) -> None:
        await moving.run_here()
        moving.here.left.add(VM)
        assert (await moving.look())["end"] == "moving", "it comes, for all that is known"
        await moving.out()
        async with asyncio.timeout(10):
            while (await moving.look())["end"] == "moving":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await moving.look())["end"] == "runs"

    play(story)


def test_a_move_is_called_off() -> None:
    async def story(moving: Moving) -> None:
        await moving.run_here()
        await moving.there.receive(VM, HOST, "10.0.0.2")
        moving.here.is_open.clear()
        await moving.out()
        assert (await moving.look())["end"] == "moving"
        assert not (await moving.ask("migrate-cancel")).error
        async with asyncio.timeout(10):
            while (said := await moving.look())["end"] == "moving":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (said["end"], said["reason"]) == ("runs", "it was called off")

    play(story)


def test_a_host_without_certificates_takes_no_part() -> None:
    async def story(moving: Moving) -> None:
        await moving.run_here()
        moving.here.refusal = "no certificate of the site is here"
        assert "no certificate" in (await moving.out())["refusal"]
        assert "no certificate" in (await moving.come_in(vm="vm-9"))["refusal"]
        assert moving.state is TenureState.HELD

    play(story)


def test_what_comes_is_held_when_the_leader_says_so() -> None:
    async def story(moving: Moving) -> None:
        assert await moving.come_in() == {"port": PORT}
        assert (await moving.look())["end"] == "moving"
        moving.there.hypervisor.add(structs.replace(domain_of(VM), name=NAME))
        await moving.there.hypervisor.start(VM)
        await moving.there.send(VM, Place(host=HOST, address="10.0.0.1", port=PORT), 60)
        life = moving.scene.hypervisor.life(VM)
        assert life is not None
        moving.scene.loop.consume(VmRan(life=life, name=NAME, at=now()))
        assert [one.vm for one in moving.scene.view.vms()] == [], "it is shown where it was"
        said = await moving.look(is_over=True)
        assert (said["end"], said["pause_ms"]) == ("runs", PAUSE_MS)
        await moving.end(ordered(2))
        assert moving.scene.summary().generation == 2
        assert (await moving.scene.hypervisor.domain(VM)).on_crash == "preserve"

    play(story)


def test_a_door_is_shut_before_this_end_says_that_it_has_nothing() -> None:
    async def story(moving: Moving) -> None:
        await moving.come_in()
        assert (await moving.look(is_over=True))["end"] == "nothing"
        moving.there.hypervisor.add(structs.replace(domain_of(VM), name=NAME))
        await moving.there.hypervisor.start(VM)
        place = Place(host=HOST, address="10.0.0.1", port=PORT)
        sent = await asyncio.gather(moving.there.send(VM, place, 60), return_exceptions=True)
        assert str(sent[0]) == "nobody lets it in at 10.0.0.1"

    play(story)


def test_what_this_host_could_not_run_is_not_let_in() -> None:
    async def story(moving: Moving) -> None:
        needs = structs.replace(moving.scene.hypervisor.has, bridges=())
        moving.scene.hypervisor.has = needs
        assert "br0" in (await moving.come_in())["refusal"]

    play(story)


def test_who_sent_it_away_holds_it_no_more() -> None:
    async def story(moving: Moving) -> None:
        await moving.run_here()
        await moving.there.receive(VM, HOST, "10.0.0.2")
        await moving.out()
        await wait_for(lambda: moving.there.hypervisor.life(VM), "it runs there")
        await moving.end(ordered(2, host=OTHER, boot="boot-2"))
        assert moving.state is None
        assert moving.scene.record.outranked == 2

    play(story)


def test_only_the_newest_leader_commands_it() -> None:
    asked = {"migrate-in", "migrate-out", "migrate-cancel", "migration-look", "migration-end"}
    assert asked <= COMMANDS
