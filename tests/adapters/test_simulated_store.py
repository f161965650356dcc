"""The store in memory keeps the contract, and shows each bad day that etcd has."""

import asyncio

import pytest

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.ports.store import StoreAway, WatchLost
from tests.adapters.contract_store import LEASE_MS, StoreContract


class TestStoreInMemory(StoreContract):
    def make(self) -> StoreInMemory:
        return StoreInMemory()


@pytest.mark.parametrize("committed", [True, False])
def test_an_answer_is_lost_after_or_before_the_commit(committed: bool) -> None:
    async def work() -> None:
        store = StoreInMemory()
        store.lose_next_answer(committed=committed)
        assert (await store.txn(holds={}, puts={"a": b"1"})).result == "unknown"
        assert (await store.get("a") is not None) is committed
        assert (await store.txn(holds={}, puts={"a": b"1"})).result == "committed"

    asyncio.run(work())


def test_another_leads_until_its_term_is_over() -> None:
    async def work() -> None:
        store = StoreInMemory()
        mine = await store.begin_term("me", LEASE_MS)
        assert mine is not None
        theirs = store.elect_another()
        assert theirs > mine
        assert not await store.keep_term(mine)
        assert (await store.txn(holds={}, puts={"a": b"1"}, term=mine)).result == "refused"
        assert await store.begin_term("me", LEASE_MS) is None
        store.lose_lease()
        assert (await store.begin_term("me", LEASE_MS) or 0) > theirs

    asyncio.run(work())


def test_a_watch_is_lost_when_it_is_cancelled_or_compacted() -> None:
    async def work() -> None:
        store = StoreInMemory()
        first = await store.txn(holds={}, puts={"a": b"1"})
        watching = asyncio.ensure_future(anext(store.watch("", first.revision)))
        await asyncio.sleep(0)
        await store.lose_watches()
        assert isinstance(await watching, WatchLost)
        await store.txn(holds={}, puts={"a": b"2"})
        store.compact()
        assert isinstance(await anext(store.watch("", first.revision)), WatchLost)

    asyncio.run(work())


def test_it_can_be_away() -> None:
    async def work() -> None:
        store = StoreInMemory()
        store.go_away()
        with pytest.raises(StoreAway):
            await store.get("a")
        store.come_back()
        assert await store.get("a") is None

    asyncio.run(work())
