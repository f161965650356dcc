"""The leader holds the term; a leader that could not renew it stops acting before others may.

One that does not lead waits until the term is vacant, so that it takes over at once. Deadlines:

    renewed each 1 s ----------------------------+ sent            + 4.5 s: stops acting
                                                 | lease of 6 s, from when the store took it
    the leader dies ------ lease ends, at the latest 6 s + the store's own change of leader -- next
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from holdfast.policy.timing import LEADER_CHANGE_MS
from holdfast.ports.answers import AWAY, LeaderElsewhere, Unanswerable
from holdfast.ports.clock import monotonic_s
from holdfast.ports.store import Store, StoreAway

log = logging.getLogger(__name__)

LEASE_MS = 6_000
MARGIN_MS = 1_500  # Longer than a member of etcd that was cut off believes to lead the others.
KEEP_MS = 1_000
RETRY_MS = 1_000
LOOK_MS = 3_000  # Whether the term is vacant, should nobody say so.
STORE_CHANGE_MS = 2_500  # etcd's own change of leader; then it begins every lease anew.
CHANGE_LIMIT_MS = 10_000  # From the death of a leader to the next one, the store being well.
assert KEEP_MS * 2 + MARGIN_MS < LEASE_MS, "one renewal may fail without a change of leader"
assert STORE_CHANGE_MS + KEEP_MS + MARGIN_MS < LEASE_MS, "so may one of the store's members"
assert LEASE_MS + STORE_CHANGE_MS + RETRY_MS < CHANGE_LIMIT_MS, "the next one is in time"
assert CHANGE_LIMIT_MS <= LEADER_CHANGE_MS, "leases of hosts outlast two of them"
assert LOOK_MS < LEASE_MS, "a vacancy of which nobody told is seen"

NOBODY = "no controller leads"


class Leadership:
    """`began` is called at each new term, before anything is done in it; it may raise StoreAway.

    `leader` is who leads, as far as is known here, or empty.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        began: Callable[[int], Awaitable[None]],
        clock: Callable[[], float] = monotonic_s,
    ) -> None:
        self._store, self._owner, self._began, self._clock = store, owner, began, clock
        self._term: int | None = None
        self._sent_at = 0.0
        self.reason = "it has not asked the store yet"
        self.leader = ""

    @property
    def term(self) -> int | None:
        """None unless we lead, counted from when the last renewal was *sent*."""
        is_fresh = self._clock() < self._sent_at + (LEASE_MS - MARGIN_MS) / 1_000
        return self._term if is_fresh else None

    @property
    def leads_until_s(self) -> float | None:
        """Until when it may act without a further renewal, on the monotonic clock."""
        if self.term is None:
            return None
        return self._sent_at + (LEASE_MS - MARGIN_MS) / 1_000

    def must_lead(self) -> int:
        """The term, for what only the leader may do. Raises Unanswerable."""
        term = self.term
        if term is None:
            text = f"nothing can be changed now: {self.reason}"
            if self.leader:
                raise LeaderElsewhere(text, self.leader)
            raise Unanswerable(text, "alarms are still reported; see holdfast status", AWAY)
        return term

    async def run(self) -> None:
        """Lead, or try to, until cancelled."""
        while True:
            await self.step()
            if self._term is not None:
                await asyncio.sleep(KEEP_MS / 1_000)
            elif self.leader:
                await self._wait_vacant()
            else:
                await asyncio.sleep(RETRY_MS / 1_000)

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
            self.reason, self.leader = str(away), ""

    async def end(self) -> None:
        if self._term is not None:
            term, self._term = self._term, None
            await self._store.end_term(term)

    async def _begin(self) -> None:
        sent_at = self._clock()
        term = await self._store.begin_term(self._owner, LEASE_MS)
        if term is None:
            await self._follow()
            return
        await self._began(term)
        self._term, self._sent_at = term, sent_at
        self.reason, self.leader = "", self._owner
        log.info("term %d begins", term)

    async def _keep(self, term: int) -> None:
        sent_at = self._clock()
        if await self._store.keep_term(term):
            self._sent_at, self.reason, self.leader = sent_at, "", self._owner
            return
        log.warning("term %d is over", term)
        self._term = None
        await self._follow()

    async def _follow(self) -> None:
        found = await self._store.leader()
        self.leader = found if found != self._owner else ""
        self.reason = f"controller {self.leader} leads" if self.leader else NOBODY

    async def _wait_vacant(self) -> None:
        try:
            async with asyncio.timeout(LOOK_MS / 1_000):
                await self._store.wait_vacant()
        except TimeoutError:
            return
        except StoreAway as away:
            log.debug("who leads is not known: %s", away)
            await asyncio.sleep(RETRY_MS / 1_000)
