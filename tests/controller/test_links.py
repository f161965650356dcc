"""Agents and controllers of a site over real TLS: who is let in, who is told, whom who obeys."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.adapters.drivers.authority import Authority, Subject
from holdfast.adapters.drivers.dials import tls_dial
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.adapters.vims.builtin import Builtin
from holdfast.facts import wire
from holdfast.facts.alarms import AlarmRecord, AlarmState
from holdfast.facts.hearing import Sign
from tests.adapters.http_receiver import Receiver
from tests.controller.fake_agent import alarm, ask_all, wait_for
from tests.controller.site import NAMES, Host, certify, issued_to, list_certificate, site_of


def test_an_agent_is_linked_to_all_and_one_of_them_tells_the_notifier(tmp_path: Path) -> None:
    async def work() -> None:
        store, receiver = StoreInMemory(), Receiver()
        async with site_of(tmp_path, [store] * 3, receiver.url) as site:
            leader = await site.wait_leader()
            async with Host(site, "host-a").running() as host:
                await wait_for(lambda: sorted(host.up_at()) == ["alpha", "beta", "gamma"])
                assert host.uplink.shown()[leader] == "leads"
                for number in range(1, 6):
                    host.report(alarm(number))
                await wait_for(lambda: not host.outbox.waiting)
                vims = [one.vim for one in site.controllers.values()]
                await wait_for(lambda: all(len(vim.open_ones()) == 5 for vim in vims))
                await wait_for(lambda: len(receiver.alarms()) >= 5)
                await asyncio.sleep(0.5)
                assert len(receiver.alarms()) == 5, "one replica told it, for all of them"
                assert {one["host"] for one in receiver.alarms()} == {leader}
        receiver.down()

    asyncio.run(work())


def test_what_one_controller_was_told_that_a_person_has_seen_all_know(tmp_path: Path) -> None:
    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()] * 3) as site:
            leader = await site.wait_leader()
            vims = [one.vim for one in site.controllers.values()]
            async with Host(site, "host-a").running() as host:
                await wait_for(lambda: sorted(host.up_at()) == ["alpha", "beta", "gamma"])
                host.report(alarm(1))
                await wait_for(lambda: all(len(vim.open_ones()) == 1 for vim in vims))
                asked = next(name for name in NAMES if name != leader)
                key = alarm(1).key
                done = await ask_all(site.socket(asked), "acknowledge", key=key)
                assert done.error == ""
                await wait_for(lambda: all(one.acknowledged_by for one in seen(vims)))
                for one in site.controllers.values():
                    told = one.events.newest_ones(10).events
                    lines = [msgspec.json.decode(raw)["text"] for _, raw in told]
                    assert sum("has seen: web-1" in line for line in lines) == 1
                    assert sum("raised" in line for line in lines) == 1
                host.report(alarm(1, 2, AlarmState.CHANGED))
                await wait_for(lambda: all(one.alarm.revision == 2 for one in seen(vims)))
                assert all(one.acknowledged_by for one in seen(vims))
                host.report(alarm(1, 3, AlarmState.CLEARED))
                host.report(alarm(1, 4))
                await wait_for(lambda: all(one.alarm.revision == 4 for one in seen(vims)))
                assert not any(one.acknowledged_by for one in seen(vims)), "this is another one"

    def seen(vims: list[Builtin]) -> list[AlarmRecord]:
        return [record for vim in vims for record in vim.open_ones()]

    asyncio.run(work())


def test_nobody_greets_in_the_name_of_another_host(tmp_path: Path) -> None:
    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()]) as site:
            await site.wait_leader()
            thief = Host(site, "host-a", certified_as="host-b")
            async with thief.running():
                await wait_for(lambda: any(w.refusal for w in thief.welcomes))
                refusal = next(w.refusal for w in thief.welcomes if w.refusal)
                assert "host-a shows the certificate of host-b" in refusal
                assert site.controllers["alpha"].agents.by_host == {}
                assert "host-b" in thief.uplink.shown()["alpha"]

    asyncio.run(work())


def test_a_certificate_of_another_site_opens_nothing_and_is_told_why(tmp_path: Path) -> None:
    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()]) as site:
            await site.wait_leader()
            own, site.authority = site.authority, Authority.make("another site")
            stranger = Host(site, "host-a")
            site.authority = own
            async with stranger.running():
                await wait_for(lambda: "another site" in stranger.uplink.shown()["alpha"])
            assert stranger.welcomes == []

    asyncio.run(work())


def test_an_agent_may_not_ask_and_may_not_tell_for_others(tmp_path: Path) -> None:
    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()]) as site:
            await site.wait_leader()
            host = Host(site, "host-a")
            controller = site.controllers["alpha"]
            place = site.places[0]
            dial = tls_dial("alpha", place.address, site.link_port, lambda: host.certificates)
            async with dial.open() as link:
                await link.send(wire.encode(wire.Question(id=1, name="disarm")), text=True)
                reply = wire.decode(await link.recv())
                assert isinstance(reply, wire.Reply)
                assert "host-a may not ask here" in reply.error
                await link.send(wire.encode(host.hello()), text=True)
                assert isinstance(wire.decode(await link.recv()), wire.Welcome)
                entry = wire.Entry(host="host-b", stream="boot-1.x", sequence=1)
                await link.send(wire.encode(entry), text=True)
                await wait_for(lambda: controller.door.unknown == 1)

    asyncio.run(work())


@pytest.mark.slow
def test_a_revoked_certificate_keeps_no_link_and_opens_none(tmp_path: Path) -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with site_of(tmp_path, [store]) as site:
            await site.wait_leader()
            async with Host(site, "host-a").running() as host:
                await wait_for(host.up_at)
                revoked = issued_to(host.certificates.me, revoked_utc_ms=2)
                await list_certificate(store, revoked)
                await wait_for(lambda: not host.up_at())
                await wait_for(lambda: "is revoked" in host.uplink.shown()["alpha"])

    asyncio.run(work())


@pytest.mark.slow
def test_a_certificate_that_ends_closes_its_link_and_a_renewed_one_opens_it(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()]) as site:
            await site.wait_leader()
            async with Host(site, "host-a", valid_s=4).running() as host:
                await wait_for(host.up_at)
                await wait_for(lambda: not host.up_at())
                await wait_for(lambda: "has expired" in host.uplink.shown()["alpha"])
                subject = Subject("host-a", "host-a")
                certify(site.folder / "host-a" / "tls", site.authority, subject)
                await wait_for(host.up_at)

    asyncio.run(work())


def test_controllers_ask_each_other_and_only_they_may(tmp_path: Path) -> None:
    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()] * 3) as site:
            await site.wait_leader()
            alpha, beta = site.controllers["alpha"], site.controllers["beta"]
            await wait_for(lambda: set(alpha.replicas.peers.shown().values()) == {"up"})
            assert alpha.replicas.shown()["store_kind"] == "etcd"
            said = await alpha.replicas.peers.ask_peers("host-a")
            assert [(one.witness, one.sign) for one in said] == [
                ("beta", Sign.UNKNOWN),
                ("gamma", Sign.UNKNOWN),
            ]
            beta.replicas.peers.heard = lambda _: msgspec.structs.replace(
                alpha.replicas.peers.heard("x"), sign=Sign.PULSE
            )
            said = await alpha.replicas.peers.ask_peers("host-a")
            assert [one.sign for one in said] == [Sign.PULSE, Sign.UNKNOWN]
            await site.end("gamma")
            said = await alpha.replicas.peers.ask_peers("host-a")
            assert [one.sign for one in said] == [Sign.PULSE, Sign.UNKNOWN], "it does not wait"
            found = await alpha.replicas.peers.journals()
            assert list(found) == ["alpha", "beta", "gamma"]
            assert any(one["body"]["is"] == "SiteBegan" for one in found["beta"])
            assert "does not answer" in found["gamma"][0]["error"]

    asyncio.run(work())


def test_who_does_not_lead_refuses_changes_and_names_who_does(tmp_path: Path) -> None:
    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()] * 3) as site:
            leader = await site.wait_leader()
            other = next(name for name in site.controllers if name != leader)
            await wait_for(lambda: site.controllers[other].leadership.leader == leader)
            reply = await ask_all(site.socket(other), "disarm", reason="test")
            assert f"controller {leader} leads" in reply.error
            await ask_all(site.socket(leader), "disarm", reason="test", seconds=60)
            await wait_for(lambda: site.controllers[other].registry.disarm() is not None)
            status = await ask_all(site.socket(other), "status")
            assert status.data["leader"] == leader
            assert status.data["disarm"]["reason"] == "test"

    asyncio.run(work())


@pytest.mark.slow
def test_a_controller_that_does_not_lead_puts_a_host_out(tmp_path: Path) -> None:
    """The leader may be the very one that is gone or stolen: no term is needed to revoke."""

    async def work() -> None:
        store = StoreInMemory()
        async with site_of(tmp_path, [store] * 3) as site:
            leader = await site.wait_leader()
            other = next(name for name in site.controllers if name != leader)
            async with Host(site, "host-a").running() as host:
                await wait_for(lambda: host.uplink.shown()[leader] == "leads")
                one = site.controllers[leader]
                await wait_for(lambda: one.registry.known("host-a") is not None)
                issued = issued_to(host.certificates.me)
                await list_certificate(store, issued)
                done = await site.ask(
                    other, "certificate-revoke", name="host-a", reason="it was stolen"
                )
                assert done == {"revoked": [issued.serial], "hosts": ["host-a"]}
                await wait_for(lambda: not host.up_at())
                await wait_for(lambda: one.registry.known("host-a") is None)
                everybody = site.controllers.values()
                await wait_for(lambda: not any(c.agents.by_host for c in everybody))

    asyncio.run(work())


@pytest.mark.slow
@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_controller_that_was_put_out_knows_it(tmp_path: Path, is_cut_off: bool) -> None:
    """By the list of the site; where that is not reached any more, by those who refuse it."""

    async def work() -> None:
        one, other = StoreInMemory(), StoreInMemory()
        async with site_of(tmp_path, [one, one, other if is_cut_off else one]) as site:
            alpha, gamma = site.controllers["alpha"], site.controllers["gamma"]
            await wait_for(lambda: set(gamma.replicas.peers.shown().values()) == {"up"})
            assert not (await gamma.status())["is_put_out"]
            assert gamma.certificates is not None
            revoked = issued_to(gamma.certificates.me, revoked_utc_ms=2)
            await list_certificate(one, revoked)
            await wait_until(gamma.status, "is_put_out")
            assert not (await alpha.status())["is_put_out"]

    asyncio.run(work())


async def wait_until(ask: Callable[[], Awaitable[dict[str, Any]]], said: str) -> None:
    for _ in range(300):
        if (await ask())[said]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not {said} within 15 s")


class Restorable(StoreInMemory):
    """A store that a person puts back to how it was at first: empty."""

    async def begin_anew(self) -> None:
        self._held, self._changes, self._revision, self._term = {}, [], 5, None
        await self.lose_watches()


@pytest.mark.slow
def test_a_store_that_was_made_anew_takes_no_open_alarm_away(tmp_path: Path) -> None:
    async def work() -> None:
        store = Restorable()
        async with site_of(tmp_path, [store] * 3) as site:
            leader = await site.wait_leader()
            async with Host(site, "host-a").running() as host:
                await wait_for(lambda: host.uplink.shown()[leader] == "leads")
                for number in range(20):
                    host.report(alarm(number))
                ones = list(site.controllers.values())
                await wait_for(lambda: all(len(one.vim.open_ones()) == 20 for one in ones))
                await wait_for(lambda: not any(one.replicas.shared.folder.waiting for one in ones))
                was = ones[0].registry.store_id
                await store.begin_anew()
                await wait_for(lambda: all(one.registry.store_id not in ("", was) for one in ones))
                await wait_for(lambda: all(one.replicas.following.is_live for one in ones))
                await wait_for(lambda: not any(one.replicas.shared.folder.waiting for one in ones))
                assert len(await store.list("alarms/")) == 20
                assert all(len(one.vim.open_ones()) == 20 for one in ones)
                leader = await site.wait_leader()
                reply = await ask_all(site.socket(leader), "disarm", reason="test", seconds=60)
                assert reply.error == "", "what was known of the old store hinders no change"

    asyncio.run(work())
