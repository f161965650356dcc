"""A host that was booted since the backup is granted its VMs only once all others have greeted.

covers: H2 H9
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.facts.tenure import RESTORED, Tenure
from tests.controller.fake_agent import FakeAgent, ask, wait_for
from tests.controller.house import House, running, settings
from tests.controller.test_restoring import Backup, protect, told


def host_b(house: House, *tenures: Tenure) -> FakeAgent:
    return FakeAgent(
        house.socket, host="host-b", boot="boot-b", state_id="state-b", tenures=tenures
    )


def restored(folder: Path, work: Callable[[House, Tenure], Awaitable[None]]) -> None:
    """web-1 is protected on host-a, and host-b is known; that is the backup that was put back."""

    async def whole() -> None:
        backup = Backup(folder)
        async with running(settings(folder)) as house:
            agent = FakeAgent(house.socket)
            async with host_b(house).link(), agent.link():
                held = await protect(house, agent)
            backup.make()
        backup.put_back()
        await backup.become_another()
        async with running(settings(folder)) as house:
            await work(house, held)

    asyncio.run(whole())


def test_one_in_the_boot_of_the_backup_is_granted_them_at_once(tmp_path: Path) -> None:
    """It has not been dead since."""

    async def work(house: House, held: Tenure) -> None:
        agent = FakeAgent(house.socket, tenures=(held,))
        async with agent.link():
            assert told(agent).boot == "boot-1"

    restored(tmp_path, work)


def test_one_that_slept_through_a_recovery_is_granted_nothing(tmp_path: Path) -> None:
    async def work(house: House, held: Tenure) -> None:
        newest = structs.replace(held, host="host-b", boot="boot-b", generation=2)
        for _ in range(2):
            agent = FakeAgent(house.socket, boot="boot-2", tenures=(held,))
            async with agent.link():
                assert told(agent).boot == RESTORED
                assert (await ask(house.socket, "status"))["held_for_a_person"] == ["web-1"]
        async with host_b(house, newest).link():
            agent = FakeAgent(house.socket, boot="boot-2", tenures=(held,))
            async with agent.link():
                assert (told(agent).boot, told(agent).generation) == ("", 2)

    restored(tmp_path, work)


@pytest.mark.parametrize("how", ["it greets, and knows of nothing newer", "it is put out"])
def test_it_is_granted_them_when_nobody_is_awaited_any_more(tmp_path: Path, how: str) -> None:
    async def work(house: House, held: Tenure) -> None:
        agent = FakeAgent(house.socket, boot="boot-2", tenures=(held,))
        async with agent.link():
            assert told(agent).boot == RESTORED
            if how == "it is put out":
                await house.controller.registry.change(lambda: {"agents/host-b": None})
                await wait_for(lambda: told(agent).boot == "boot-2")
                return
            async with host_b(house).link():
                await wait_for(lambda: told(agent).boot == "boot-2")

    restored(tmp_path, work)
