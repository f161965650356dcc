"""Members of etcd that do not reach each other: two to one, and one to one to one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from holdfast.adapters.stores.etcd import Etcd
from holdfast.ports.store import StoreAway, TxnResult
from tests.adapters.etcd_members import Member, Members, needs_etcd
from tests.adapters.split_network import SplitNetwork, needs_network, split_network

pytestmark = [needs_etcd, needs_network, pytest.mark.slow, pytest.mark.lab]

LIMIT_S = 60.0
LEASE_MS = 6_000

Story = Callable[[SplitNetwork, Members], Awaitable[None]]


def play(folder: Path, story: Story) -> None:
    with split_network(3) as network:

        def inside() -> None:
            made = Members(
                [
                    Member(
                        f"m{number}",
                        folder,
                        f"http://{network.address(number)}:2379",
                        f"http://{network.address(number)}:2380",
                        network.within(number),
                    )
                    for number in range(3)
                ]
            )

            async def whole() -> None:
                async with asyncio.timeout(LIMIT_S):
                    await story(network, made)

            try:
                made.begin()
                asyncio.run(whole())
            finally:
                made.end()

        network.inside(inside)


async def until(work: Callable[[], Awaitable[bool]], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if await work():
                return
        except StoreAway:
            pass
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def test_split_two_to_one_the_two_go_on_and_the_one_knows_nothing(tmp_path: Path) -> None:
    async def story(network: SplitNetwork, made: Members) -> None:
        store = Etcd(made.endpoints)
        term = await store.begin_term("me", LEASE_MS)
        assert term is not None
        # The worst case: the one that is alone is the one that led the others.
        alone = made.all.index(made.leader())
        both = {0, 1, 2} - {alone}
        cut_off = Etcd((made.endpoints[alone],))
        cut_off._leases = dict(store._leases)
        network.split({alone}, both)
        with pytest.raises(StoreAway):
            await cut_off.keep_term(term)
        done = await cut_off.txn(holds={}, puts={"a": b"1"}, term=term)
        assert done.result is TxnResult.UNKNOWN

        async def is_kept() -> bool:
            return await store.keep_term(term)

        await until(is_kept, LEASE_MS / 1_000)
        assert (await store.txn(holds={}, puts={"b": b"2"}, term=term)).result == "committed"
        with pytest.raises(StoreAway):
            await cut_off.get("b")
        network.mend()

        async def is_read() -> bool:
            return await cut_off.get("b") is not None

        await until(is_read)
        await store.close()
        await cut_off.close()

    play(tmp_path, story)


def test_split_one_to_one_to_one_nobody_serves_and_nothing_is_lost(tmp_path: Path) -> None:
    async def story(network: SplitNetwork, made: Members) -> None:
        store = Etcd(made.endpoints)
        term = await store.begin_term("me", LEASE_MS)
        first = await store.txn(holds={"a": 0}, puts={"a": b"1"}, term=term)
        watch = store.watch("", first.revision)
        network.split({0}, {1}, {2})
        with pytest.raises(StoreAway, match="needs 2 of its 3 members"):
            await store.get("a")
        for number in range(3):
            one = Etcd((made.endpoints[number],))
            with pytest.raises(StoreAway):
                await one.begin_term("another", LEASE_MS)
            await one.close()
        done = await store.txn(holds={"a": first.revision}, puts={"a": b"2"}, term=term)
        assert done.result is TxnResult.UNKNOWN
        await asyncio.sleep(LEASE_MS / 1_000)
        network.mend()

        async def is_read() -> bool:
            held = await store.get("a")
            return held is not None and held.value in (b"1", b"2")

        await until(is_read)

        async def is_led() -> bool:
            return await store.begin_term("me", LEASE_MS) is not None

        await until(is_led)
        await watch.aclose()  # type: ignore[attr-defined]
        await store.close()

    play(tmp_path, story)
