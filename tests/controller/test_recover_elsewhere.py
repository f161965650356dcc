"""`holdfast vm recover` of a VM whose host is dead is the leader's to do, not that host's."""

import asyncio
from pathlib import Path

from msgspec import structs

from holdfast.facts import wire
from holdfast.facts.fencing import FenceStep
from holdfast.policy.site_world import Starting
from tests.controller.fake_agent import FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.house import running, settings
from tests.controller.recovery_scene import DEFINITION, PROOF, intent, protection


def test_it_is_the_leaders_once_its_host_is_proven_dead(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            registry = house.controller.registry
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.send(wire.Inventory(vms=(summary(),)))
                await wait_for(lambda: house.controller.agents.by_host["host-a"].has_told_vms)
            held = structs.replace(protection(host="host-a", boot="boot-1", vm="vm-1"), vm="vm-1")
            await registry.change(
                lambda: {
                    "protections/vm-1": held,
                    "definitions/vm-1": structs.replace(DEFINITION, vm="vm-1"),
                }
            )
            reply = await ask_all(house.socket, "recover", vm="web-1")
            assert "host-a" in reply.error, "while nothing proves it dead, its agent is asked"
            proof = structs.replace(PROOF, host="host-a", boot="boot-1")
            off = intent(1, host="host-a", boot="boot-1", step=FenceStep.OFF, proof=proof)
            await registry.change(lambda: {"fences/host-a": off})
            world = house.controller.watch.decider.world
            world.starting["vm-1"] = Starting(refused={"host-z": "its disk was away"})
            data = await ask(house.socket, "recover", vm="web-1")
            assert world.starting["vm-1"].refused == {}, "policy heard of it"
            assert data["state"].startswith("no host is left to start it on")

    asyncio.run(work())
