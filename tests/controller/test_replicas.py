"""Three controllers on three members of etcd: leaders that die, splits, and nothing done twice."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from holdfast.adapters.stores.etcd import Etcd
from holdfast.controller.leadership import CHANGE_LIMIT_MS
from holdfast.facts import wire
from holdfast.facts.alarms import AlarmState
from holdfast.ports.store import Changed, Held, StoreAway, Txn, WatchLost
from tests.adapters.etcd_members import Members, members, needs_etcd
from tests.adapters.http_receiver import Receiver
from tests.controller.fake_agent import alarm, ask_all, report, summary, wait_for
from tests.controller.site import NAMES, Host, Site, site_of

pytestmark = [needs_etcd, pytest.mark.slow]
TOLD_LIMIT_S = 2.0  # A second, and what a busy machine is late by: figures are the drills'.
CHANGE_S = CHANGE_LIMIT_MS / 1_000
LIMIT_S = 100.0


class Cuttable:
    """A controller's way to the store, which can be cut: it hears nothing and says nothing."""

    def __init__(self, store: Etcd) -> None:
        self._store = store
        self.whole = asyncio.Event()
        self.whole.set()

    def cut(self) -> None:
        self.whole.clear()

    def mend(self) -> None:
        self.whole.set()

    async def _through(self) -> Etcd:
        if not self.whole.is_set():
            await asyncio.sleep(0.5)
            raise StoreAway("the store does not serve (cut off)")
        return self._store

    async def begin_term(self, owner: str, lease_ms: int) -> int | None:
        return await (await self._through()).begin_term(owner, lease_ms)

    async def keep_term(self, term: int) -> bool:
        return await (await self._through()).keep_term(term)

    async def end_term(self, term: int) -> None:
        await (await self._through()).end_term(term)

    async def leader(self) -> str:
        return await (await self._through()).leader()

    async def wait_vacant(self) -> None:
        await (await self._through()).wait_vacant()

    async def newest(self) -> int:
        return await (await self._through()).newest()

    async def get(self, key: str) -> Held | None:
        return await (await self._through()).get(key)

    async def list(self, prefix: str) -> dict[str, Held]:
        return await (await self._through()).list(prefix)

    async def txn(
        self,
        *,
        holds: Mapping[str, int],
        puts: Mapping[str, bytes | None],
        term: int | None = None,
    ) -> Txn:
        return await (await self._through()).txn(holds=holds, puts=puts, term=term)

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changed | WatchLost]:
        watch = (await self._through()).watch(prefix, after_revision)
        coming: asyncio.Future[Changed | WatchLost] | None = None
        try:
            while True:
                coming = asyncio.ensure_future(anext(watch))
                while not (await asyncio.wait({coming}, timeout=0.2))[0]:
                    await self._through()
                await self._through()
                yield coming.result()
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})
            await watch.aclose()  # type: ignore[attr-defined]

    async def close(self) -> None:
        await self._store.close()


class Scene:
    def __init__(self, site: Site, ways: dict[str, Cuttable], made: Members) -> None:
        self.site, self.ways, self.members = site, ways, made
        self.led: list[tuple[str, int]] = []  # Who was seen to lead, and in which term.

    async def kill(self, name: str) -> None:
        """As kill -9 would: its term is not ended, and nobody is told."""
        self.ways[name].cut()
        await self.site.end(name)

    async def wait_other(self, than: str) -> str:
        await wait_for(lambda: [n for n in self.site.leading() if n != than], CHANGE_S + 10)
        return next(n for n in self.site.leading() if n != than)

    async def watch_terms(self) -> None:
        """Two that lead at the same time break the law."""
        while True:
            leading = [
                (name, one.leadership.term)
                for name, one in self.site.controllers.items()
                if one.leadership.term is not None
            ]
            assert len(leading) <= 1, f"both lead: {leading}"
            for name, term in leading:
                if not self.led or self.led[-1] != (name, term):
                    self.led.append((name, term or 0))
            await asyncio.sleep(0.005)


def play(folder: Path, story: Callable[[Scene], Awaitable[None]], webhook: str = "") -> None:
    async def whole() -> None:
        with members(folder, 3) as made:
            ways = {name: Cuttable(Etcd(made.endpoints)) for name in NAMES}
            async with site_of(folder, list(ways.values()), webhook) as site:
                scene = Scene(site, ways, made)
                watching = asyncio.create_task(scene.watch_terms())
                try:
                    async with asyncio.timeout(LIMIT_S):
                        telling = asyncio.ensure_future(story(scene))
                        await asyncio.wait({telling, watching}, return_when=asyncio.FIRST_COMPLETED)
                        if watching.done():
                            telling.cancel()
                            watching.result()
                        await telling
                finally:
                    watching.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await watching
                    for way in ways.values():
                        way.mend()

    asyncio.run(whole())


def test_a_leader_that_dies_is_followed_by_another_within_the_bound(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.site.wait_leader()
        await asyncio.sleep(1.0)
        first = await scene.site.wait_leader()
        began = time.monotonic()
        await scene.kill(first)
        second = await scene.wait_other(first)
        took_s = time.monotonic() - began
        assert took_s < CHANGE_S, f"it took {took_s:.1f} s"
        await wait_for(lambda: {name for name, _ in scene.led} >= {first, second})
        terms = [term for _, term in scene.led]
        assert terms == sorted(terms)

    play(tmp_path, story)


def test_a_leader_that_ends_in_order_is_followed_at_once(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        first = await scene.site.wait_leader()
        await wait_for(
            lambda: all(one.leadership.leader == first for one in scene.site.controllers.values())
        )
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await scene.site.end(first)
        await scene.wait_other(first)
        assert time.monotonic() - began < 3, "nobody waits for the lease"

    play(tmp_path, story)


def test_a_report_outlives_the_leader_that_took_it_and_is_told_within_a_second(
    tmp_path: Path,
) -> None:
    receiver = Receiver()

    async def story(scene: Scene) -> None:
        first = await scene.site.wait_leader()
        async with Host(scene.site, "host-a").running() as host:
            await wait_for(lambda: len(host.up_at()) == 3)
            await wait_for(lambda: host.uplink.shown()[first] == "leads")
            await scene.kill(first)
            began = time.monotonic()
            host.report(alarm(1))
            await wait_for(lambda: bool(receiver.alarms()))
            assert time.monotonic() - began < TOLD_LIMIT_S
            await wait_for(lambda: not host.outbox.waiting)
            second = await scene.wait_other(first)
            await wait_for(lambda: host.uplink.shown()[second] == "leads")
            host.report(alarm(2))
            await wait_for(lambda: len(receiver.alarms()) >= 2)
            await asyncio.sleep(1.0)
            told = [
                (one["record"]["alarm"]["key"], one["record"]["alarm"]["revision"])
                for one in receiver.alarms()
            ]
            assert sorted(told) == sorted(set(told)), "nothing was told twice"

    play(tmp_path, story, receiver.url)
    receiver.down()


def test_a_leader_that_dies_before_its_notifier_answered_had_answered_nobody(
    tmp_path: Path,
) -> None:
    receiver = Receiver()

    async def story(scene: Scene) -> None:
        first = await scene.site.wait_leader()
        async with Host(scene.site, "host-a").running() as host:
            await wait_for(lambda: len(host.up_at()) == 3)
            await wait_for(lambda: host.uplink.shown()[first] == "leads")
            receiver.down()
            scene.ways[first].cut()  # So that only the leader knows.
            host.report(alarm(1))
            await wait_for(scene.site.controllers[first].vim.open_ones)
            await asyncio.sleep(0.15)  # An answer that comes too early would come now.
            await scene.kill(first)
            receiver.up()
            await wait_for(receiver.alarms)
            await wait_for(lambda: not host.outbox.waiting)

    play(tmp_path, story, receiver.url)
    receiver.down()


def test_what_a_leader_could_not_tell_is_told_by_the_next_one(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.down()

    async def story(scene: Scene) -> None:
        first = await scene.site.wait_leader()
        async with Host(scene.site, "host-a").running() as host:
            await wait_for(lambda: host.uplink.shown()[first] == "leads")
            host.report(alarm(1))
            await wait_for(lambda: not host.outbox.waiting)
            await scene.kill(first)
        receiver.up()
        assert receiver.alarms() == []
        await scene.wait_other(first)
        await wait_for(lambda: len(receiver.alarms()) == 1, 10)

    play(tmp_path, story, receiver.url)
    receiver.down()


def test_split_two_to_one_the_two_lead_and_the_one_refuses_and_reports(tmp_path: Path) -> None:
    receiver = Receiver()

    async def story(scene: Scene) -> None:
        first = await scene.site.wait_leader()
        async with Host(scene.site, "host-a").running() as host:
            await wait_for(lambda: len(host.up_at()) == 3)
            scene.ways[first].cut()
            second = await scene.wait_other(first)
            reply = await ask_all(scene.site.socket(first), "disarm", reason="test")
            assert "nothing can be changed now" in reply.error
            done = await ask_all(scene.site.socket(second), "disarm", reason="test", seconds=60)
            assert done.error == ""
            assert done.data["told"] == ["host-a"]
            await wait_for(lambda: host.uplink.shown()[second] == "leads")
            asked = [(one.name, one.term) for one in host.asked]
            assert asked == [("disarm", scene.led[-1][1])], "obeyed once, and only the newest"
            host.report(alarm(1))
            await wait_for(lambda: len(receiver.alarms()) == 1)
            # The one that was cut off still takes reports, and shares them when it is back.
            scene.site.controllers[first].entries.take(
                wire.Entry(host="host-a", stream="boot-1.y", sequence=1, alarm=report(2))
            )
            await wait_for(lambda: len(receiver.alarms()) == 2)
            scene.ways[first].mend()
            others = [one for name, one in scene.site.controllers.items() if name != first]
            await wait_for(lambda: all(len(one.vim.open_ones()) == 2 for one in others), 20)
            assert scene.site.leading() == [second]
            await wait_for(lambda: scene.site.controllers[first].registry.disarm() is not None, 20)

    play(tmp_path, story, receiver.url)
    receiver.down()


def test_without_a_quorum_reports_go_on_and_changes_are_refused(tmp_path: Path) -> None:
    """One to one to one is the same: nobody has two of the three members."""
    receiver = Receiver()

    async def story(scene: Scene) -> None:
        first = await scene.site.wait_leader()
        async with Host(scene.site, "host-a").running() as host:
            await wait_for(lambda: len(host.up_at()) == 3)
            host.uplink.send(wire.Inventory(vms=(summary(),)))
            for member in scene.members.all[1:]:
                member.freeze()
            await wait_for(lambda: not scene.site.leading(), 15)
            began = time.monotonic()
            host.report(alarm(1))
            await wait_for(lambda: len(receiver.alarms()) == 1)
            assert time.monotonic() - began < TOLD_LIMIT_S
            await wait_for(lambda: not host.outbox.waiting)
            for name in NAMES:
                reply = await ask_all(scene.site.socket(name), "protect", vm="vm-1")
                assert "nothing can be changed now" in reply.error
                assert "alarms are still reported" in reply.hint
            assert host.asked == []
            for member in scene.members.all[1:]:
                member.thaw()
            await wait_for(scene.site.leading, 30)
            await wait_for(
                lambda: all(
                    len(one.vim.open_ones()) == 1 for one in scene.site.controllers.values()
                ),
                20,
            )
            leader = scene.site.leading()[0]
            await wait_for(lambda: host.uplink.shown()[leader] == "leads", 20)
            assert (await ask_all(scene.site.socket(leader), "protect", vm="vm-1")).error == ""
            assert [one.name for one in host.asked] == ["grant"]
            assert len(receiver.alarms()) == 1, "nothing was told twice"
        assert first in NAMES

    play(tmp_path, story, receiver.url)
    receiver.down()


def test_an_alarm_that_was_cleared_while_a_replica_was_away_does_not_stay(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        leader = await scene.site.wait_leader()
        away = next(name for name in NAMES if name != leader)
        async with Host(scene.site, "host-a").running() as host:
            await wait_for(lambda: host.uplink.shown()[leader] == "leads")
            host.report(alarm(1))
            await wait_for(scene.site.controllers[away].vim.open_ones)
            await scene.site.end(away)
            host.report(alarm(1, 2, AlarmState.CLEARED))
            await wait_for(lambda: not host.outbox.waiting)
            folder = scene.site.controllers[leader].replicas.shared.folder
            await wait_for(lambda: not folder.waiting)
            term = scene.site.controllers[leader].leadership.term
            assert term is not None
            await folder.delete([alarm(1).key], term)
            again = scene.site.begin(away, Cuttable(Etcd(scene.members.endpoints)))
            assert again.vim.open_ones()
            await wait_for(lambda: not again.vim.open_ones())

    play(tmp_path, story)
