"""From a silence that the ear heard to the VIM and a webhook, through a whole controller.

covers: H5 H7
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.controller.watch import Watch
from holdfast.facts import wire
from holdfast.facts.hearing import HostExpected, PlaneHeard, PlaneSilent
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.settings import Webhook
from tests.adapters.http_receiver import Receiver
from tests.controller.fake_agent import FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.house import running, settings

PLANES = ("a", "b")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.down()


def at(ago_ms: int = 0) -> Instant:
    return Instant(time.monotonic_ns() - ago_ms * NS_PER_MS)


def hear(watch: Watch, host: str, boot: str = "boot-1", ago_ms: int = 0) -> None:
    for plane in PLANES:
        watch.see(PlaneHeard(at=at(ago_ms), host=host, plane=plane, boot=boot))


def silence(watch: Watch, host: str, boot: str = "boot-1") -> None:
    for plane in PLANES:
        watch.see(
            PlaneSilent(
                at=at(),
                host=host,
                plane=plane,
                boot=boot,
                last_heard=at(200),
                missed=4,
                newest_other=at(10),
            )
        )


def told(receiver: Receiver) -> list[tuple[str, str]]:
    alarms = [body["record"]["alarm"] for body in receiver.alarms()]
    return [(alarm["condition"], alarm["state"]) for alarm in alarms]


async def expect_all(watch: Watch, agent: FakeAgent, name: str) -> None:
    """Four hosts; the agent of host-a, which has this name, tells of a VM."""
    for number in range(3):
        watch.expect(f"host-{number}", f"host-{number}", "", PLANES)
    watch.expect("host-a", name, "boot-1", PLANES)
    await agent.send(wire.Inventory(vms=(summary("vm-1", "web-1"),)))
    await wait_for(lambda: bool(watch.decider.world.hosts["host-a"].vms))


def _vms(watch: Watch) -> list[str]:
    return [vm.name for vm in watch.decider.world.hosts["host-a"].vms]


def test_a_lost_host_is_told_with_its_vms_and_taken_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    async def work() -> None:
        hooks = (Webhook(name="noc", url=receiver.url),)
        async with running(settings(tmp_path, webhooks=hooks)) as house:
            watch = house.controller.watch
            agent = FakeAgent(house.socket)
            async with agent.link():
                await expect_all(watch, agent, "alpha")
            hear(watch, "host-a", ago_ms=400)
            silence(watch, "host-a")
            await wait_for(lambda: len(told(receiver)) == 2)
            [host, vm] = [body["record"] for body in receiver.alarms()]
            assert host["alarm"]["key"] == "host-a/boot-1:host-lost"
            assert host["alarm"]["certainty"] == vm["alarm"]["certainty"] == "suspected"
            assert vm["alarm"]["root"] == host["alarm"]["key"]
            kept = {one["alarm"]["key"]: one for one in await ask(house.socket, "alarms")}
            assert 150 < kept[host["alarm"]["key"]]["fault_to_arrival_ms"] < 5_000
            [incident] = await ask(house.socket, "incidents")
            assert (incident["host"], incident["state"]) == ("host-a", "open")
            hear(watch, "host-a")
            await wait_for(lambda: len(told(receiver)) == 4)
        assert told(receiver) == [
            ("host-lost", "raised"),
            ("vm-on-lost-host", "raised"),
            ("host-lost", "cleared"),
            ("vm-on-lost-host", "cleared"),
        ]
        text = receiver.alarms()[2]["record"]["alarm"]["text"]
        assert text.startswith("retracted: alpha pulses again in the same boot")

    asyncio.run(work())


def test_the_vms_of_a_host_are_known_again_when_its_clone_has_ended(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            watch = house.controller.watch
            watch.expect("host-a", "alpha", "boot-1", PLANES)
            hear(watch, "host-a")
            web = summary("vm-1", "web-1")
            watch.set_vms("host-a", "boot-1", (web,))
            hear(watch, "host-a", boot="boot-9")
            assert _vms(watch) == []
            hear(watch, "host-a")
            assert _vms(watch) == ["web-1"]

    asyncio.run(work())


def test_an_agent_that_says_that_nothing_runs_after_a_boot_has_said_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            watch = house.controller.watch
            watch.expect("host-a", "alpha", "boot-1", PLANES)
            hear(watch, "host-a")
            watch.set_vms("host-a", "boot-1", (summary("vm-1", "web-1"),))
            hear(watch, "host-a", boot="boot-2")
            watch.set_vms("host-a", "boot-2", ())
            assert watch.decider.world.hosts["host-a"].told_boot == "boot-2"

    asyncio.run(work())


def test_what_was_said_of_a_host_outlives_a_restart(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            watch = house.controller.watch
            watch.see(HostExpected(at=at(), host="host-a", name="alpha", planes=PLANES))
            hear(watch, "host-a", ago_ms=400)
            silence(watch, "host-a")
            await wait_for(lambda: watch.decider.world.is_open("host-a/boot-1:host-lost"))
        async with running(settings(tmp_path)) as house:
            watch = house.controller.watch
            assert watch.decider.world.is_open("host-a/boot-1:host-lost")
            hear(watch, "host-a")
            assert not watch.decider.world.is_open("host-a/boot-1:host-lost")

            async def is_cleared() -> bool:
                return not await ask(house.socket, "alarms")

            while not await is_cleared():  # noqa: ASYNC110  The test's own limit bounds it.
                await asyncio.sleep(0.02)

    asyncio.run(work())


def test_a_silent_host_is_named_rather_than_its_agent(tmp_path: Path) -> None:
    """Nobody can start an agent on a host without power."""

    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            watch = house.controller.watch
            agent = FakeAgent(house.socket)
            async with agent.link():
                await expect_all(watch, agent, "host-a")
            await wait_for(lambda: house.controller.agents.by_host["host-a"].link is None)
            refused = await ask_all(house.socket, "recover", vm="web-1")
            assert refused.error == "the agent of host host-a is away"
            hear(watch, "host-a", ago_ms=400)
            silence(watch, "host-a")
            await wait_for(lambda: watch.decider.world.is_open("host-a/boot-1:host-lost"))
            for name in ("recover", "protect"):
                refused = await ask_all(house.socket, name, vm="web-1")
                assert refused.error.startswith("host host-a is silent: suspected to be lost; ")
                assert refused.hint == "what to do about it: holdfast explain host-a"
            assert (await ask(house.socket, "incident", incident="host-a"))["host"] == "host-a"

    asyncio.run(work())
