"""What is passed on to the agent, what is kept here, and frames that make no sense."""

import asyncio
import json
import os
import stat
import time
from pathlib import Path

import msgspec
from websockets.asyncio.client import unix_connect

from holdfast.controller.copies import FILE_BYTES, Copies
from holdfast.controller.questions import OF_SITE
from holdfast.facts import wire
from holdfast.facts.change_words import said
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.promises import Owner
from holdfast.facts.subjects import Incarnation
from tests.controller.fake_agent import FakeAgent, ask, ask_all, report, summary, wait_for
from tests.controller.house import running, settings


def incident(number: int, state: IncidentState = IncidentState.OPEN) -> Incident:
    return Incident(
        id=f"web-1-{number:04x}",
        vm="vm-1",
        name="web-1",
        life=Incarnation(vm="vm-1", boot="boot-1", pid=number, started_ticks=1),
        group="default",
        owner=Owner.HOLDFAST,
        state=state,
        title="web-1 was killed",
        fault_at=Instant(number),
        detected_at=Instant(number),
        fault_utc_ms=number,
    )


def test_incidents_are_kept_over_a_restart_and_found_by_name(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.tell(1, incident=incident(1))
                await agent.tell(2, incident=incident(1, IncidentState.CLOSED))
                await agent.tell(3, incident=incident(2))
                await agent.wait_answered(3)
        async with running(settings(tmp_path)) as house:
            listed = msgspec.convert(await ask(house.socket, "incidents"), list[Incident])
            assert [(i.id, i.state.value) for i in listed] == [
                ("web-1-0001", "closed"),
                ("web-1-0002", "open"),
            ]
            story = await ask(house.socket, "explain")
            assert story["incident"]["id"] == "web-1-0002", "also while its agent is away"
            assert (story["records"], story["missing"]) == (
                [],
                ["the agent of host host-a is away"],
            )
            agent = FakeAgent(house.socket)
            agent.answers["explain"] = lambda q: wire.Reply(id=q.id, data={"story": q.args})
            async with agent.link():
                told = await ask(house.socket, "explain")
                assert told["story"] == {"incident": "web-1-0002"}, (
                    "the same one that is meant here"
                )
                named = await ask(house.socket, "explain", incident="web-1-0001")
                assert named["story"] == {"incident": "web-1-0001"}
                forgot = "there is no incident 'web-1-0002'"
                agent.answers["explain"] = lambda q: wire.Reply(id=q.id, error=forgot, code=2)
                story = await ask(house.socket, "explain")
                assert (story["incident"]["id"], story["missing"]) == ("web-1-0002", [forgot])
                wrong = await ask_all(house.socket, "settle", incident="web-1-0003")
                assert (wrong.code, "web-1-000" in wrong.hint) == (2, True)
                open_ones = (await ask(house.socket, "status"))["incidents"]
                assert [one["id"] for one in open_ones] == ["web-1-0002"]

    asyncio.run(work())


def test_an_incident_is_found_by_the_name_that_its_vm_has_now(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            agent.answers["explain"] = lambda q: wire.Reply(id=q.id, data={"story": q.args})
            async with agent.link():
                await agent.tell(1, incident=incident(1))
                await agent.send(wire.Inventory(vms=(summary(name="web-new"),)))
                await agent.wait_answered(1)
                await wait_for(lambda: house.controller.agents.all_vms()[0].name == "web-new")
                for name in ("web-1", "web-new", "vm-1"):
                    found = await ask(house.socket, "incident", incident=name)
                    assert found["id"] == "web-1-0001", name
                told = await ask(house.socket, "explain", incident="web-new")
                assert told
                unknown = await ask_all(house.socket, "explain", incident="web-2")
                assert unknown.code == 2

    asyncio.run(work())


def test_the_agents_refusal_is_passed_on_with_its_hint_and_code(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            agent.answers["recover"] = lambda q: wire.Reply(
                id=q.id, error=f"{q.args['vm']} runs", hint="look", code=4
            )
            async with agent.link():
                await agent.send(wire.Inventory(vms=(summary(),)))
                await wait_for(house.controller.agents.all_vms)
                reply = await ask_all(house.socket, "recover", vm="web-1")
                assert (reply.error, reply.hint, reply.code) == ("vm-1 runs", "look", 4)

    asyncio.run(work())


def test_an_agent_that_breaks_off_while_asked_is_an_error_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            agent.answers["recover"] = lambda _: None
            async with agent.link():
                await agent.send(wire.Inventory(vms=(summary(),)))
                await wait_for(house.controller.agents.all_vms)
                asking = asyncio.create_task(ask_all(house.socket, "recover", vm="web-1"))
                await agent.wait(lambda: bool(agent.asked))
            reply = await asking
            assert (reply.code, "went away while it was asked" in reply.error) == (3, True)

    asyncio.run(work())


def test_status_names_agents_once_they_told_their_vms(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                assert (await ask(house.socket, "status"))["agents"] == []
                await agent.send(wire.Inventory(vms=(summary(),)))
                await wait_for(house.controller.agents.all_vms)
                status = await ask(house.socket, "status")
                assert [(row["host"], row["is_up"]) for row in status["agents"]] == [
                    ("host-a", True)
                ]
                assert await ask(house.socket, "agents") == status["agents"]
                assert status["store"] == "answers"
                assert status["term"] == 1
        async with running(settings(tmp_path)) as house:
            status = await ask(house.socket, "status")
            assert (status["agents"], status["agents_awaited"]) == ([], ["host-a"])
            assert [vm["name"] for vm in status["vms"]] == ["web-1"], "names outlive the controller"

    asyncio.run(work())


def test_a_host_is_shown_with_the_alarms_that_its_agent_told(tmp_path: Path) -> None:
    """Alarms bear the host's name, and hosts are known by their ids."""

    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket, host="0a1b2c3d")
            agent.hello = msgspec.structs.replace(agent.hello, host_name="host-a")
            other = FakeAgent(house.socket, host="host-b", boot="boot-2")
            async with agent.link(), other.link():
                await agent.tell(1, alarm=report(1))
                await agent.wait_answered(1)
                for host, count in (("host-a", 1), ("host-b", 0)):
                    shown = await ask(house.socket, "host", host=host)
                    assert len(shown["alarms"]) == count, host

    asyncio.run(work())


def test_frames_that_make_no_sense_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            async with unix_connect(str(house.socket), compression=None) as link:
                for raw in (
                    "no json",
                    '{"is":"Unheard"}',
                    "[]",
                    wire.encode(wire.Inventory(vms=(summary(),))).decode(),
                    wire.encode(
                        wire.Welcome(version=1, term=1, groups=(), protections=())
                    ).decode(),
                ):
                    await link.send(raw)
                await link.send(wire.encode(wire.Question(id=1, name="status")).decode())
                replies = [wire.decode(await asyncio.wait_for(link.recv(), 10)) for _ in range(4)]
            *refused, reply = replies
            for one in refused:
                assert isinstance(one, wire.Reply)
                assert (one.id, one.code) == (0, 2)
                assert one.error.startswith("that is no question: ")
            assert isinstance(reply, wire.Reply)
            assert reply.data["unknown_frames"] == 5
            assert reply.data["vms"] == []
            assert stat.S_IMODE(house.socket.stat().st_mode) == 0o600

    asyncio.run(work())


def test_copies_of_the_recorder_are_kept_bounded_and_without_repeats(tmp_path: Path) -> None:
    copies = Copies(tmp_path / "copies")
    lines = [json.dumps({"n": n, "text": "x" * 200}) for n in range(5_000)]
    for start in range(0, 4_990, 10):
        copies.add({"vm-1": "\n".join(lines[start : start + 20])})
    path = copies.path("vm-1")
    found = [json.loads(line)["n"] for line in path.read_text().splitlines()]
    assert found == list(range(found[0], 5_000)), "newest, in order, each once"
    assert path.stat().st_size <= FILE_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Copies(tmp_path / "copies")
    again.add({"vm-1": lines[-1]})
    assert path.read_text().count('"n": 4999,') == 1, "also after a restart"
    again.add({"../evil": "x"})
    assert again.losses().count == 1


def test_the_oldest_copies_make_room_for_new_ones_while_it_runs(tmp_path: Path) -> None:
    copies = Copies(tmp_path / "copies", files_kept=10)
    for number in range(50):
        copies.add({f"vm-{number}": "{}"})
        os.utime(copies.path(f"vm-{number}"), (time.time() - 100 + number,) * 2)
        assert len(list((tmp_path / "copies").iterdir())) <= 10
        assert copies.newest(f"vm-{number}", 1) == ["{}"]
    copies.add({"vm-0": "{}"})
    assert copies.newest("vm-0", 1) == ["{}"], "it can come back"
    assert copies.losses().count == 0


def test_a_copy_sent_by_an_agent_is_kept(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.send(wire.Inventory(vms=(summary(),)))
                pieces = {"vm-1": '{"n":1}\n{"n":2}', "vm-2": '{"n":1}'}
                await agent.send(wire.RecorderCopy(pieces=pieces))
                copy = tmp_path / "state" / "recorder-copies" / "vm-1.jsonl"
                await wait_for(copy.exists)
                assert copy.read_text() == '{"n":1}\n{"n":2}\n'
                assert list(copy.parent.iterdir()) == [copy], "it lists no other VM"

    asyncio.run(work())


def test_a_controller_without_a_site_says_that_it_has_none(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            for name in OF_SITE:
                reply = await ask_all(house.socket, name)
                assert reply.error == "this host belongs to no site"
                assert reply.hint == "make one: sudo holdfast init"
            assert "no question" in (await ask_all(house.socket, "sing")).error

    asyncio.run(work())


def test_a_change_names_the_vm_that_a_program_gave_by_its_uuid(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await agent.send(wire.Inventory(vms=(summary(),)))
                await wait_for(lambda: bool(house.controller.agents.all_vms()))
                await ask_all(house.socket, "unprotect", vm="vm-1")
                [change] = (await ask(house.socket, "audit"))["changes"]
                assert change["args"] == {"vm": "vm-1", "vm_name": "web-1"}
                assert said(change["what"], change["args"]) == "protect web-1 no longer"
                texts = [one["text"] for one in (await ask(house.socket, "events"))["events"]]
                assert any("protect web-1 no longer" in text for text in texts)

    asyncio.run(work())


def test_a_hosts_incident_names_those_of_vms_that_were_started_because_of_it(
    tmp_path: Path,
) -> None:
    """As agents name it in theirs: the leader's order says it."""
    lost = msgspec.structs.replace(
        incident(9), id="h4-8dd6", host="id-h4", name="h4", vm="", life=None, group=""
    )
    mine = msgspec.structs.replace(incident(1), cause="host h4 is dead (incident h4-8dd6)")

    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            house.controller.entries.keep_incident("id-h4", lost, ("site", 1))
            house.controller.entries.keep_incident("host-a", mine, ("b", 1))
            house.controller.entries.keep_incident("host-a", incident(2), ("b", 2))
            told = await ask(house.socket, "explain", incident="h4-8dd6")
            assert told["vms"] == {"vm-1": "web-1-0001"}

    asyncio.run(work())
