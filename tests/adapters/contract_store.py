"""What every store keeps: the contract that the real one and the fake are tested by."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from holdfast.ports.store import MOST_KEYS, Changed, Store, TxnResult, WatchLost

LIMIT_S = 10.0
LEASE_MS = 10_000
Result = TypeVar("Result")


class StoreContract:
    def make(self) -> Store:
        raise NotImplementedError

    def run(self, work: Callable[[Store], Awaitable[Result]]) -> Result:
        async def whole() -> Result:
            store = self.make()
            try:
                async with asyncio.timeout(LIMIT_S):
                    return await work(store)
            finally:
                await store.close()

        return asyncio.run(whole())

    def test_a_key_is_put_read_listed_and_deleted(self) -> None:
        async def work(store: Store) -> None:
            assert await store.get("vms/a") is None
            first = await store.txn(holds={"vms/a": 0}, puts={"vms/a": b"1", "hosts/x": b"h"})
            assert first.result is TxnResult.COMMITTED
            held = await store.get("vms/a")
            assert held is not None
            assert (held.value, held.revision) == (b"1", first.revision)
            assert list(await store.list("vms/")) == ["vms/a"]
            assert list(await store.list("")) == ["hosts/x", "vms/a"]
            second = await store.txn(holds={"vms/a": first.revision}, puts={"vms/a": None})
            assert second.revision > first.revision
            assert await store.get("vms/a") is None

        self.run(work)

    def test_a_condition_that_does_not_hold_refuses_all_of_it(self) -> None:
        async def work(store: Store) -> None:
            first = await store.txn(holds={}, puts={"a": b"1"})
            for holds in ({"a": 0}, {"a": first.revision + 1}, {"a": first.revision, "b": 1}):
                refused = await store.txn(holds=holds, puts={"a": b"2", "c": b"3"})
                assert refused.result is TxnResult.REFUSED
            assert list(await store.list("")) == ["a"]

        self.run(work)

    def test_a_deleted_key_has_revision_zero_again(self) -> None:
        async def work(store: Store) -> None:
            await store.txn(holds={}, puts={"a": b"1"})
            await store.txn(holds={}, puts={"a": None})
            again = await store.txn(holds={"a": 0}, puts={"a": b"2"})
            assert again.result is TxnResult.COMMITTED

        self.run(work)

    def test_of_two_who_saw_the_same_only_one_succeeds(self) -> None:
        async def work(store: Store) -> None:
            both = await asyncio.gather(
                *(store.txn(holds={"vm": 0}, puts={"vm": b"%d" % n}) for n in range(2))
            )
            assert sorted(one.result for one in both) == ["committed", "refused"]

        self.run(work)

    def test_terms_rise_and_an_old_one_is_refused(self) -> None:
        async def work(store: Store) -> None:
            old = await store.begin_term("a", LEASE_MS)
            assert old is not None
            assert await store.keep_term(old)
            assert (await store.txn(holds={}, puts={"k": b"1"}, term=old)).result == "committed"
            new = await store.begin_term("a", LEASE_MS)
            assert new is not None
            assert new > old
            assert not await store.keep_term(old)
            assert (await store.txn(holds={}, puts={"k": b"2"}, term=old)).result == "refused"
            held = await store.get("k")
            assert held is not None
            assert held.value == b"1"

        self.run(work)

    def test_a_term_that_was_ended_is_over(self) -> None:
        async def work(store: Store) -> None:
            term = await store.begin_term("a", LEASE_MS)
            assert term is not None
            await store.end_term(term)
            assert not await store.keep_term(term)
            assert (await store.txn(holds={}, puts={"k": b"1"}, term=term)).result == "refused"

        self.run(work)

    def test_the_leader_is_named_until_its_term_ends(self) -> None:
        async def work(store: Store) -> None:
            assert await store.leader() == ""
            await store.wait_vacant()
            term = await store.begin_term("a", LEASE_MS)
            assert term is not None
            assert await store.leader() == "a"
            await store.end_term(term)
            await store.wait_vacant()
            assert await store.leader() == ""

        self.run(work)

    def test_a_watch_from_the_newest_revision_tells_only_what_comes(self) -> None:
        async def work(store: Store) -> None:
            await store.newest()
            first = await store.txn(holds={}, puts={"a": b"1"})
            assert await store.newest() >= first.revision
            watch = store.watch("", await store.newest())
            coming = asyncio.ensure_future(_next(watch))
            await asyncio.sleep(0.05)
            second = await store.txn(holds={}, puts={"a": b"2"})
            assert await coming == Changed(key="a", value=b"2", revision=second.revision)
            await watch.aclose()  # type: ignore[attr-defined]

        self.run(work)

    def test_a_transaction_may_change_many_keys(self) -> None:
        async def work(store: Store) -> None:
            many = {f"vms/{number}": b"v" for number in range(MOST_KEYS)}
            done = await store.txn(holds=dict.fromkeys(many, 0), puts=many)
            assert done.result is TxnResult.COMMITTED
            held = await store.list("vms/")
            assert {one.revision for one in held.values()} == {done.revision}
            assert len(held) == MOST_KEYS

        self.run(work)

    def test_a_watch_tells_what_was_and_what_comes(self) -> None:
        async def work(store: Store) -> None:
            first = await store.txn(holds={}, puts={"vms/a": b"1"})
            await store.txn(holds={}, puts={"vms/b": b"2", "other": b"x"})
            watch = store.watch("vms/", first.revision)
            seen = await _next(watch)
            assert isinstance(seen, Changed)
            assert (seen.key, seen.value) == ("vms/b", b"2")
            coming = asyncio.ensure_future(_next(watch))
            await asyncio.sleep(0.05)
            assert not coming.done()
            third = await store.txn(holds={}, puts={"vms/a": None})
            assert await coming == Changed(key="vms/a", value=None, revision=third.revision)
            await watch.aclose()  # type: ignore[attr-defined]

        self.run(work)

    def test_a_watch_from_a_revision_that_is_not_known_is_lost(self) -> None:
        async def work(store: Store) -> None:
            await store.txn(holds={}, puts={"a": b"1"})
            assert isinstance(await _next(store.watch("", 1_000)), WatchLost)

        self.run(work)


async def _next(watch: AsyncIterator[Changed | WatchLost]) -> Changed | WatchLost:
    return await anext(watch)
