"""Copies, stores, leaders and hosts that are not what they were: nothing is granted in doubt."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.facts import wire
from holdfast.facts.promises import Protection
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from tests.controller.fake_agent import FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.house import House, running, settings


async def greet(agent: FakeAgent, house: House) -> None:
    await agent.send(wire.Inventory(vms=(summary(),)))
    await wait_for(lambda: house.controller.agents.by_host[agent.host].has_told_vms)


@contextlib.asynccontextmanager
async def protecting(house: House) -> AsyncIterator[FakeAgent]:
    """An agent that is linked, and whose vm-1 is protected by now."""
    agent = FakeAgent(house.socket)
    async with agent.link():
        await greet(agent, house)
        await ask(house.socket, "protect", vm="vm-1")
        yield agent


def held(house: House) -> Tenure:
    protection = house.controller.registry.protection("vm-1")
    assert protection is not None
    return protection.tenure


def welcome(agent: FakeAgent) -> wire.Welcome:
    assert agent.welcome is not None
    return agent.welcome


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_a_stale_copy_does_not_undo_a_stop(tmp_path: Path, boot: str) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            async with protecting(house) as agent:
                old = held(house)
                stopped = structs.replace(old, wanted=Wanted.STOPPED, revision=old.revision + 2)
                await agent.tell(1, tenure=stopped)
                late = structs.replace(old, revision=old.revision + 1)
                await agent.tell(2, tenure=late)
                await agent.wait_answered(2)
                assert held(house) == stopped
            again = FakeAgent(house.socket, boot=boot, tenures=(old,))
            async with again.link():
                told = welcome(again).protections[0].tenure
                assert (told.wanted, told.boot) == (Wanted.STOPPED, boot)
                assert told.revision >= stopped.revision

    asyncio.run(work())


def test_the_generation_never_falls_back_and_what_was_released_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            async with protecting(house):
                first = held(house)
                await ask(house.socket, "unprotect", vm="vm-1")
            again = FakeAgent(house.socket, tenures=(first,))
            async with again.link():
                assert welcome(again).released == ("vm-1",)
                await greet(again, house)
                await ask(house.socket, "protect", vm="vm-1")
                assert held(house).generation == first.generation + 1
            last = FakeAgent(house.socket, tenures=(held(house),))
            async with last.link():
                assert welcome(last).released == ()

    asyncio.run(work())


def test_who_held_it_before_hears_that_it_was_anothers_in_the_end(tmp_path: Path) -> None:
    """Else it would call for a person to start what lives elsewhere."""

    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            async with protecting(house):
                first = held(house)
                registry = house.controller.registry
                before = registry.protection("vm-1")
                assert before is not None
                later = structs.replace(first, host="host-b", boot="b", generation=2)
                moved = structs.replace(before, tenure=later)
                await registry.change(lambda: {"protections/vm-1": moved})
            other = FakeAgent(house.socket, host="host-b", boot="b", stream="b.x", tenures=(later,))
            async with other.link():
                await greet(other, house)
                await ask(house.socket, "unprotect", vm="vm-1")
            again = FakeAgent(house.socket, tenures=(first,))
            async with again.link():
                [told] = welcome(again).protections
                assert (told.tenure.host, told.tenure.generation) == ("host-b", 2)
                assert welcome(again).released == ()
            once_more = FakeAgent(house.socket)
            once_more.hello = structs.replace(once_more.hello, barred={"vm-1": 2})
            async with once_more.link():
                assert welcome(once_more).protections == ()
                assert welcome(once_more).released == ("vm-1",)

    asyncio.run(work())


def test_hosts_that_had_a_vm_hear_that_nobody_protects_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            other = FakeAgent(house.socket, host="host-b", boot="boot-b", state_id="b")
            async with agent.link(), other.link():
                await greet(agent, house)
                await ask(house.socket, "protect", vm="vm-1")
                idle = structs.replace(summary(), is_running=False, pid=0)
                await other.send(wire.Inventory(vms=(idle,)))
                await wait_for(lambda: house.controller.agents.by_host["host-b"].has_told_vms)
                await ask(house.socket, "unprotect", vm="vm-1")
                assert [one.name for one in other.asked] == ["release"]
            away = FakeAgent(house.socket, host="host-c", boot="boot-c", state_id="c")
            away.hello = structs.replace(away.hello, barred={"vm-1": 1, "vm-2": 1})
            async with away.link():
                assert welcome(away).released == ("vm-1",)

    asyncio.run(work())


def test_a_grant_that_the_agent_did_not_take_is_an_error_and_undone(tmp_path: Path) -> None:
    def keep_own(question: wire.Question) -> wire.Reply:
        granted = msgspec.convert(question.args["protection"], Protection)
        own = structs.replace(granted, tenure=structs.replace(granted.tenure, generation=7))
        return wire.Reply(id=question.id, data={"protection": msgspec.to_builtins(own)})

    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            agent.answers["grant"] = keep_own
            async with agent.link():
                await greet(agent, house)
                reply = await ask_all(house.socket, "protect", vm="vm-1")
                assert "did not take generation 1: it holds 7" in reply.error
                assert reply.hint
                assert house.controller.registry.protections() == {}

    asyncio.run(work())


def test_a_new_store_ends_nothing_and_asks_for_protection_above_the_copy(tmp_path: Path) -> None:
    async def work() -> None:
        copy = Tenure(
            vm="vm-1",
            generation=3,
            host="host-a",
            boot="boot-1",
            state=TenureState.HELD,
            wanted=Wanted.RUNNING,
        )
        ids: list[str] = []
        for store in (StoreInMemory(), StoreInMemory()):
            async with running(settings(tmp_path), store) as house:
                agent = FakeAgent(house.socket, tenures=(copy,))
                async with agent.link():
                    told = welcome(agent)
                    assert (told.is_complete, told.released, told.protections) == (True, (), ())
                    ids.append(told.store_id)
                    protected = structs.replace(summary(), is_protected=True)
                    await agent.send(wire.Inventory(vms=(protected,)))
                    await wait_for(house.controller.promises.unknown_to_the_store)
                    status = await ask(house.socket, "status")
                    assert status["unknown_to_the_store"] == ["web-1"]
                    await ask(house.socket, "protect", vm="vm-1")
                    assert held(house).generation == 4
                    assert (await ask(house.socket, "status"))["unknown_to_the_store"] == []
        assert all(ids)
        assert len(set(ids)) == 2

    asyncio.run(work())


def test_a_host_made_anew_is_granted_nothing_until_a_person_says_the_old_one_is_gone(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            old = FakeAgent(house.socket)
            async with old.link():
                await greet(old, house)
                await ask(house.socket, "protect", vm="vm-1")
            await wait_for(lambda: house.controller.agents.by_host["host-a"].link is None)
            new = FakeAgent(house.socket, host="host-b", state_id="state-b")
            new.hello = structs.replace(new.hello, host_name="host-a")
            async with new.link():
                await greet(new, house)
                reply = await ask_all(house.socket, "protect", vm="vm-1")
                assert "--old-host-is-gone" in reply.hint
                assert (new.asked, held(house).host) == ([], "host-a")
                reason = "its mainboard was scrapped"
                data = await ask(house.socket, "protect", vm="vm-1", old_host_is_gone=reason)
                assert data["old_host_is_gone"] == reason
                assert (held(house).host, held(house).generation) == ("host-b", 2)
            back = FakeAgent(
                house.socket, tenures=(structs.replace(held(house), host="host-a", generation=1),)
            )
            async with back.link():
                told = welcome(back).protections
                assert [p.tenure.host for p in told] == ["host-b"], "it hears whose it is now"

    asyncio.run(work())


def test_who_does_not_lead_grants_nothing_to_an_agent_that_brings_no_news(tmp_path: Path) -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with running(settings(tmp_path), store) as house:
            async with protecting(house):
                pass  # It is gone before the next term.
            store.elect_another()
            await house.controller.leadership.step()
            assert house.controller.leadership.term is None
            same = FakeAgent(house.socket)
            async with same.link():
                told = welcome(same)
                assert (told.is_complete, told.protections, told.term) == (False, (), 0)

    asyncio.run(work())


@pytest.mark.parametrize("version", [wire.VERSION + 2, wire.VERSION - 2])
def test_a_version_too_far_is_refused_with_a_sentence(tmp_path: Path, version: int) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            agent.hello = structs.replace(agent.hello, version=version)
            async with agent.link():
                told = welcome(agent)
                assert f"version {version}" in told.refusal
                assert not told.is_complete
            assert "host-a" not in house.controller.agents.by_host
            near = FakeAgent(house.socket)
            near.hello = structs.replace(near.hello, version=wire.VERSION - 1)
            async with near.link():
                assert welcome(near).refusal == ""

    asyncio.run(work())
