"""How many hosts the site can lose, tried on paper again and again; an alarm when it is too few.

A trial looks at every VM of a host and every other host: it is done loss by loss, with rests
between, so that nothing else waits for it; and not at all where nothing has changed.
"""

import asyncio
import logging
from collections.abc import Callable
from math import comb
from typing import Any

from msgspec import Struct, structs

from holdfast.controller.raising import Wanted, set_alarms
from holdfast.facts.alarms import AlarmState, alarm_key
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.wire import VmSummary
from holdfast.policy import admission, brakes, guarantee
from holdfast.policy.admission import Obstacle
from holdfast.policy.guarantee import MOST_TOGETHER, Absorbed, Paper
from holdfast.policy.site_alarms import OF_GUARANTEES
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld
from holdfast.ports import clock
from holdfast.ports.answers import USAGE, Unanswerable
from holdfast.ports.vim import Vim, VimAway, VimRefused

log = logging.getLogger(__name__)

LOOK_S = 10.0
REST_TIMES = 2  # As long as a trial took, and so many times: a third of one core at most.
LONGEST_REST_S = 0.2
SOON_S = 1.0  # Who only wants to show VMs waits no longer for it.
LOST_AFTER_MS = 60_000  # A host that reboots is missed for shorter than that, or has an alarm.
NAMED = 3
HELPS = "Who would start nowhere, and why: holdfast guarantee. Make room there, or add a host."


class Reckoned(Struct, frozen=True, kw_only=True):
    """`tried` by how many hosts are lost together; `tolerable` is the largest such number of which
    every loss would be absorbed, as far as it was tried. `acting`: hosts on which Holdfast acts;
    `hindered` says of each of these that it could not act on now, why."""

    at: Instant
    utc_ms: int
    tried: dict[int, tuple[Absorbed, ...]]
    tolerable: int
    acting: int
    hindered: tuple[str, ...]
    hosts: int
    brake: int
    obstacles: dict[str, Obstacle | None]


class Guarantees:
    """`target` is how many hosts may be lost at once; 0: no matter. `world` is what is believed,
    `unfenceable` says of a host why no device could switch it off now, or nothing."""

    def __init__(
        self,
        *,
        world: Callable[[], SiteWorld],
        vim: Vim,
        is_leading: Callable[[], bool],
        target: int,
        me: str,
        boot: str,
        unfenceable: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._unfenceable = unfenceable
        self._world, self._vim, self._is_leading = world, vim, is_leading
        self.target, self._me, self._boot = target, me, boot
        self._newest: Reckoned | None = None
        self._look: tuple[Any, ...] = ()
        self._busy = asyncio.Lock()
        self._short_since: Instant | None = None
        self._task: asyncio.Task[Reckoned] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._is_leading():
                    await self.settle_alarm(await self.newest(), clock.now())
                else:
                    self._short_since = None
        finally:
            if self._task is not None:
                self._task.cancel()

    async def newest(self, together: int = 1) -> Reckoned:
        """At most so old as it is looked; with the loss of so many hosts at once among it."""
        wanted = max(together, self.target, 1)
        async with self._busy:
            known, now = self._newest, clock.now()
            # A host more or less changes all of it: a new leader learns of them one by one.
            is_enough = (
                known is not None
                and wanted <= max(known.tried)
                and known.hosts == len(self._world().hosts)
            )
            if known is not None and is_enough and now - known.at < LOOK_S * NS_PER_S:
                return known
            look = _look(self._world(), self._not_fenceable())
            if known is None or not is_enough or look != self._look:
                known = await self._reckon(self._world(), wanted)
                self._look = look
            self._newest = structs.replace(known, at=clock.now())
            return self._newest

    async def soon(self) -> None:
        """For whoever shows VMs: what is said of them is new, unless that takes too long."""
        self._task = self._task or asyncio.ensure_future(self.newest())
        self._task.add_done_callback(self._ended)
        await asyncio.wait((self._task,), timeout=SOON_S)

    def _ended(self, task: "asyncio.Task[Reckoned]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the loss of hosts could not be tried", exc_info=error)

    def worded(self, summary: VmSummary) -> VmSummary:
        """With the site's word on its start elsewhere; its agent's own obstacle comes first."""
        newest, unknown = self._newest, Obstacle(reason="", helps="")
        if newest is None or newest.hosts < 2 or not summary.is_protected:
            return summary
        found = newest.obstacles.get(summary.vm, unknown)
        if found is unknown and not summary.elsewhere:
            return summary
        reason = summary.elsewhere or (found.reason if found is not None else "")
        return structs.replace(summary, elsewhere=reason, starts_elsewhere=not reason)

    def if_lost(self, host: str) -> dict[str, Any] | None:
        """What would become of the loss of this host; None: it was not tried."""
        tried = self._newest.tried[1] if self._newest is not None else ()
        return next((_row(one) for one in tried if one.hosts == (host,)), None)

    async def try_with(self, promise: Promise) -> tuple[Obstacle | None, str]:
        """What a new promise would mean: why the VM would not start elsewhere, or None; and whom
        it would leave without a place, as a sentence, or empty."""
        before = await self.newest()
        world = admission.with_promise(self._world(), promise)
        paper, vm = Paper(world, self._not_fenceable()), promise.protection.vm
        of_host = promise.protection.tenure.host
        lost = paper.lose((of_host,)) if of_host in paper.world.hosts else None
        found = admission.obstacle(world, promise, lost)
        # What runs already takes its room now: then only the loss of its own host is another.
        is_light = _runs(world, promise) and world.group_of(promise.protection).spread == "none"
        host = of_host if is_light else ""
        for together in range(1, self.target + 1):
            known = {one.hosts: one for one in before.tried.get(together, ())}
            for after in await self._try(paper, together, host):
                broken = admission.broken_by(vm, known, after)
                if broken:
                    return found, broken
        return found, ""

    def _not_fenceable(self) -> dict[str, str]:
        said = {host: self._unfenceable(host) for host in self._world().hosts}
        return {host: why for host, why in said.items() if why}

    async def _reckon(self, world: SiteWorld, most: int) -> Reckoned:
        paper = Paper(world, self._not_fenceable())
        hindered = map(paper.hindered, paper.world.hosts.values())
        tried = {number: await self._try(paper, number) for number in range(1, most + 1)}
        kept = [number for number in tried if guarantee.is_kept(tried[number])]
        tolerable = next((n - 1 for n in tried if n not in kept), len(tried))
        return Reckoned(
            at=clock.now(),
            utc_ms=clock.utc_ms(),
            tried=tried,
            tolerable=tolerable,
            acting=sum(
                not guarantee.inaction(paper.world, one) for one in paper.world.hosts.values()
            ),
            hindered=tuple(filter(None, hindered)),
            hosts=len(paper.world.hosts),
            brake=brakes.allowed(paper.world),
            obstacles=admission.obstacles(paper.world, tried[1]),
        )

    async def _try(self, paper: Paper, together: int, host: str = "") -> tuple[Absorbed, ...]:
        found, began = [], clock.now()
        for absorbed in paper.lose_each(together, host):
            found.append(absorbed)
            took_s = (clock.now() - began) / NS_PER_S
            await asyncio.sleep(min(LONGEST_REST_S, took_s * REST_TIMES))
            began = clock.now()
        return tuple(found)

    # What is said of it.

    async def settle_alarm(self, newest: Reckoned, now: Instant) -> None:
        """Open when too few losses are tolerable for a minute; over as soon as they are again."""
        key = alarm_key("site", OF_GUARANTEES)
        is_short = newest.tolerable < self.target
        if not is_short:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = now
        since = self._short_since
        try:
            told = [one.alarm for one in await self._vim.alarms()]
            is_open = any(a.key == key and a.state is not AlarmState.CLEARED for a in told)
            is_due = since is not None and now - since >= LOST_AFTER_MS * NS_PER_MS
            wanted = Wanted(
                key=key,
                condition=OF_GUARANTEES,
                subject=Subject(kind=SubjectKind.POOL, id="site", name="the site"),
                host=self._me,
                boot=self._boot,
                text=self._lost_words(newest) if is_short and (is_due or is_open) else "",
                repair=HELPS,
                is_followed=True,
            )
            await set_alarms(self._vim, [wanted], now)
        except (VimAway, VimRefused) as error:
            log.warning("how many hosts may be lost could not be told: %s", error)

    def _lost_words(self, newest: Reckoned) -> str:
        wanted = f"{self.target} host{'s' if self.target > 1 else ''}"
        worst = next(one for one in newest.tried[newest.tolerable + 1] if _is_bad(one))
        return f"the loss of {wanted} can not be absorbed: {loss_words(worst)}"

    def status(self) -> dict[str, Any] | None:
        """Of what was reckoned last; None: nothing yet."""
        return self.shown(self._newest) if self._newest is not None else None

    def shown(self, newest: Reckoned) -> dict[str, Any]:
        """For status: in short."""
        bad = [one for one in newest.tried[1] if _is_bad(one)]
        return {
            "target": self.target,
            "tolerable": newest.tolerable,
            "acting": newest.acting,
            "hindered": list(newest.hindered),
            "hosts": newest.hosts,
            "is_kept": newest.tolerable >= self.target,
            "would_leave": [loss_words(one) for one in bad[:NAMED]],
            "more": max(0, len(bad) - NAMED),
        }

    async def ask(self, args: dict[str, Any]) -> dict[str, Any]:
        """The whole table. Raises Unanswerable."""
        together = int(args.get("hosts") or 1)
        if not 1 <= together <= MOST_TOGETHER:
            text = f"the loss of 1 to {MOST_TOGETHER} hosts at once can be tried, not of {together}"
            raise Unanswerable(text, "holdfast guarantee --hosts 2", USAGE)
        newest = await self.newest(together)
        tried = newest.tried[together]
        return {
            **self.shown(newest),
            "together": together,
            "utc_ms": newest.utc_ms,
            "brake": newest.brake,
            "untried": comb(newest.hosts, together) - len(tried),
            "losses": [_row(one) for one in tried],
        }


def loss_words(one: Absorbed) -> str:
    """Which loss would leave which VMs down, and why."""
    names = [vm.name for vm in one.stays[:NAMED]]
    rest = len(one.stays) - len(names)
    said = ", ".join(names) + (f" and {rest} more" if rest else "")
    return f"without {' and '.join(one.names)} {said} would stay down: {one.stays[0].reason}"


def _runs(world: SiteWorld, promise: Promise) -> bool:
    record = world.hosts.get(promise.protection.tenure.host)
    return record is not None and any(one.vm == promise.protection.vm for one in record.vms)


def _is_bad(one: Absorbed) -> bool:
    return bool(one.stays) and not one.inaction


def _row(one: Absorbed) -> dict[str, Any]:
    return {
        "hosts": list(one.hosts),
        "names": list(one.names),
        "vms": one.vms,
        "inaction": one.inaction,
        "hindered": one.hindered,
        "stays": [{"vm": vm.vm, "name": vm.name, "reason": vm.reason} for vm in one.stays],
    }


def _look(world: SiteWorld, unfenceable: dict[str, str]) -> tuple[Any, ...]:
    """All that a trial looks at: while that is the same, so is what comes of it."""
    hosts = tuple(
        ((h.host, h.name, h.rack, h.zone, h.mode, h.devices, h.size, h.can_start), _state(h))
        for h in world.hosts.values()
    )
    targets = tuple((vm, one.target) for vm, one in world.starting.items())
    acts = (world.fences, world.leases, world.migrations, world.drains, world.predictions)
    rest = (world.promises, world.groups, *acts, unfenceable)
    counted = tuple(one.host for one in brakes.counted(world))
    brake = (world.disarm, world.brake, tuple(world.own_faults), counted)
    return (hosts, targets, brake, *(tuple(one.values()) for one in rest))


def _state(record: HostRecord) -> tuple[Any, ...]:
    told = (record.boot, record.told_boot, record.vms, tuple(record.faults))
    return (record.state, record.pulses, *told)
