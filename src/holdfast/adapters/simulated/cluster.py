"""A store of several members, as etcd is: no quorum, no answer; a stalled disk answers late.

Each controller has its own client: what it can do depends on which members it reaches, and on
whether those make up more than half of all.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.facts.instants import NS_PER_S
from holdfast.ports.store import Changed, Held, StoreAway, Txn, TxnResult, WatchLost

CALL_MS = 2.0  # There and back, and onto most disks.
LIMIT_S = 2.0  # A client gives up after this long.
POLL_S = 0.1
WATCH_LOST_S = 5.0  # A watch without its member for this long is begun anew.

Result = TypeVar("Result")


class StoreCluster:
    """`stalled` members have a disk that answers nothing; `dead` ones do not run."""

    def __init__(self, clock: Clock, network: Network, plane: str, members: Iterable[str]) -> None:
        self.truth = StoreInMemory(lambda: clock.now / NS_PER_S)
        self.members = list(members)
        self.stalled: set[str] = set()
        self.dead: set[str] = set()
        self._network, self._plane = network, plane
        self._had_quorum = True
        network.changed.append(self.look)

    def look(self) -> None:
        """To be called after each change: leases begin anew once there is a quorum again."""
        has_quorum = any(self._leads_most(member) for member in self.members)
        if has_quorum and not self._had_quorum:
            self.truth.extend_lease()
        self._had_quorum = has_quorum

    def serves(self, machine: str) -> bool:
        """Whether a client on that machine reaches a member that has most others with it."""
        if self._network.has_all_ways and not self.stalled and not self.dead:
            return True
        return any(
            self._leads_most(member) and self._network.talk(machine, member, self._plane)
            for member in self.members
        )

    def client(self, machine: str) -> "StoreClient":
        return StoreClient(self, machine)

    def _leads_most(self, member: str) -> bool:
        if not self._is_well(member):
            return False
        with_it = [
            other
            for other in self.members
            if self._is_well(other) and self._network.talk(member, other, self._plane)
        ]
        return len(with_it) * 2 > len(self.members)

    def _is_well(self, member: str) -> bool:
        if member in self.stalled or member in self.dead:
            return False
        return self._network.reaches(self._plane, member, member)


class StoreClient:
    """See ports.store.Store. `loses_answers`: that many next transactions end *unknown*."""

    def __init__(self, cluster: StoreCluster, machine: str) -> None:
        self._cluster, self._machine = cluster, machine
        self.loses_answers = 0

    async def begin_term(self, owner: str, lease_ms: int) -> int | None:
        return await self._call(lambda: self._truth.begin_term(owner, lease_ms))

    async def keep_term(self, term: int) -> bool:
        return await self._call(lambda: self._truth.keep_term(term))

    async def end_term(self, term: int) -> None:
        await self._call(lambda: self._truth.end_term(term))

    async def leader(self) -> str:
        return await self._call(self._truth.leader)

    async def wait_vacant(self) -> None:
        while True:
            if not await self._call(self._truth.leader):
                return
            await asyncio.sleep(POLL_S)

    async def newest(self) -> int:
        return await self._call(self._truth.newest)

    async def get(self, key: str) -> Held | None:
        return await self._call(lambda: self._truth.get(key))

    async def list(self, prefix: str) -> dict[str, Held]:
        return await self._call(lambda: self._truth.list(prefix))

    async def txn(
        self,
        *,
        holds: Mapping[str, int],
        puts: Mapping[str, bytes | None],
        term: int | None = None,
    ) -> Txn:
        """Lost on its way back, it is *unknown*: it may have happened."""
        done = await self._call(
            functools.partial(self._truth.txn, holds=holds, puts=puts, term=term)
        )
        if self.loses_answers:
            self.loses_answers -= 1
            return Txn(result=TxnResult.UNKNOWN)
        return done if self._serves else Txn(result=TxnResult.UNKNOWN)

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changed | WatchLost]:
        """Silent while its member cannot be reached; lost if that lasts."""
        await self._reach()
        watch = self._truth.watch(prefix, after_revision)
        coming: asyncio.Future[Changed | WatchLost] | None = None
        away_s = 0.0
        try:
            while away_s < WATCH_LOST_S:
                coming = coming or asyncio.ensure_future(_next(watch))
                await asyncio.wait([coming], timeout=POLL_S * 10)
                away_s = 0.0 if self._serves else away_s + POLL_S * 10
                if coming.done() and self._serves:
                    news, coming = coming.result(), None
                    yield news
                    if isinstance(news, WatchLost):
                        return
            yield WatchLost(reason="its member could not be reached")
        finally:
            if coming is not None:
                coming.cancel()

    async def close(self) -> None:
        pass

    @property
    def _truth(self) -> StoreInMemory:
        return self._cluster.truth

    @property
    def _serves(self) -> bool:
        return self._cluster.serves(self._machine)

    async def _call(self, call: Callable[[], Awaitable[Result]]) -> Result:
        await self._reach()
        return await call()

    async def _reach(self) -> None:
        """Raises StoreAway after its limit."""
        await asyncio.sleep(CALL_MS / 1_000)
        waited_s = 0.0
        while not self._serves:
            if waited_s >= LIMIT_S:
                raise StoreAway("no member of the store that has a quorum answers")
            await asyncio.sleep(POLL_S)
            waited_s += POLL_S


async def _next(watch: AsyncIterator[Changed | WatchLost]) -> Changed | WatchLost:
    return await anext(watch)
