"""Who ends a promise while its host goes away is told what was done, and what comes next."""

import asyncio
from pathlib import Path

from holdfast.facts import wire
from tests.controller.fake_agent import FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.house import running, settings


def test_who_unprotects_a_vm_of_an_agent_that_goes_away_is_told_what_was_done(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.send(wire.Inventory(vms=(summary(),)))
                await wait_for(house.controller.agents.all_vms)
                await ask(house.socket, "protect", vm="web-1")
                agent.answers["release"] = lambda _question: None
                asked = asyncio.create_task(ask_all(house.socket, "unprotect", vm="web-1"))
                await agent.wait(lambda: bool(agent.asked) and agent.asked[-1].name == "release")
                await agent.hang_up()
                reply = await asked
                away = "the agent of host host-a went away while it was asked"
                assert reply.error == f"web-1 is not protected any more, but {away}"
                assert reply.hint.startswith("host-a lets go of it when its agent greets again")
                assert house.controller.registry.protections() == {}

    asyncio.run(work())
