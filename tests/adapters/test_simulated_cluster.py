"""A store of three members keeps the contract, and has etcd's bad days: no quorum, slow disks."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.cluster import StoreClient, StoreCluster
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.virtual_loop import VirtualLoop
from holdfast.ports.store import Store, StoreAway
from tests.adapters.contract_store import LEASE_MS, StoreContract

Result = TypeVar("Result")
MEMBERS = ("a", "b", "c")


class Site:
    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = VirtualLoop(self.clock)
        self.network = Network(self.clock, random.Random(1), ["a"])
        self.cluster = StoreCluster(self.clock, self.network, "a", MEMBERS)

    def run(self, work: Awaitable[Result]) -> Result:
        done: Result = self.loop.run_until_complete(work)
        return done


class TestStoreCluster(StoreContract):
    def make(self) -> StoreClient:
        return Site().cluster.client("a")

    def run(self, work: Callable[[Store], Awaitable[Result]]) -> Result:
        site = Site()
        return site.run(work(site.cluster.client("b")))


def test_two_of_three_serve_and_one_alone_does_not() -> None:
    async def work() -> None:
        near, far = (site.cluster.client(name) for name in ("a", "c"))
        site.network.split("a", [["a", "b"], ["c"]])
        assert (await near.txn(holds={}, puts={"k": b"1"})).result == "committed"
        with pytest.raises(StoreAway):
            await far.get("k")
        site.network.split("a", [["a"], ["b"], ["c"]])
        with pytest.raises(StoreAway):
            await near.get("k")
        site.network.mend_all()
        assert await far.get("k") is not None

    site = Site()
    site.run(work())


def test_a_stalled_disk_answers_late_and_a_lost_answer_is_unknown() -> None:
    async def work() -> None:
        client = site.cluster.client("a")
        site.cluster.stalled = {"a", "b"}
        site.clock.later(1_000, site.cluster.stalled.clear)
        before = site.clock.now
        assert (await client.txn(holds={}, puts={"k": b"1"})).result == "committed"
        assert site.clock.now - before >= 10**9
        client.loses_answers = 1
        assert (await client.txn(holds={}, puts={"k": b"2"})).result == "unknown"
        assert (await client.get("k")).value == b"2"  # type: ignore[union-attr]

    site = Site()
    site.run(work())


def test_a_lease_begins_anew_once_there_is_a_quorum_again() -> None:
    async def work() -> None:
        client = site.cluster.client("a")
        term = await client.begin_term("a", LEASE_MS)
        assert term is not None
        site.cluster.dead = {"b", "c"}
        site.cluster.look()
        await asyncio.sleep(2 * LEASE_MS / 1_000)
        site.cluster.dead = {"c"}
        site.cluster.look()
        assert await client.keep_term(term)

    site = Site()
    site.run(work())
