"""A store in memory that shows, on command, what etcd does on a bad day."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

from holdfast.ports.store import Changed, Held, StoreAway, Txn, TxnResult, WatchLost

VACANT_POLL_S = 0.05


class StoreInMemory:
    """See ports.store.Store. Each method named after a bad day makes the next call meet it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, Held] = {}
        self._changes: list[Changed] = []
        self._revision = 0
        self._compacted = 0
        self._term: int | None = None
        self._owner = ""
        self._lease_ends = 0.0
        self._lease_s = 0.0
        self._is_away = False
        self._next_txn: str = ""
        self._waiting: list[asyncio.Future[None]] = []  # Of many loops, in a simulation.
        self._watches_lost = 0
        self.heard: list[Callable[[Changed], None]] = []  # Each hears of every change at once.

    @property
    def holder(self) -> str:
        """Who leads in truth, or empty."""
        return self._owner if self._is_held else ""

    @property
    def contents(self) -> Mapping[str, Held]:
        """What it holds in truth, whoever can reach it."""
        return self._held

    def go_away(self) -> None:
        self._is_away = True

    def come_back(self) -> None:
        self._is_away = False

    def lose_next_answer(self, *, committed: bool) -> None:
        """The next transaction is *unknown*, after it was committed or without."""
        self._next_txn = "committed" if committed else "lost"

    def compact(self) -> None:
        """Forget all past changes: a watch from an old revision ends with *lost*."""
        self._compacted = self._revision

    async def lose_watches(self) -> None:
        """Every watch that is open ends with *lost*."""
        self._watches_lost += 1
        self._tell()

    def extend_lease(self) -> None:
        """What etcd does when it has a quorum again: every lease begins anew."""
        self._lease_ends = self._clock() + self._lease_s

    def lose_lease(self) -> None:
        """As if the leader had been silent for too long."""
        self._term = None

    def elect_another(self, owner: str = "another") -> int:
        """Somebody else becomes the leader; the term."""
        self._revision += 1
        self._term, self._owner, self._lease_ends = self._revision, owner, self._clock() + 3_600
        return self._term

    async def begin_term(self, owner: str, lease_ms: int) -> int | None:
        self._serve()
        if self._is_held and self._owner != owner:
            return None
        self._lease_s = lease_ms / 1_000
        self._revision += 1
        self._term, self._owner = self._revision, owner
        self._lease_ends = self._clock() + self._lease_s
        return self._term

    async def keep_term(self, term: int) -> bool:
        self._serve()
        if not self._is_current(term):
            return False
        self._lease_ends = self._clock() + self._lease_s
        return True

    async def end_term(self, term: int) -> None:
        self._serve()
        if self._term == term:
            self._term = None

    async def leader(self) -> str:
        self._serve()
        return self.holder

    async def wait_vacant(self) -> None:
        while self._is_held:
            self._serve()
            await asyncio.sleep(VACANT_POLL_S)

    async def newest(self) -> int:
        self._serve()
        return self._revision

    async def get(self, key: str) -> Held | None:
        self._serve()
        return self._held.get(key)

    async def list(self, prefix: str) -> dict[str, Held]:
        self._serve()
        return {key: held for key, held in sorted(self._held.items()) if key.startswith(prefix)}

    async def txn(
        self,
        *,
        holds: Mapping[str, int],
        puts: Mapping[str, bytes | None],
        term: int | None = None,
    ) -> Txn:
        self._serve()
        fate, self._next_txn = self._next_txn, ""
        if fate == "lost":
            return Txn(result=TxnResult.UNKNOWN)
        if term is not None and not self._is_current(term):
            return Txn(result=TxnResult.REFUSED)
        for key, revision in holds.items():
            held = self._held.get(key)
            if (held.revision if held else 0) != revision:
                return Txn(result=TxnResult.REFUSED)
        self._put(puts)
        if fate == "committed":
            return Txn(result=TxnResult.UNKNOWN)
        return Txn(result=TxnResult.COMMITTED, revision=self._revision)

    async def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changed | WatchLost]:
        self._serve()
        seen, lost = after_revision, self._watches_lost
        if seen < self._compacted or seen > self._revision:
            yield WatchLost(reason="compacted")
            return
        while True:
            if self._watches_lost != lost:
                yield WatchLost(reason="the watch was cancelled")
                return
            found = [c for c in self._changes if c.revision > seen and c.key.startswith(prefix)]
            seen = self._revision
            for change in found:
                yield change
            if self._revision == seen and self._watches_lost == lost:
                news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(news)
                await news

    async def close(self) -> None:
        pass

    def _serve(self) -> None:
        if self._is_away:
            raise StoreAway("the store is away, as it was told to be")

    @property
    def _is_held(self) -> bool:
        return self._term is not None and self._clock() < self._lease_ends

    def _is_current(self, term: int) -> bool:
        return self._term == term and self._is_held

    def _put(self, puts: Mapping[str, bytes | None]) -> None:
        self._revision += 1
        for key, value in puts.items():
            if value is None:
                self._held.pop(key, None)
            else:
                self._held[key] = Held(value=value, revision=self._revision)
            change = Changed(key=key, value=value, revision=self._revision)
            self._changes.append(change)
            for hear in self.heard:
                hear(change)
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done() and not news.get_loop().is_closed():
                news.set_result(None)
