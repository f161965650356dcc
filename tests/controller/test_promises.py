"""Who may run a VM: granted, released, granted anew after a boot, and never to one that forgot."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.facts import wire
from holdfast.facts.promises import Admission, Group, Owner, Protection, Spread
from holdfast.facts.tenure import Tenure, Wanted
from tests.controller.fake_agent import FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.house import House, running, settings
from tests.controller.recovery_scene import DEFINITION


async def greet(agent: FakeAgent, house: House) -> None:
    await agent.send(wire.Inventory(vms=(summary(), summary("vm-2", "web-2"))))
    await wait_for(lambda: len(house.controller.agents.all_vms()) >= 2)


def of(agent: FakeAgent) -> dict[str, Tenure]:
    assert agent.welcome is not None
    return {p.vm: p.tenure for p in agent.welcome.protections}


def names(agent: FakeAgent) -> list[str]:
    return [question.name for question in agent.asked]


def test_protect_is_stored_and_granted_before_it_is_answered(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await greet(agent, house)
                data = await ask(house.socket, "protect", vm="web-1", answer="tcp:22")
                granted = msgspec.convert(agent.asked[0].args["protection"], Protection)
                assert msgspec.convert(data["protection"], Protection) == granted
                assert (granted.vm, granted.name, str(granted.answer)) == (
                    "vm-1",
                    "web-1",
                    "tcp:22",
                )
                tenure = granted.tenure
                assert (tenure.generation, tenure.host, tenure.boot) == (1, "host-a", "boot-1")
                assert agent.asked[0].term == 1
                assert agent.asked[0].by == "anna"
        store = Sqlite(tmp_path / "state" / "controller" / "store.db")
        held = await store.get("protections/vm-1")
        assert held is not None
        assert msgspec.json.decode(held.value, type=Protection) == granted
        await store.close()

    asyncio.run(work())


def test_who_asks_for_an_answer_hears_whether_it_comes_now(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            agent.answers["answers-now"] = lambda q: wire.Reply(id=q.id, data={"answers_now": ""})
            async with agent.link():
                await greet(agent, house)
                data = await ask(house.socket, "protect", vm="web-1", answer="tcp:22")
                assert data["answers_now"] == ""
                for other in ("", "running:5", "console:login:"):
                    data = await ask(house.socket, "protect", vm="web-1", answer=other)
                    assert "answers_now" not in data, "a moment does not show it"
                agent.answers["answers-now"] = lambda q: wire.Reply(id=q.id, error="what?")
                data = await ask(house.socket, "protect", vm="web-1", answer="agent")
                assert "answers_now" not in data, "of an older agent"
                assert data["protection"]["answer"]["kind"] == "agent"

    asyncio.run(work())


def test_the_same_boot_is_told_what_it_holds_and_a_new_boot_is_granted_anew(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            first = FakeAgent(house.socket)
            async with first.link():
                await greet(first, house)
                await ask(house.socket, "protect", vm="vm-1")
            same = FakeAgent(house.socket)
            async with same.link():
                assert of(same)["vm-1"].boot == "boot-1"
            booted = FakeAgent(house.socket, boot="boot-2")
            async with booted.link():
                assert of(booted)["vm-1"].boot == "boot-2"
                assert of(booted)["vm-1"].generation == 1

    asyncio.run(work())


@pytest.mark.parametrize("how", ["says so", "another state"])
def test_an_agent_that_forgot_is_granted_nothing_until_a_person_protects_again(
    tmp_path: Path, how: str
) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            first = FakeAgent(house.socket)
            async with first.link():
                await greet(first, house)
                await ask(house.socket, "protect", vm="vm-1")
                await ask(house.socket, "protect", vm="vm-2")
            state = "state-1" if how == "says so" else "state-2"
            for _ in range(2):
                forgot = FakeAgent(house.socket, state_id=state, is_amnesiac=how == "says so")
                async with forgot.link():
                    assert {tenure.boot for tenure in of(forgot).values()} == {""}
            later = FakeAgent(house.socket, state_id=state, boot="boot-2")
            async with later.link():
                assert {tenure.boot for tenure in of(later).values()} == {""}, "not by a reboot"
                await greet(later, house)
                await ask(house.socket, "protect", vm="vm-1")
                assert names(later) == ["grant"]
            last = FakeAgent(house.socket, state_id=state, boot="boot-2")
            async with last.link():
                assert {vm: tenure.boot for vm, tenure in of(last).items()} == {
                    "vm-1": "boot-2",
                    "vm-2": "",
                }

    asyncio.run(work())


def test_what_the_agent_says_is_wanted_is_kept(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await greet(agent, house)
                await ask(house.socket, "protect", vm="vm-1")
                held = house.controller.registry.protection("vm-1")
                assert held is not None
                stopped = msgspec.structs.replace(held.tenure, wanted=Wanted.STOPPED)
                await agent.tell(1, tenure=stopped)
                stale = msgspec.structs.replace(held.tenure, boot="boot-0")
                await agent.tell(2, tenure=stale)
                newer = msgspec.structs.replace(held.tenure, generation=9)
                await agent.tell(3, tenure=newer)
                await agent.wait_answered(3)
            again = FakeAgent(house.socket)
            async with again.link():
                assert of(again)["vm-1"] == stopped
            stale = msgspec.structs.replace(stopped, wanted=Wanted.RUNNING)
            booted = FakeAgent(house.socket, boot="boot-2", tenures=(stale,))
            async with booted.link():
                assert of(booted)["vm-1"].wanted is Wanted.STOPPED, "no copy revives it"
                known = of(booted)["vm-1"]
            running_again = msgspec.structs.replace(
                known, wanted=Wanted.RUNNING, revision=known.revision + 1
            )
            booted = FakeAgent(house.socket, boot="boot-2", tenures=(running_again,))
            async with booted.link():
                assert of(booted)["vm-1"].wanted is Wanted.RUNNING, "its newer copy knows best"

    asyncio.run(work())


def test_what_the_agent_refuses_is_undone(tmp_path: Path) -> None:
    def refuse(question: wire.Question) -> wire.Reply:
        return wire.Reply(id=question.id, error="web-1 is transient", hint="define it", code=4)

    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await greet(agent, house)
                agent.answers["grant"] = refuse
                reply = await ask_all(house.socket, "protect", vm="web-1")
                assert (reply.error, reply.hint, reply.code) == (
                    "web-1 is transient",
                    "define it",
                    4,
                )
                assert house.controller.registry.protections() == {}
                del agent.answers["grant"]
                await ask(house.socket, "protect", vm="web-1")
                registry = house.controller.registry
                made = structs.replace(DEFINITION, vm="vm-1")
                await registry.change(lambda: {"definitions/vm-1": made})
                agent.answers["release"] = refuse
                assert (await ask_all(house.socket, "unprotect", vm="web-1")).error
                assert "vm-1" in registry.protections()
                assert registry.definition("vm-1") == made, "without it, it starts nowhere else"
                del agent.answers["release"]
                await ask(house.socket, "unprotect", vm="web-1")
                assert house.controller.registry.protections() == {}
                assert (
                    "is not protected"
                    in (await ask_all(house.socket, "unprotect", vm="web-1")).error
                )

    asyncio.run(work())


def test_a_vm_held_by_another_host_is_not_granted_to_a_second(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            first = FakeAgent(house.socket)
            async with first.link():
                await greet(first, house)
                await ask(house.socket, "protect", vm="vm-1")
            await wait_for(lambda: house.controller.agents.by_host["host-a"].link is None)
            second = FakeAgent(house.socket, host="host-b", state_id="state-b")
            async with second.link():
                await greet(second, house)
                reply = await ask_all(house.socket, "protect", vm="vm-1")
                assert "held by host host-a" in reply.error
                assert second.asked == []

    asyncio.run(work())


@pytest.mark.parametrize("committed", [True, False])
def test_a_lost_answer_of_the_store_is_read_again(tmp_path: Path, committed: bool) -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with running(settings(tmp_path), store) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await greet(agent, house)
                store.lose_next_answer(committed=committed)
                await ask(house.socket, "protect", vm="vm-1")
                assert "protections/vm-1" in await store.list("")
                assert names(agent) == ["grant"]

    asyncio.run(work())


def test_a_deposed_leader_changes_nothing_and_still_reports(tmp_path: Path) -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with running(settings(tmp_path), store) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await greet(agent, house)
                store.elect_another()
                reply = await ask_all(house.socket, "protect", vm="vm-1")
                assert (bool(reply.error), reply.code) == (True, 3)
                assert agent.asked == []
                assert "protections/vm-1" not in await store.list("")

    asyncio.run(work())


@pytest.mark.slow
def test_without_the_store_agents_are_heard_and_told_all_when_it_is_back(tmp_path: Path) -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with running(settings(tmp_path), store) as house:
            first = FakeAgent(house.socket)
            async with first.link():
                await greet(first, house)
                await ask(house.socket, "protect", vm="vm-1")
            store.go_away()
            booted = FakeAgent(house.socket, boot="boot-2")
            async with booted.link():
                assert booted.welcome is not None
                assert not booted.welcome.is_complete
                assert booted.welcome.protections == ()
                reply = await ask_all(house.socket, "protect", vm="vm-1")
                assert (bool(reply.error), reply.code) == (True, 3)
                store.come_back()
                await wait_for(lambda: booted.welcome is not None and booted.welcome.is_complete)
                assert of(booted)["vm-1"].boot == "boot-2", "it was asked to greet once more"

    asyncio.run(work())


def test_an_agent_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await greet(agent, house)
            await wait_for(lambda: house.controller.agents.by_host["host-a"].link is None)
            for question in ("protect", "recover", "last-words"):
                reply = await ask_all(house.socket, question, vm="web-1")
                assert reply.error == "the agent of host host-a is away"
                assert reply.code == 3
                assert reply.hint
            shown = msgspec.convert(await ask(house.socket, "vms"), list[wire.VmSummary])
            assert {(vm.state, vm.is_running, vm.pid) for vm in shown} == {("unknown", False, 0)}

    asyncio.run(work())


def test_unknown_names_suggest_the_near_ones(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await greet(agent, house)
                asked: list[tuple[str, dict[str, Any], str]] = [
                    ("protect", {"vm": "wbe-1"}, "web-1"),
                    ("protect", {"vm": "web-1", "group": "defualt"}, "default"),
                    ("group-forget", {"name": "defalt"}, "default"),
                    ("statsu", {}, "status"),
                ]
                for name, args, near in asked:
                    reply = await ask_all(house.socket, name, **args)
                    assert (reply.code, near in reply.hint) == (2, True), reply

    asyncio.run(work())


def test_groups_are_checked_stored_and_told(tmp_path: Path) -> None:
    written = Group(name="gateways", level=1)

    async def work() -> None:
        async with running(settings(tmp_path, groups=(written,))) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                assert agent.welcome is not None
                assert {g.name for g in agent.welcome.groups} == {"default", "gateways"}
                await greet(agent, house)
                await ask(house.socket, "group-set", name="web", owner="external", restarts=2)
                await ask(house.socket, "group-set", name="web", level=2)
                apart = {"priority": -7, "spread": "rack", "admit": "refuse"}
                await ask(house.socket, "group-set", name="web", **apart)
                told = msgspec.convert(agent.asked[-1].args["group"], Group)
                assert told == Group(
                    name="web",
                    owner=Owner.EXTERNAL,
                    level=2,
                    restarts=2,
                    priority=-7,
                    spread=Spread.RACK,
                    admit=Admission.REFUSE,
                )
                await ask(house.socket, "protect", vm="web-1", group="web")
                for args in (
                    {"name": "no good"},
                    {"name": "x", "level": 4},
                    {"name": "x", "owner": "me"},
                    {"name": "x", "spread": "far"},
                    {"name": "x", "priority": 101},
                    {"name": "x", "colour": "red"},
                ):
                    assert (await ask_all(house.socket, "group-set", **args)).code == 2
                for name, word in (("web", "still has web-1"), ("gateways", "settings file")):
                    assert word in (await ask_all(house.socket, "group-forget", name=name)).error
                await ask(house.socket, "protect", vm="web-1", group="default")
                await ask(house.socket, "group-forget", name="web")
                assert names(agent)[-1] == "group-forget"
                listed = msgspec.convert(await ask(house.socket, "groups"), list[Group])
                assert [g.name for g in listed] == ["default", "gateways"]

    asyncio.run(work())


@pytest.mark.slow
def test_disarm_has_an_owner_a_reason_and_an_end(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                data = await ask(house.socket, "disarm", reason="upgrade", seconds=1)
                assert data["disarm"]["owner"] == "anna"
                assert data["told"] == ["host-a"]
                assert names(agent) == ["disarm"]
                late = FakeAgent(house.socket, host="host-b")
                async with late.link():
                    assert late.welcome is not None
                    assert late.welcome.disarm is not None
                assert (await ask(house.socket, "status"))["disarm"]["reason"] == "upgrade"
                await wait_for(lambda: house.controller.registry.disarm() is None)
                assert (await ask(house.socket, "status"))["disarm"] is None
                for args in ({"reason": ""}, {"reason": "x", "seconds": 90_000}):
                    assert (await ask_all(house.socket, "disarm", **args)).code == 2
                await ask(house.socket, "disarm", reason="again")
                assert (await ask(house.socket, "arm"))["was"]["reason"] == "again"
                assert (await ask(house.socket, "arm"))["was"] is None

    asyncio.run(work())
