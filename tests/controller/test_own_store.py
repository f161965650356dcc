"""A controller tells of the store's member beside it when that is away: the others serve on."""

import asyncio
from pathlib import Path

import pytest

from holdfast.adapters.drivers.etcd_gateway import EtcdGateway
from holdfast.adapters.simulated.vims import VimInMemory
from holdfast.controller.own_alarms import OwnAlarms
from holdfast.controller.own_store import OwnStore, own_store
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.ports.journal import Losses
from tests.adapters.etcd_members import Member, Members, free_ports, needs_etcd
from tests.controller.fake_agent import wait_for


@needs_etcd
@pytest.mark.slow
def test_a_member_that_dies_is_told_of_until_it_answers_again(tmp_path: Path) -> None:
    async def work() -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        member = Member("m1", tmp_path, client, peer)
        members = Members([member])
        await asyncio.to_thread(members.begin)
        store = OwnStore(EtcdGateway((client,)), look_s=0.05, away_after_s=0.5)
        looking = asyncio.create_task(store.run())
        try:
            await asyncio.sleep(1.0)
            assert store.trouble == ""
            member.kill()
            await wait_for(lambda: bool(store.trouble))
            assert store.trouble.startswith("the store on this host does not answer: ")
            await asyncio.to_thread(members.begin_again, member)
            await wait_for(lambda: not store.trouble)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            member.kill()

    asyncio.run(work())


def test_it_is_an_alarm_as_long_as_it_lasts() -> None:
    async def work() -> None:
        vim = VimInMemory()
        own = OwnAlarms(vim, "h1", "boot-1")
        for said, conditions in (("it is away", ["store-member-lost"]), ("", [])):
            await own.look(None, 0, Losses(), 0, store=said)
            assert [one.alarm.condition for one in await vim.alarms()] == conditions

    asyncio.run(work())


def test_a_controller_without_one_looks_at_nothing() -> None:
    place = ControllerPlace(name="h1", address="10.0.0.1")
    settings = Settings(controllers=(place,), etcd_endpoints=("https://10.0.0.9:2379",))
    assert own_store(settings, "h1", None) is None
