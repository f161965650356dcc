"""The leader holds the term; a leader that could not renew it stops acting before others may."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from holdfast.ports.store import Store, StoreAway

log = logging.getLogger(__name__)

LEASE_MS = 10_000
MARGIN_MS = 2_000
KEEP_S = 2.0
RETRY_S = 1.0
assert KEEP_S * 1_000 * 2 + MARGIN_MS < LEASE_MS, "one renewal may fail without a change of leader"


class Leadership:
    """`began` is called at each new term, before anything is done in it; it may raise StoreAway."""

    def __init__(self, store: Store, owner: str, began: Callable[[int], Awaitable[None]]) -> None:
        self._store, self._owner, self._began = store, owner, began
        self._term: int | None = None
        self._sent_at = 0.0
        self.reason = "it has not asked the store yet"

    @property
    def term(self) -> int | None:
        """None unless we lead, counted from when the last renewal was *sent*."""
        is_fresh = time.monotonic() < self._sent_at + (LEASE_MS - MARGIN_MS) / 1_000
        return self._term if is_fresh else None

    async def run(self) -> None:
        """Lead, or try to, until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(KEEP_S if self._term is not None else RETRY_S)

    async def step(self) -> None:
        """Begin a term, or keep it; what hinders it is in `reason`."""
        try:
            if self._term is None:
                await self._begin()
            else:
                await self._keep(self._term)
        except StoreAway as away:
            if self.reason != str(away):
                log.error("%s", away)
            self.reason = str(away)

    async def end(self) -> None:
        if self._term is not None:
            await self._store.end_term(self._term)
            self._term = None

    async def _begin(self) -> None:
        sent_at = time.monotonic()
        term = await self._store.begin_term(self._owner, LEASE_MS)
        if term is None:
            self.reason = "another controller leads"
            return
        await self._began(term)
        self._term, self._sent_at, self.reason = term, sent_at, ""
        log.info("term %d begins", term)

    async def _keep(self, term: int) -> None:
        sent_at = time.monotonic()
        if await self._store.keep_term(term):
            self._sent_at, self.reason = sent_at, ""
        else:
            log.warning("term %d is over: another controller leads", term)
            self._term, self.reason = None, "another controller leads"
