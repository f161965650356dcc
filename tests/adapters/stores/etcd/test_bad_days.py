"""Three members of etcd on bad days: killed, frozen, without a quorum, on a disk that stalls."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.adapters.drivers.etcd_gateway import EtcdGateway
from holdfast.adapters.stores.etcd import Etcd
from holdfast.ports.store import Changed, StoreAway, TxnResult, WatchLost
from tests.adapters.etcd_members import Member, Members, members, needs_etcd
from tests.adapters.frozen_disk import frozen_disk, needs_frozen_disk

pytestmark = [needs_etcd, pytest.mark.slow]

LIMIT_S = 60.0


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Members]:
    with members(tmp_path, 3) as made:
        yield made


def play(made: Members, story: Callable[[Etcd], Awaitable[None]]) -> None:
    async def whole() -> None:
        store = Etcd(made.endpoints)
        try:
            async with asyncio.timeout(LIMIT_S):
                await story(store)
        finally:
            await store.close()

    asyncio.run(whole())


async def until_committed(store: Etcd, key: str, value: bytes) -> int:
    """As the registry does it: what is unknown or refused is read again."""
    while True:
        try:
            held = await store.get(key)
            if held is not None and held.value == value:
                return held.revision
            holds = {key: held.revision if held else 0}
            done = await store.txn(holds=holds, puts={key: value})
            if done.result is TxnResult.COMMITTED:
                return done.revision
        except StoreAway:
            await asyncio.sleep(0.1)


def next_of(watch: AsyncIterator[Changed | WatchLost]) -> asyncio.Task[Any]:
    return asyncio.ensure_future(anext(watch))


def test_without_a_quorum_nothing_is_read_or_committed_and_it_says_why(three: Members) -> None:
    async def story(store: Etcd) -> None:
        await until_committed(store, "a", b"1")
        for member in three.all[1:]:
            member.freeze()
        with pytest.raises(StoreAway, match="it needs 2 of its 3 members"):
            await store.get("a")
        done = await store.txn(holds={}, puts={"a": b"2"})
        assert done.result is TxnResult.UNKNOWN, "it may yet be committed"
        with pytest.raises(StoreAway):
            await store.begin_term("me", 2_000)
        for member in three.all[1:]:
            member.thaw()
        await until_committed(store, "a", b"3")

    play(three, story)


def test_nothing_listens_and_that_is_no_unknown(three: Members) -> None:
    async def story(store: Etcd) -> None:
        three.end()
        with pytest.raises(StoreAway, match="does not serve"):
            await store.txn(holds={}, puts={"a": b"1"})

    play(three, story)


@pytest.mark.parametrize("which", ["leader", "follower"])
def test_a_frozen_member_costs_a_second_and_no_change_of_a_watch(
    three: Members, which: str
) -> None:
    async def story(store: Etcd) -> None:
        revision = await until_committed(store, "a", b"1")
        watch = store.watch("", revision)
        coming = next_of(watch)
        await asyncio.sleep(0.3)
        frozen = _pick(three, which)
        # The one that the store talks to is the one that freezes.
        assert isinstance(store._etcd, EtcdGateway)
        frozen_at = three.endpoints.index(frozen.client)
        store._etcd._preferred = frozen_at
        frozen.freeze()
        other = Etcd(tuple(e for e in three.endpoints if e != frozen.client))
        second = await until_committed(other, "b", b"2")
        await other.close()
        assert await coming == Changed(key="b", value=b"2", revision=second)
        began = time.monotonic()
        done = await store.txn(holds={}, puts={"c": b"3"})
        assert done.result in (TxnResult.UNKNOWN, TxnResult.COMMITTED)
        third = await until_committed(store, "c", b"4")
        assert time.monotonic() - began < 15
        coming = next_of(watch)
        change = await coming
        while change.revision < third:
            change = await anext(watch)
        assert change == Changed(key="c", value=b"4", revision=third)
        await watch.aclose()  # type: ignore[attr-defined]

    play(three, story)


def test_a_term_outlives_a_change_of_leader_among_the_members(three: Members) -> None:
    async def story(store: Etcd) -> None:
        term = await store.begin_term("me", 6_000)
        assert term is not None
        three.leader().kill()
        deadline = time.monotonic() + 20
        kept = 0
        while kept < 5:
            assert time.monotonic() < deadline
            try:
                assert await store.keep_term(term), "nobody else may begin one meanwhile"
                kept += 1
            except StoreAway:
                continue
            await asyncio.sleep(0.2)
        other = Etcd(three.endpoints)
        assert await other.begin_term("another", 6_000) is None
        assert await other.leader() == "me"
        await other.close()

    play(three, story)


def test_a_term_that_is_not_kept_ends_and_its_transactions_are_refused(three: Members) -> None:
    async def story(store: Etcd) -> None:
        old = await store.begin_term("me", 2_000)
        assert old is not None
        other = Etcd(three.endpoints)
        assert await other.begin_term("another", 2_000) is None
        await other.wait_vacant()
        new = await other.begin_term("another", 2_000)
        assert new is not None
        assert new > old
        assert (await store.txn(holds={}, puts={"a": b"1"}, term=old)).result == "refused"
        assert not await store.keep_term(old)
        assert (await other.txn(holds={}, puts={"a": b"2"}, term=new)).result == "committed"
        await store.end_term(old)
        assert await other.leader() == "another", "who was deposed ends nobody's term"
        await other.close()

    play(three, story)


def test_a_watch_of_what_was_compacted_is_lost(three: Members) -> None:
    async def story(store: Etcd) -> None:
        first = await until_committed(store, "a", b"1")
        last = first
        for number in range(5):
            last = await until_committed(store, "a", b"%d" % (number + 2))
        three.all[0].post("/v3/kv/compaction", {"revision": str(last), "physical": True})
        lost = await anext(store.watch("", first))
        assert isinstance(lost, WatchLost)
        assert "forgotten" in lost.reason
        watch = store.watch("", await store.newest())
        coming = next_of(watch)
        await asyncio.sleep(0.1)
        await until_committed(store, "b", b"1")
        assert isinstance(await coming, Changed)
        await watch.aclose()  # type: ignore[attr-defined]

    play(three, story)


@needs_frozen_disk
@pytest.mark.lab
def test_a_stalled_disk_of_one_member_stops_nothing(tmp_path: Path) -> None:
    with frozen_disk(tmp_path) as disk, members(tmp_path, 3, slow_disk=disk.path) as made:
        slow = made.all[0]

        async def story(store: Etcd) -> None:
            term = await store.begin_term("me", 6_000)
            assert term is not None
            # The worst case: the member whose disk stalls is the one that leads the others.
            target = await asyncio.to_thread(slow.post, "/v3/maintenance/status", {})
            leading = made.leader()
            if leading is not slow:
                body = {"targetID": target["header"]["member_id"]}
                await asyncio.to_thread(leading.post, "/v3/maintenance/transfer-leadership", body)
            disk.stall()
            for number in range(5):
                await until_committed(store, "a", b"%d" % number)
            deadline = time.monotonic() + 10
            while True:
                assert time.monotonic() < deadline
                try:
                    assert await store.keep_term(term)
                    break
                except StoreAway:
                    continue
            disk.go_on()

        try:
            play(made, story)
        finally:
            disk.go_on()


def _pick(three: Members, which: str) -> Member:
    leader = three.leader()
    return leader if which == "leader" else next(one for one in three.all if one is not leader)
