"""Fence devices and modes of hosts: what is taken, what is refused, and what nobody is told."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.adapters.drivers.fence_metadata import is_secret
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.fencing import MOST_DEVICES, Fencing, read_device
from holdfast.controller.registry import Registry
from holdfast.controller.watching import FOLDER
from holdfast.facts import wire
from holdfast.facts.fencing import Fence, FenceDevice, FenceStep, HostMode
from holdfast.facts.promises import Answer, Protection
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.ports.answers import Unanswerable
from holdfast.ports.fencer import PowerState
from tests.controller.fake_agent import FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.fake_fencer import AGENT, SECRET, FakeFencer
from tests.controller.house import House, running, settings
from tests.controller.store_between import StoreBetween, led
from tests.faces.api.site import api

IPMI: dict[str, Any] = {
    "agent": AGENT,
    "options": {"ip": "10.0.9.4", "username": "holdfast"},
    "secrets": {"password": SECRET},
}


@contextlib.asynccontextmanager
async def house_with_a_host(
    folder: Path, fencer: FakeFencer | None = None
) -> AsyncIterator[tuple[House, FakeAgent]]:
    """Host host-a is known, its agent linked, and web-1 runs on it."""
    given = fencer or FakeFencer(bmcs={"10.0.9.4": PowerState.ON})
    async with running(settings(folder), fencer=given) as house:
        agent = FakeAgent(house.socket)
        async with agent.link():
            await agent.send(wire.Inventory(vms=(summary(),)))
            await wait_for(house.controller.agents.all_vms)
            yield house, agent


def a_fence(step: FenceStep) -> Fence:
    return Fence(
        host="host-a",
        name="host-a",
        boot="boot-1",
        incident="i",
        number=1,
        term=1,
        step=step,
        reason="silent",
    )


def held_by(host: str) -> Protection:
    tenure = Tenure(
        vm="vm-1",
        generation=1,
        host=host,
        boot="boot-1",
        state=TenureState.HELD,
        wanted=Wanted.RUNNING,
    )
    return Protection(vm="vm-1", name="web-1", group="default", answer=Answer(), tenure=tenure)


async def listed(house: House, host: str = "host-a") -> dict[str, Any]:
    rows = await ask(house.socket, "fence-list")
    return next(row for row in rows if row["host_name"] == host)


def test_a_device_is_set_shown_without_its_secret_and_kept_with_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            told = await ask(house.socket, "fence-set", host="host-a", **IPMI)
            row = await listed(house)
            assert {k: v for k, v in told.items() if k != "warning"} == row
            [device] = row["devices"]
            assert device["secrets"] == ["password"]
            assert device["options"] == IPMI["options"]
            assert (row["mode"], row["set_by"]) == ("report", "anna")
            assert not row["is_fenceable"]
            assert row["why_not"] == "its fence devices have not been rehearsed yet"
        async with running(settings(tmp_path)) as house:
            [kept] = house.controller.registry.fencing("host-a").devices
            assert kept.secrets == {"password": SECRET}, "it outlives the controller"

    asyncio.run(work())


def test_a_ladder_has_places_that_are_filled_and_cleared_one_by_one(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):

            async def set_at(place: int, ip: str, agent: str = AGENT) -> None:
                args = {"host": "host-a", "level": place, "options": {"ip": ip}}
                await ask(house.socket, "fence-set", agent=agent, **args)

            async def ladder() -> list[str]:
                return [one["options"]["ip"] for one in (await listed(house))["devices"]]

            gap = await ask_all(house.socket, "fence-set", host="host-a", level=2, **IPMI)
            assert gap.error == "host-a has 0 fence devices: the next place is 1, not 2"
            await set_at(1, "1.1")
            await set_at(2, "2.2", "fence_redfish")
            await set_at(3, "3.3")
            await set_at(1, "1.9")
            assert await ladder() == ["1.9", "2.2", "3.3"]
            await ask(house.socket, "fence-clear", host="host-a", level=2)
            assert await ladder() == ["1.9", "3.3"]
            wrong = await ask_all(house.socket, "fence-clear", host="host-a", level=3)
            assert (wrong.code, "only 2 in all" in wrong.error) == (2, True)
            await ask(house.socket, "fence-clear", host="host-a")
            assert await ladder() == []
            none = await ask_all(house.socket, "fence-clear", host="host-a")
            assert none.error == "host-a has no fence device"

    asyncio.run(work())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"agent": "fence_virtual"}, "fence_virtual is not installed on this controller"),
        ({"options": {"username": "x"}}, "fence_ipmilan needs the option ip"),
        ({"agent": "../../bin/sh"}, "'../../bin/sh' is no fence agent"),
        ({"options": {"ip": "1", "password": SECRET}}, "password is a secret, and no option"),
        ({"options": {"ip": "1\naction=on"}}, "ip must be one line"),
        ({"secrets": {"password": f"{SECRET}\naction=on"}}, "password must be one line"),
        ({"secrets": {"password": ""}}, "password must be one line"),
        ({"secrets": SECRET}, "secrets are names with texts"),
        ({"secrets": {"password": [SECRET]}}, "secrets are names with texts"),
        ({"options": {"i p": "1"}}, "'i p' is no name of an option"),
        ({"options": {f"o{n}": "1" for n in range(60)}}, "60 options are too many"),
        ({"deadline_s": 1}, "a deadline is from 5 s to 300 s"),
        ({"deadline_s": 0}, "a deadline is from 5 s to 300 s"),
        ({"level": MOST_DEVICES + 1}, f"a ladder has {MOST_DEVICES} places at most"),
        ({"host": "host-b"}, "there is no host 'host-b'"),
    ],
)
def test_what_could_not_work_is_refused_in_a_sentence(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path, FakeFencer(repeats=True)) as (house, _):
            reply = await ask_all(
                house.socket, "fence-set", **{"host": "host-a", **IPMI, **changed}
            )
            assert said in reply.error
            assert reply.code in (2, 4)
            assert SECRET not in reply.error + reply.hint
            assert (await listed(house))["devices"] == []

    asyncio.run(work())


def test_a_host_is_acted_on_only_with_a_ladder_and_said_to_be_untried(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            bare = await ask_all(house.socket, "host-mode", host="host-a", mode="act")
            assert bare.error == "host-a has no fence device: nobody could switch it off"
            assert bare.hint.startswith("holdfast fence set host-a ")
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            untried = await ask(house.socket, "host-mode", host="host-a", mode="act")
            assert (untried["mode"], untried["was"]) == ("act", "report")
            assert untried["warning"] == "its fence devices have not been rehearsed yet"
            await ask(house.socket, "fence-rehearse", host="host-a")
            tried = await ask(house.socket, "host-mode", host="host-a", mode="act")
            assert (tried["was"], tried["warning"]) == ("act", "")
            wrong = await ask_all(house.socket, "host-mode", host="host-a", mode="kill")
            assert (wrong.code, wrong.error) == (2, "there is no mode 'kill'")
            [row] = await ask(house.socket, "hosts")
            assert (row["mode"], row["is_fenceable"], row["fence_devices"]) == (
                "act",
                True,
                [AGENT],
            )
            status = await ask(house.socket, "status")
            assert status["fencing"] == {"acting": 1, "fenceable": 1}
            assert house.controller.registry.fencing("host-a").mode is HostMode.ACT
            cleared = await ask(house.socket, "fence-clear", host="host-a")
            assert cleared["warning"] == "host-a was in mode act: from now on it is only reported"
            assert (await listed(house))["mode"] == "report"

    asyncio.run(work())


def test_a_mode_and_a_ladder_are_events_and_in_the_audit(tmp_path: Path) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            await ask(house.socket, "host-mode", host="host-a", mode="act")
            await ask(house.socket, "host-mode", host="host-a", mode="report")
            texts = [one["text"] for one in (await ask(house.socket, "events"))["events"]]
            who, options = "anna (administer, this host)", "ip 10.0.9.4, username holdfast"
            for text in (
                "host-a has the fence device fence_ipmilan at place 1 (set by anna)",
                "Holdfast acts when host-a is silent, from now on (set by anna)",
                "Holdfast only reports when host-a is silent, from now on (set by anna)",
                f"{who}: set the fence device fence_ipmilan of host-a ({options}): done",
                f"{who}: let Holdfast act when host-a dies: done",
            ):
                assert text in texts
            told = (await ask(house.socket, "audit"))["changes"]
            assert [one["what"] for one in told] == ["fence-set", "host-mode", "host-mode"]

    asyncio.run(work())


def written(folder: Path) -> dict[str, bytes]:
    """All that the controller keeps, but its store."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("store.db"):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@pytest.mark.parametrize("is_misused", [False, True])
def test_a_secret_is_in_the_store_and_nowhere_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_misused: bool
) -> None:
    """Not in the audit, a journal, an event, a log, an answer; not in a rehearsal that failed with
    an agent that repeats its input; not where somebody gave it as a plain option."""
    caplog.set_level(logging.DEBUG)

    async def work() -> None:
        fencer = FakeFencer(repeats=True, bmcs={"10.0.9.4": "login failed"})
        async with house_with_a_host(tmp_path, fencer) as (house, agent):
            if is_misused:
                options = {"ip": "10.0.9.4", "passwd": SECRET}
                args = {"host": "host-a", "agent": AGENT, "options": options}
                assert "is a secret" in (await ask_all(house.socket, "fence-set", **args)).error
            # One of them by a name that does not say what it is.
            both = {**IPMI, "secrets": {"password": SECRET, "cookie": SECRET}}
            await ask(house.socket, "fence-set", host="host-a", **both)
            await ask(house.socket, "host-mode", host="host-a", mode="act")
            told = await ask(house.socket, "fence-rehearse")
            assert "login failed" in told["hosts"][0]["devices"][0]["said"]
            answers = [told, await ask(house.socket, "host-confirm-dead", host="host-a")]
            looks = ("status", "hosts", "agents", "alarms", "audit", "events", "fence-list")
            answers += [await ask(house.socket, name) for name in looks]
            answers.append(await ask(house.socket, "host", host="host-a"))
            peers = await house.controller.replicas.peers.journals()
            texts = [msgspec.json.encode(one).decode() for one in [*answers, peers]]
            texts += [wire.encode(one).decode() for one in agent.asked]
            assert [text for text in texts if SECRET in text] == []
            house.controller.watch.forget("host-z")  # So that the journal is not empty.

    asyncio.run(work())
    kept = written(tmp_path)
    assert any(f"controller/{FOLDER}/" in name for name in kept)
    assert [name for name, data in kept.items() if SECRET.encode() in data] == []
    assert SECRET not in caplog.text
    in_store = [p for p in tmp_path.rglob("store.db*") if SECRET.encode() in p.read_bytes()]
    assert in_store, "the store has it: else this test would look for nothing"


def test_a_device_in_a_log_or_an_error_shows_names_of_secrets_alone() -> None:
    device = FenceDevice(agent=AGENT, options={"ip": "1"}, secrets={"password": SECRET})
    assert repr(device) == "FenceDevice(fence_ipmilan with ip=1 and password)"
    assert SECRET not in f"{(device,)!r} {device}"


@pytest.mark.parametrize("name", ["password", "passwd", "snmp_priv_passwd", "secret_key", "token"])
def test_an_option_whose_name_says_secret_is_one(name: str) -> None:
    assert is_secret(name)
    with pytest.raises(Unanswerable, match="is a secret") as raised:
        read_device({"agent": AGENT, "options": {name: SECRET}})
    assert raised.value.hint == f"--secret {name} asks for it without showing it"


@pytest.mark.parametrize("name", ["ip", "username", "password_script", "identity_file", "auth"])
def test_other_options_are_shown(name: str) -> None:
    assert not is_secret(name)


def fencing_of(registry: Registry) -> Fencing:
    return Fencing(registry, FakeFencer(), lambda name: {"host": name, "host_name": name})


def at(ip: str, **more: Any) -> dict[str, Any]:
    return {"host": "h", "agent": AGENT, "options": {"ip": ip}, **more}


def test_a_ladder_that_another_changed_meanwhile_is_not_overwritten() -> None:
    """Through another controller, while the store did not say whether it took this change."""

    async def work() -> None:
        store = StoreBetween()
        registry = await led(store)
        other = Registry(store, lambda: registry_term)
        registry_term = await store.begin_term("controller-2", 60_000) or 1
        await other.load()

        async def other_sets() -> None:
            await fencing_of(other).set_device(at("2"), "bert")

        store.lose_next_answer(committed=False)
        store.between = other_sets
        with pytest.raises(Unanswerable, match="bert changed this host's fencing meanwhile"):
            await fencing_of(registry).set_device(at("1"), "anna")
        assert other.fencing("h").devices[0].options == {"ip": "2"}

    asyncio.run(work())


@pytest.mark.parametrize("committed", [False, True])
def test_a_device_is_taken_away_once_also_where_the_store_does_not_say(committed: bool) -> None:
    async def work() -> None:
        store = StoreInMemory()
        registry = await led(store)
        fencing = fencing_of(registry)
        for place in (1, 2, 3):
            await fencing.set_device(at(str(place), level=place), "anna")
        store.lose_next_answer(committed=committed)
        await fencing.clear({"host": "h", "level": 1}, "anna")
        left = [one.options["ip"] for one in registry.fencing("h").devices]
        assert left == ["2", "3"]

    asyncio.run(work())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("holds", [False, True])
def test_a_host_that_is_put_out_of_the_site_takes_its_secrets_with_it(
    tmp_path: Path, holds: bool
) -> None:
    """And its fence, unless a VM that it held may still need the proof."""

    async def work() -> None:
        async with api(tmp_path) as site:
            registry, joining = site.controller.registry, site.controller.joining
            agent = FakeAgent(tmp_path / "run" / "controller.sock")
            async with agent.link():
                await wait_for(lambda: registry.known("host-a") is not None)
                fencing = Fencing(registry, FakeFencer(), site.controller.hosts.find)
                await fencing.set_device({"host": "host-a", **IPMI}, "anna")
                assert joining is not None
                await registry.change(lambda: {"fences/host-a": a_fence(FenceStep.OFF)})
                if holds:
                    await registry.change(lambda: {"protections/vm-1": held_by("host-a")})
                await joining.put_out("host-a", "host-a", "gone", "anna")
                assert (registry.fence("host-a") is not None) is holds
                for key in ("agents/host-a", "fencing/host-a", "rehearsals/host-a"):
                    assert key not in registry
                assert "host-a" not in site.controller.watch.decider.world.hosts

    asyncio.run(work())


CHANGES: dict[str, dict[str, Any]] = {
    "fence-set": IPMI,
    "fence-clear": {},
    "fence-rehearse": {},
    "host-mode": {"mode": "report"},
    "host-confirm-dead": {},
}


def test_who_does_not_lead_changes_nothing_and_says_who_does(tmp_path: Path) -> None:
    """A follower's ears are not the leader's: also what is heard of a host is the leader's."""

    async def work() -> None:
        store = StoreInMemory()
        store.elect_another("controller-2")
        async with running(settings(tmp_path), store, FakeFencer()) as house:
            await wait_for(lambda: house.controller.leadership.leader == "controller-2")
            for name, args in CHANGES.items():
                reply = await ask_all(house.socket, name, host="host-a", **args)
                assert reply.error == "nothing can be changed now: controller controller-2 leads"
                assert reply.hint.startswith("ask controller-2"), name
            assert await ask(house.socket, "fence-list") == []

    asyncio.run(work())
