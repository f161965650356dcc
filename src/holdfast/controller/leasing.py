"""The leader's part in leases: it has hosts acknowledge them, and lets its ear grant them.

A lease that was granted, or may have been, is remembered by when its grant was last allowed; a
leader that has just come counts from then, since it does not know what the one before it granted.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

import msgspec

from holdfast.controller.agents import Agent, Agents
from holdfast.controller.leadership import Leadership
from holdfast.controller.registry import Puts, Registry
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.lease_times import AUTHORITY_AGAIN_MS, AUTHORITY_MS, WATCHDOG_MS
from holdfast.facts.leases import HostLease, LeaseOrder, LeaseWord
from holdfast.policy.leases import Next, next_step, relying
from holdfast.ports import clock
from holdfast.ports.answers import Unanswerable
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

ASK_LIMIT_S = 5.0
LOOKS_EVERY = 4  # Words to the ear: at what hosts should have acknowledged.
QUESTION = "lease"
Grant = Callable[[dict[str, tuple[str, int]], int], None]
TOO_FEW = "the site has fewer controllers than the three that a lease takes"


class Leasing:
    """`grant` has the ear grant these hosts the lease of that boot and epoch, until an instant;
    `lives` says whether pulses of a host arrive here, `may_rely` whether the site has
    controllers enough for VMs to rely on them. `trouble` is why hosts could not arm their lease."""

    def __init__(
        self,
        *,
        registry: Registry,
        agents: Agents,
        grant: Grant,
        leadership: Leadership,
        lives: Callable[[str], bool],
        may_rely: Callable[[], bool],
    ) -> None:
        self._registry, self._agents, self._grant = registry, agents, grant
        self._leadership, self._lives, self._may_rely = leadership, lives, may_rely
        self._granted_until: dict[str, int] = {}
        self._term, self._led_at = 0, Instant(0)
        self._tried: dict[str, int] = {}  # The highest epoch that a host was asked to obey.
        self._over: dict[str, int] = {}  # Hosts, with the fence that counts on their lease's end.
        self._asking: set[str] = set()
        self._cleared: set[str] = set()  # Hosts that were told in this term that none rely.
        self._tasks: set[asyncio.Task[None]] = set()
        self.trouble: dict[str, str] = {}

    def granted_at(self, host: str) -> Instant:
        """When a lease of this host may have been granted last."""
        self._note_term()
        return Instant(max(self._granted_until.get(host, 0), self._led_at))

    def note_over(self, fence: Fence) -> None:
        """That its lease is over is about to be a proof, of which the store may not know yet."""
        self._over[fence.host] = fence.number

    async def run(self) -> None:
        """Until cancelled. A loop that is stuck allows nothing: the ear's grants end with it."""
        turn = 0
        while True:
            self._note_term()
            self._allow()
            if turn % LOOKS_EVERY == 0 and self._term:
                self._look_at_all()
            turn += 1
            await asyncio.sleep(AUTHORITY_AGAIN_MS / 1_000)

    def _note_term(self) -> None:
        """Nothing was granted by this leader before its term; all before it ended by then."""
        term = self._leadership.term or 0
        if term != self._term and term:
            self._led_at = clock.now()
            self._tried.clear()
            self._cleared.clear()
        self._term = term

    def _allow(self) -> None:
        until_s = self._leadership.leads_until_s
        if until_s is None or not self._registry.leases():
            return
        at = clock.now()
        until = min(at + AUTHORITY_MS * NS_PER_MS, int(until_s * NS_PER_S))
        leases = (one for one in self._registry.leases() if not one.is_over)
        hosts = {one.host: (one.boot, one.epoch) for one in leases if self._may_grant(one.host)}
        for host in hosts:  # Before the ear is told.
            self._granted_until[host] = max(self._granted_until.get(host, 0), until)
        self._grant(hosts, until)

    def _may_grant(self, host: str) -> bool:
        """Not to whom is to be proven gone: that is counted from the last grant. While recovery is
        disarmed nobody is to be, whatever was begun before; but what is proven stays so."""
        fence = self._registry.fence(host)
        if fence is not None and fence.step is not FenceStep.CLOSED:
            is_proven = fence.step is not FenceStep.INTENDED or self._over.get(host) == fence.number
            if is_proven or self._registry.disarm() is None:
                return False
        return self._lives(host)

    # What hosts acknowledge.

    def _look_at_all(self) -> None:
        for agent in list(self._agents.linked()):
            if agent.host not in self._asking and self._may_grant(agent.host):
                self._asking.add(agent.host)
                task = asyncio.create_task(self._look_at(agent))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _look_at(self, agent: Agent) -> None:
        try:
            await self._go_on(agent)
        except (StoreAway, Unanswerable) as error:
            self._note_trouble(agent, str(error))
        finally:
            self._asking.discard(agent.host)

    async def _go_on(self, agent: Agent) -> None:
        """One step; the next look takes the next one. Raises StoreAway, Unanswerable."""
        known = self._registry.lease(agent.host)
        asked_for = self._wanted(agent)
        wanted = asked_for if self._may_rely() else ()
        is_disarmed = self._registry.disarm() is not None
        step = next_step(known, agent.boot, wanted, is_disarmed=is_disarmed)
        if wanted != asked_for:
            self._note_trouble(agent, TOO_FEW)
        elif step.next is Next.NOTHING:
            self.trouble.pop(agent.host, None)
        if known is None and step.next is Next.NOTHING:
            await self._have_none(agent)
            return
        if step.next is Next.TAKE_OFF and known is not None:
            fewer = msgspec.structs.replace(known, vms=step.vms)
            await self._registry.change(lambda: self._put(known, fewer))
        elif step.next is Next.ASK:
            await self._ask(agent, known, step.vms)

    async def _have_none(self, agent: Agent) -> None:
        """A host of which the store has no lease may be armed all the same: what it acknowledged
        was never committed, or the store is from a backup. Nobody grants it, so its VMs would end.
        Each is told once a term; one of an earlier version knows no lease. Raises StoreAway."""
        if agent.host not in self._cleared and self._may_rely():
            with contextlib.suppress(Unanswerable):
                await self._ask(agent, None, ())

    def _wanted(self, agent: Agent) -> tuple[str, ...]:
        protections = self._registry.protections().values()
        return relying(protections, self._registry.groups(), agent.host, agent.boot)

    def _put(self, known: HostLease | None, lease: HostLease | None) -> Puts:
        """Only over what was known when it was decided; and not over a fence that began since."""
        host = (lease or known).host  # type: ignore[union-attr]
        is_same = self._registry.lease(host) in (known, lease)
        return {f"leases/{host}": lease} if is_same and self._may_grant(host) else {}

    async def _ask(self, agent: Agent, known: HostLease | None, vms: tuple[str, ...]) -> None:
        """Raises StoreAway, Unanswerable."""
        newest = max(known.epoch if known else 0, self._tried.get(agent.host, 0))
        order = LeaseOrder(
            boot=agent.boot, epoch=newest + 1, vms=vms, held=self._held(agent.host, agent.boot)
        )
        self._tried[agent.host] = order.epoch
        self._cleared.discard(agent.host)
        word = await self._tell(agent, order)
        self._tried[agent.host] = max(order.epoch, word.epoch)
        if word.has_newer:
            return  # Another leader asked it before us: with a higher epoch it obeys.
        if not word.is_taken:
            self._note_trouble(agent, word.reason)
            return
        if vms and not 0 < word.watchdog_ms <= WATCHDOG_MS:
            self._note_trouble(agent, "its watchdog does not keep the time that it must")
            return
        # Its lease ran from when it was armed, which was before this.
        self._granted_until[agent.host] = max(self._granted_until.get(agent.host, 0), clock.now())
        made = HostLease(
            host=agent.host,
            boot=order.boot,
            epoch=order.epoch,
            vms=vms,
            watchdog_ms=word.watchdog_ms,
        )
        if known is not None or vms:
            await self._registry.change(lambda: self._put(known, made if vms else None))
        self.trouble.pop(agent.host, None)
        if not vms:
            self._cleared.add(agent.host)

    async def _tell(self, agent: Agent, order: LeaseOrder) -> LeaseWord:
        """Raises Unanswerable."""
        args = {"order": msgspec.to_builtins(order)}
        reply = await self._agents.ask(
            agent, QUESTION, args, by="the controller", term=self._term, limit_s=ASK_LIMIT_S
        )
        if reply.error:
            raise Unanswerable(reply.error, reply.hint)
        try:
            return msgspec.convert(reply.data, LeaseWord)
        except msgspec.ValidationError as error:
            raise Unanswerable(f"its answer is not understood: {error}", "") from None

    def _held(self, host: str, boot: str) -> tuple[str, ...]:
        return tuple(
            one.vm
            for one in self._registry.protections().values()
            if (one.tenure.host, one.tenure.boot) == (host, boot)
        )

    def _note_trouble(self, agent: Agent, why: str) -> None:
        if self.trouble.get(agent.host) != why:
            self.trouble[agent.host] = why
            log.warning("no VM can rely on a lease of %s: %s", agent.host_name, why)
