"""Definitions at a controller: kept of who holds the VM, refused of others, gone with unprotect.

covers: H15
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.agents import Agent, Agents
from holdfast.controller.claims import Claims
from holdfast.controller.definitions import Definitions
from holdfast.controller.registry import Registry
from holdfast.facts import wire
from holdfast.facts.definitions import HostSize, VmDefinition, VmNeeds
from holdfast.facts.promises import Answer, Protection
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from tests.controller.fake_agent import FakeAgent, ask, summary, wait_for
from tests.controller.house import House, running, settings

WEB = VmDefinition(vm="vm-1", name="web-1", xml="<domain/>", needs=VmNeeds(memory_mib=512, vcpus=1))
LIMIT_S = 30


def play(folder: Path, story: Callable[[House], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(LIMIT_S), running(settings(folder)) as house:
            await story(house)

    asyncio.run(whole())


async def protect(house: House, agent: FakeAgent) -> None:
    await agent.send(wire.Inventory(vms=(summary(),)))
    await wait_for(house.controller.agents.all_vms)
    await ask(house.socket, "protect", vm="web-1")


def test_its_holders_word_is_kept_and_goes_with_the_promise(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        registry = house.controller.registry
        async with FakeAgent(house.socket).link() as agent:
            await protect(house, agent)
            await agent.send(wire.Definitions(definitions=(WEB,)))
            await wait_for(lambda: registry.definition("vm-1") == WEB)
            other = structs.replace(WEB, xml="<domain>2</domain>")
            await agent.send(wire.Definitions(definitions=(other,)))
            await wait_for(lambda: registry.definition("vm-1") == other)
            await ask(house.socket, "unprotect", vm="web-1")
            assert registry.definition("vm-1") is None

    play(tmp_path, story)


def test_another_hosts_word_is_refused_and_of_the_unprotected_nothing_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(house: House) -> None:
        registry, claims = house.controller.registry, house.controller.door.claims
        async with (
            FakeAgent(house.socket).link() as agent,
            FakeAgent(house.socket, host="host-b", boot="boot-b").link() as other,
        ):
            await protect(house, agent)
            lie = structs.replace(WEB, xml="<domain>lie</domain>")
            free = structs.replace(WEB, vm="vm-9", name="free")
            await other.send(wire.Definitions(definitions=(lie, free)))
            await wait_for(lambda: claims.refused == 1)
            await agent.send(wire.Definitions(definitions=(WEB,)))
            await wait_for(lambda: registry.definition("vm-1") == WEB)
            assert registry.definition("vm-9") is None
        assert "says how web-1 is defined, and does not hold it" in caplog.text

    play(tmp_path, story)


def test_who_held_a_vm_until_it_greeted_is_not_accused(tmp_path: Path) -> None:
    """It came back, and says so before it hears that another host holds the VM."""

    async def story(house: House) -> None:
        registry, claims = house.controller.registry, house.controller.door.claims
        async with FakeAgent(house.socket).link() as agent:
            await protect(house, agent)
            held = registry.protection("vm-1")
            assert held is not None
            before = structs.replace(held.tenure, host="host-b", boot="b", generation=0)
            other = FakeAgent(house.socket, host="host-b", boot="boot-b", tenures=(before,))
            async with other.link() as back:
                await back.send(wire.Definitions(definitions=(WEB,)))
                await back.send(wire.Inventory(vms=(summary(vm="vm-8"),)))
                await wait_for(lambda: house.controller.agents.by_host["host-b"].vms)
            assert claims.refused == 0
            assert registry.definition("vm-1") is None

    play(tmp_path, story)


def test_a_controller_that_does_not_lead_judges_nobody() -> None:
    """It may not have heard yet who holds a VM by now."""

    async def work() -> None:
        store = StoreInMemory()
        term = await store.begin_term("me", 60_000)
        assert term is not None
        leads: list[int | None] = [term]
        registry = Registry(store, lambda: leads[0])
        await registry.begin(term)
        tenure = Tenure(
            vm="vm-1",
            generation=1,
            host="host-a",
            boot="b",
            state=TenureState.HELD,
            wanted=Wanted.RUNNING,
        )
        held = Protection(vm="vm-1", name="web-1", group="default", answer=Answer(), tenure=tenure)
        await registry.change(lambda: {"protections/vm-1": held})
        claims = Claims(Agents(ShelfInMemory()), lambda _key: None)
        for leads[0], refused in ((None, 0), (term, 1)):
            Definitions(registry, claims).take(Agent("host-b"), (WEB,))
            assert claims.refused == refused

    asyncio.run(work())


def test_what_a_host_offers_and_can_do_is_known(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        agents = house.controller.agents
        size = HostSize(memory_mib=8_192, cpus=4, bridges=("br0",))
        fake = FakeAgent(house.socket)
        fake.hello = structs.replace(fake.hello, features=(wire.STARTS_HERE,))
        async with fake.link() as agent:
            await agent.send(wire.Inventory(vms=(summary(),), size=size))
            await wait_for(lambda: agents.by_host["host-a"].size == size)
            assert agents.by_host["host-a"].features == (wire.STARTS_HERE,)
            await agent.send(wire.Inventory(vms=()))
            await wait_for(lambda: not agents.all_vms())
            assert agents.by_host["host-a"].size == size, "an older agent does not say it"

    play(tmp_path, story)
