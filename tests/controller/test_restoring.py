"""A store that was put back from a backup: agents obey its leader, and nothing runs twice."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.adapters.stores.etcd import Etcd
from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.agent.terms import COMMANDS, Terms
from holdfast.controller.registry import Registry
from holdfast.controller.restoring import restore
from holdfast.facts import wire
from holdfast.facts.membership import CONTROLLERS, JOINS, JoinToken
from holdfast.facts.settings import ControllerPlace
from holdfast.facts.tenure import Tenure, Wanted
from holdfast.ports.store import Store, StoreAway
from tests.adapters.etcd_members import members, needs_etcd
from tests.controller.fake_agent import FakeAgent, ask, summary, wait_for
from tests.controller.house import House, running, settings

NOW_MS = 1_000_000


class Backup:
    """The store in a file, and a copy of it as docs/operate/site.md makes one."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "state" / "controller" / "store.db"
        self.copy = folder / "store.backup"

    def make(self) -> None:
        with sqlite3.connect(self.store) as db:
            db.execute(f"VACUUM INTO '{self.copy}'")

    def put_back(self) -> None:
        for ending in ("", "-wal", "-shm"):
            self.store.with_name(self.store.name + ending).unlink(missing_ok=True)
        shutil.copy(self.copy, self.store)

    async def become_another(self) -> None:
        await made_fit(Sqlite(self.store))


async def made_fit(store: Store) -> None:
    try:
        await restore(store, None, NOW_MS)
    finally:
        await store.close()


async def begun(store: Store) -> tuple[str, int, tuple[str, ...]]:
    """One life of a controller: what it tells agents of its store and term."""
    term = await store.begin_term("controller-1", 6_000)
    assert term is not None
    registry = Registry(store, lambda: term)
    await registry.begin(term)
    await store.end_term(term)
    await store.close()
    return registry.store_id, term, registry.replaces


async def answer(terms: Terms, name: str, store_id: str, term: int) -> str:
    async def obey(question: wire.Question) -> wire.Reply:
        return wire.Reply(id=question.id)

    question = wire.Question(id=1, name=name, term=term, store_id=store_id)
    return (await terms.guard(obey)(question)).error


async def check_obeyed(terms: Terms, old: tuple[str, int], new: tuple[str, int]) -> None:
    assert not terms.is_outdated(*new)
    assert terms.is_outdated(*old), "whoever still serves the old store is obeyed no more"
    assert terms.is_outdated(old[0], 10**9)
    for name in COMMANDS:
        assert await answer(terms, name, *new) == ""
        assert "replaced by a restored one" in await answer(terms, name, *old)


def test_agents_obey_the_leader_of_a_restored_file(tmp_path: Path) -> None:
    async def work() -> None:
        backup, terms = Backup(tmp_path), Terms(tmp_path / "term")
        heard = await begun(Sqlite(backup.store))
        backup.make()
        for _ in range(5):
            heard = await begun(Sqlite(backup.store))
            terms.heard(*heard)
        backup.put_back()
        as_it_was = await begun(Sqlite(backup.store))
        assert terms.is_outdated(*as_it_was[:2]), "an older copy under the old name is refused"
        backup.put_back()
        await backup.become_another()
        anew = await begun(Sqlite(backup.store))
        assert anew[1] < heard[1]
        assert not terms.is_outdated(*anew[:2])
        terms.heard(*anew)
        await check_obeyed(Terms(tmp_path / "term"), heard[:2], anew[:2])

    asyncio.run(work())


@needs_etcd
@pytest.mark.slow
def test_agents_obey_the_leader_of_a_restored_etcd(tmp_path: Path) -> None:
    async def work() -> None:
        terms = Terms()
        with members(tmp_path, 1) as made:
            member = made.all[0]
            data, copy = member.folder / member.name, tmp_path / "store.backup"
            heard = await begun(Etcd(made.endpoints))
            member.kill()
            shutil.copytree(data, copy)
            made.begin()
            for _ in range(3):
                heard = await begun(Etcd(made.endpoints))
                terms.heard(*heard)
            member.kill()
            shutil.rmtree(data)
            copy.rename(data)
            made.begin()
            await made_fit(Etcd(made.endpoints))
            anew = await begun(Etcd(made.endpoints))
        assert anew[1] < heard[1]
        assert not terms.is_outdated(*anew[:2])
        terms.heard(*anew)
        await check_obeyed(terms, heard[:2], anew[:2])

    asyncio.run(work())


def told(agent: FakeAgent) -> Tenure:
    assert agent.welcome is not None
    assert agent.welcome.is_complete
    (protection,) = agent.welcome.protections
    return protection.tenure


async def protect(house: House, agent: FakeAgent) -> Tenure:
    await agent.send(wire.Inventory(vms=(summary(),)))
    await wait_for(lambda: house.controller.agents.by_host[agent.host].has_told_vms)
    await ask(house.socket, "protect", vm="vm-1")
    held = house.controller.registry.protection("vm-1")
    assert held is not None
    return held.tenure


async def at_backup(folder: Path, backup: Backup) -> Tenure:
    """The VM is protected on host-a, and a copy is made."""
    async with running(settings(folder)) as house:
        agent = FakeAgent(house.socket)
        async with agent.link():
            held = await protect(house, agent)
        backup.make()
    return held


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
@pytest.mark.parametrize("wanted", list(Wanted))
def test_what_the_hosts_own_copy_confirms_is_granted_as_the_copy_says(
    tmp_path: Path, boot: str, wanted: Wanted
) -> None:
    async def work() -> None:
        backup = Backup(tmp_path)
        held = await at_backup(tmp_path, backup)
        copy = structs.replace(held, wanted=wanted, revision=held.revision + 2)
        backup.put_back()
        await backup.become_another()
        async with running(settings(tmp_path)) as house:
            again = FakeAgent(house.socket, boot=boot, tenures=(copy,))
            async with again.link():
                assert (told(again).boot, told(again).wanted) == (boot, wanted)

    asyncio.run(work())


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"])
def test_a_vm_that_went_to_another_host_since_the_backup_is_granted_to_nobody(
    tmp_path: Path, boot: str
) -> None:
    async def work() -> None:
        backup = Backup(tmp_path)
        await at_backup(tmp_path, backup)
        async with running(settings(tmp_path)) as house:
            async with FakeAgent(house.socket).link():
                await ask(house.socket, "unprotect", vm="vm-1")
            other = FakeAgent(house.socket, host="host-b", state_id="state-b")
            async with other.link():
                newest = await protect(house, other)
        assert newest.host == "host-b"
        backup.put_back()
        await backup.become_another()
        async with running(settings(tmp_path)) as house:
            assert (await ask(house.socket, "status"))["held_for_a_person"] == ["web-1"]
            for _ in range(2):
                other = FakeAgent(
                    house.socket, host="host-b", state_id="state-b", tenures=(newest,)
                )
                async with other.link():
                    assert told(other).host == "host-a", "its promise ends; its VM runs on"
                    assert (told(other).boot, told(other).generation) == ("", newest.generation)
                    status = await ask(house.socket, "status")
                    assert status["held_for_a_person"] == ["web-1"]
                first = FakeAgent(house.socket, boot=boot)
                async with first.link():
                    assert (told(first).host, told(first).boot) == ("host-a", "")
                    status = await ask(house.socket, "status")
                    assert status["held_for_a_person"] == ["web-1"]

    asyncio.run(work())


def place(name: str) -> ControllerPlace:
    return ControllerPlace(name=name, address="10.0.0.1", planes={})


async def put(store: StoreInMemory, key: str, value: msgspec.Struct) -> None:
    await store.txn(holds={}, puts={key: msgspec.json.encode(value)})


def test_join_tokens_serve_no_more_and_other_controllers_are_none() -> None:
    def token(name: str, used_by: str, until_utc_ms: int) -> JoinToken:
        return JoinToken(
            id=name,
            secret_sha256="",
            is_controller=False,
            made_utc_ms=0,
            until_utc_ms=until_utc_ms,
            used_by=used_by,
        )

    async def work() -> None:
        store = StoreInMemory()
        registry = Registry(store, lambda: 1)
        term = await store.begin_term("h1", 6_000)
        assert term is not None
        await registry.begin(term)
        for one in (token("a", "", 2 * NOW_MS), token("b", "h2", 2 * NOW_MS), token("c", "", 1)):
            await put(store, f"{JOINS}/{one.id}", one)
        for name in ("h2", "h3"):
            await put(store, f"{CONTROLLERS}/{name}", place(name))
        done = await restore(store, place("h1"), NOW_MS)
        assert (done.tokens, done.others) == (1, ("h2", "h3"))
        held = await store.list("")
        assert [key for key in held if key.startswith(CONTROLLERS)] == [f"{CONTROLLERS}/h1"]
        ended = msgspec.json.decode(held[f"{JOINS}/a"].value, type=JoinToken)
        assert ended.revoked_utc_ms == NOW_MS
        assert done.store_id != registry.store_id
        await registry.load()
        assert registry.store_id == done.store_id

    asyncio.run(work())


def test_an_empty_store_is_no_backup() -> None:
    async def work() -> None:
        with pytest.raises(StoreAway, match="is this the right backup"):
            await restore(StoreInMemory(), None, NOW_MS)

    asyncio.run(work())
