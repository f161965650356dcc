"""Guest agents are asked while their channel is open, and each answer is of the life asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.sensors.guest_agent import GuestAgent
from holdfast.facts.observations import AgentAnswered, AgentLeft, AgentSilent, Observation
from holdfast.facts.subjects import Incarnation
from holdfast.ports.hypervisor import CallOverran

LIMIT_S = 5.0


def life(number: int, vm: str = "vm-1") -> Incarnation:
    return Incarnation(vm=vm, boot="boot", pid=number, started_ticks=number)


class FakeClient(LibvirtClient):
    """Answers as it is told, without a worker."""

    def __init__(self) -> None:
        super().__init__("nowhere")
        self.answers: dict[str, bool | None] = {}
        self.asked: list[list[str]] = []
        self.is_away = False
        self.meanwhile: Callable[[], None] = lambda: None

    async def call(self, name: str, limit_ms: float, /, **args: Any) -> Any:  # noqa: ARG002
        assert name == "ping_all"
        self.asked.append(args["vms"])
        self.meanwhile()
        if self.is_away:
            raise CallOverran("frozen")
        return {vm: self.answers.get(vm) for vm in args["vms"]}


class Scene:
    def __init__(self) -> None:
        self.client = FakeClient()
        self.running = {"vm-1": life(1)}
        self.seen: list[Observation] = []
        self.sensor = GuestAgent(self.client, lambda: self.running)

    async def wait(self, count: int) -> None:
        deadline = time.monotonic() + LIMIT_S
        while len(self.seen) < count:
            assert time.monotonic() < deadline, self.seen
            await asyncio.sleep(0.005)

    async def wait_asked(self, count: int) -> None:
        deadline = time.monotonic() + LIMIT_S
        while len(self.client.asked) < count:
            assert time.monotonic() < deadline, self.client.asked
            await asyncio.sleep(0.005)


@asynccontextmanager
async def at_work() -> AsyncIterator[Scene]:
    scene = Scene()
    task = asyncio.create_task(scene.sensor.run(scene.seen.append))
    await asyncio.sleep(0)
    try:
        yield scene
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_nobody_is_asked_before_its_channel_opens_and_then_at_once() -> None:
    async def story() -> None:
        async with at_work() as scene:
            scene.client.answers["vm-1"] = True
            await asyncio.sleep(0.05)
            assert scene.client.asked == []
            scene.sensor.channel_changed("vm-1", connected=True)
            await scene.wait(1)
            assert isinstance(scene.seen[0], AgentAnswered)
            assert scene.seen[0].incarnation == life(1)

    asyncio.run(story())


@pytest.mark.slow
def test_a_silent_agent_is_asked_again_sooner_and_named_as_silent() -> None:
    async def story() -> None:
        async with at_work() as scene:
            scene.client.answers["vm-1"] = False
            scene.sensor.channel_changed("vm-1", connected=True)
            await scene.wait(1)
            assert scene.sensor.silent == {"vm-1"}
            scene.client.answers["vm-1"] = True
            await scene.wait(2)
            assert [type(s) for s in scene.seen] == [AgentSilent, AgentAnswered]
            assert scene.sensor.silent == set()

    asyncio.run(story())


@pytest.mark.slow
def test_a_closed_channel_is_told_once_and_not_asked() -> None:
    async def story() -> None:
        async with at_work() as scene:
            scene.client.answers["vm-1"] = False
            scene.sensor.channel_changed("vm-1", connected=True)
            await scene.wait(1)
            for _ in range(2):
                scene.sensor.channel_changed("vm-1", connected=False)
            assert [type(s) for s in scene.seen] == [AgentSilent, AgentLeft]
            assert scene.sensor.silent == set()
            asked = len(scene.client.asked)
            await asyncio.sleep(1.2)
            assert len(scene.client.asked) == asked

    asyncio.run(story())


@pytest.mark.slow
def test_the_next_life_is_asked_only_when_it_opens_a_channel_itself() -> None:
    async def story() -> None:
        async with at_work() as scene:
            scene.client.answers["vm-1"] = False
            scene.sensor.channel_changed("vm-1", connected=True)
            await scene.wait(1)
            scene.running = {"vm-1": life(2)}
            await asyncio.sleep(1.2)
            assert len(scene.client.asked) == 1
            scene.sensor.channel_changed("vm-1", connected=True)
            await scene.wait_asked(2)
            await scene.wait(2)
            assert isinstance(scene.seen[1], AgentSilent)
            assert scene.seen[1].incarnation == life(2)

    asyncio.run(story())


def test_an_answer_of_a_life_that_ended_meanwhile_is_dropped() -> None:
    async def story() -> None:
        async with at_work() as scene:
            scene.client.answers["vm-1"] = True
            scene.client.meanwhile = lambda: scene.running.update({"vm-1": life(2)})
            scene.sensor.channel_changed("vm-1", connected=True)
            await scene.wait_asked(1)
            await asyncio.sleep(0.05)
            assert scene.seen == []

    asyncio.run(story())


def test_while_libvirt_is_away_no_guest_is_called_silent() -> None:
    async def story() -> None:
        async with at_work() as scene:
            scene.client.is_away = True
            scene.sensor.channel_changed("vm-1", connected=True)
            await scene.wait_asked(1)
            await asyncio.sleep(0.05)
            assert scene.seen == []
            assert scene.sensor.silent == set()

    asyncio.run(story())
