"""What is asked and told of a group whose VMs Holdfast makes; and the alarm when it has too few.

covers: H9
"""

import asyncio
from pathlib import Path

import pytest

from holdfast.adapters.simulated.vims import VimInMemory
from holdfast.controller.instance_alarms import SHORT_AFTER_MS, InstanceAlarms
from holdfast.facts.alarms import AlarmState
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.promises import LocalDisk
from tests.controller.fake_agent import ask
from tests.controller.house import running, settings
from tests.controller.instancing_scene import GROUP, IMAGES, XML, Scene, run


def test_a_group_says_what_it_is_made_of_and_what_keeps_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            data = await ask(
                house.socket, "group-set", name="front", template=XML, images=IMAGES, count=2
            )
            assert data["group"]["local_disk"] == "rebuild", "so that it can be made anew"
            assert (data["template"]["count"], data["template"]["in_service"]) == (2, 0)
            registry = house.controller.registry
            assert registry.groups()["front"].local_disk is LocalDisk.REBUILD
            assert registry.templates()["front"].set_by == "anna"
            async with asyncio.timeout(10):
                shown = await ask(house.socket, "group", name="front")
                while not shown["template"]["why"]:
                    await asyncio.sleep(0.05)
                    shown = await ask(house.socket, "group", name="front")
            assert shown["template"]["why"] == "front-1: no host is left to start it on"
            await ask(house.socket, "group-set", name="front", count=0)
            await ask(house.socket, "group-forget", name="front")
            assert registry.templates() == {}

    asyncio.run(work())


def test_a_group_without_a_template_is_set_as_ever(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            data = await ask(house.socket, "group-set", name="front", level=1)
            assert data["group"]["level"] == 1
            assert "template" not in data
            with pytest.raises(AssertionError, match="count must be from 0 to 1000"):
                await ask(house.socket, "group-set", name="front", count=-1)

    asyncio.run(work())


def at(ms: float) -> Instant:
    return Instant(int(ms * NS_PER_MS))


def test_too_few_are_an_alarm_with_the_reason_and_only_after_a_while() -> None:
    async def work(scene: Scene) -> None:
        vim = VimInMemory()
        world, why = scene.site.world, scene.instances.why
        alarms = InstanceAlarms(scene.registry, world, vim, why, "c1", "boot")

        async def told(ms: float) -> list[str]:
            await alarms.settle(at(ms))
            found = [one.alarm for one in await vim.alarms(include_cleared=True)]
            return [one.text for one in found if one.state is not AlarmState.CLEARED]

        scene.refuses = dict.fromkeys(scene.running, "its image is missing")
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(6)
        assert await told(1_000) == []
        [text] = await told(1_100 + SHORT_AFTER_MS)
        assert text.startswith(f"group {GROUP}: 0 of 1 promised VMs in service: front-1: ")
        assert "its image is missing" in text
        scene.refuses = {}
        scene.begin_anew()
        await scene.look(4)
        assert await told(60_000) == []
        await scene.set(count=0, remove=("front-1",))
        await scene.look(3)
        assert await told(99_000_000) == []

    run(work)
