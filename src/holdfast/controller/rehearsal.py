"""Fence devices tried without harm: once a day, and when somebody asks for it.

The leader rehearses, and keeps what came of it in the store, so that the next one knows. A host on
which Holdfast is to act, and that no device could switch off, is an alarm.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from holdfast.controller.fencing import failure_words, shared_words
from holdfast.controller.raising import Wanted, set_alarms
from holdfast.controller.registry import Puts, Registry
from holdfast.facts.alarms import alarm_key
from holdfast.facts.fencing import DeviceTried, FenceDevice, FenceStep, HostMode, Rehearsal
from holdfast.facts.hearing import Sign
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.policy.rehearsals import is_due, what_helps, why_not_fenceable
from holdfast.policy.site_alarms import OF_REHEARSALS
from holdfast.ports import clock
from holdfast.ports.answers import REFUSED, Unanswerable
from holdfast.ports.fencer import FenceFailed, Fencer, PowerState
from holdfast.ports.store import StoreAway
from holdfast.ports.vim import Vim, VimAway, VimRefused

log = logging.getLogger(__name__)

LOOK_S = 10.0
MOST_AT_ONCE = 4
SPARE_S = 5.0  # Beyond a device's own deadline, which its adapter keeps.
NEW_LADDER_MS = 600_000  # So long the first rehearsal of a ladder may take to come.
WRONG_WAY = "says off while the host pulses: it is wired to another machine"


class Rehearsals:
    """`sign_of` is what is heard of a host here, `name_of` its name, `me` this controller's."""

    def __init__(
        self,
        *,
        registry: Registry,
        fencer: Fencer,
        vim: Vim,
        sign_of: Callable[[str], Sign],
        name_of: Callable[[str], str],
        term: Callable[[], int | None],
        me: str,
        boot: str,
    ) -> None:
        self._registry, self._fencer, self._vim = registry, fencer, vim
        self._sign_of, self._name_of, self._term = sign_of, name_of, term
        self._me, self._boot = me, boot
        self._running: dict[str, asyncio.Task[Rehearsal | None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if self._term() is not None and self._registry.is_loaded:
                    self.begin_due()
                    await self.settle_alarms()
        finally:
            for task in self._running.values():
                task.cancel()

    def begin_due(self) -> None:
        """Those whose time has come, a few at once."""
        utc_ms = clock.utc_ms()
        for held in self._registry.all_fencing():
            is_busy = len(self._running) >= MOST_AT_ONCE or self._is_fenced_now(held.host)
            newest = self._registry.rehearsal(held.host)
            if held.devices and not is_busy and is_due(held.host, newest, utc_ms):
                self._begin(held.host, "")

    async def rehearse(self, hosts: Collection[str], by: str, limit_s: float) -> list[str]:
        """Now, all at once; names those that take longer, and go on. Raises Unanswerable,
        StoreAway."""
        for host in hosts:
            if self._is_fenced_now(host):
                raise self._in_use(host)
        tasks = {host: self._begin(host, by) for host in hosts}
        if tasks:
            await asyncio.wait(tasks.values(), timeout=limit_s)
        for host, task in tasks.items():
            if task.cancelled():
                raise self._in_use(host)
            if task.done():
                task.result()
        await self.settle_alarms()
        return [host for host, task in tasks.items() if not task.done()]

    def store_changed(self, key: str) -> None:
        """A host that is to be switched off needs its devices at once. One that is back after they
        all had failed is rehearsed anew: what was wrong with them may have gone with its death."""
        folder, _, host = key.partition("/")
        if folder != "fences":
            return
        if host in self._running and self._is_fenced_now(host):
            self._running[host].cancel()
        fence, newest = self._registry.fence(host), self._registry.rehearsal(host)
        is_back = fence is not None and fence.step is FenceStep.CLOSED
        if is_back and newest is not None and not newest.is_well and self._term() is not None:
            self._begin(host, "")

    def _in_use(self, host: str) -> Unanswerable:
        name = self._name_of(host)
        text = f"{name} is being fenced now: its devices are in use"
        return Unanswerable(text, f"holdfast explain {name}", REFUSED)

    def _begin(self, host: str, by: str) -> "asyncio.Task[Rehearsal | None]":
        """One that is under way serves whoever asks meanwhile."""
        if host not in self._running:
            task = asyncio.create_task(self._rehearse(host, by))
            self._running[host] = task
            task.add_done_callback(lambda done: self._ended(host, done))
        return self._running[host]

    def _ended(self, host: str, task: "asyncio.Task[Rehearsal | None]") -> None:
        self._running.pop(host, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("the rehearsal of %s is lost: %s", self._name_of(host), error)

    async def _rehearse(self, host: str, by: str) -> Rehearsal | None:
        """Nothing where the ladder was changed meanwhile. Raises StoreAway."""
        devices = self._registry.fencing(host).devices
        tried = tuple([await self._try(host, device) for device in devices])
        newest = Rehearsal(host=host, devices=tried, utc_ms=clock.utc_ms(), by=by)

        def wanted() -> Puts:
            is_of_it = self._registry.fencing(host).devices == devices
            return {f"rehearsals/{host}": newest} if is_of_it else {}

        await self._registry.change(wanted)
        return self._registry.rehearsal(host)

    async def _try(self, host: str, device: FenceDevice) -> DeviceTried:
        said, is_well = "", False
        did_pulse = self._sign_of(host) is Sign.PULSE
        try:
            async with asyncio.timeout(device.deadline_s + SPARE_S):
                await self._fencer.check(device)
                state = await self._fencer.power(device)
        except FenceFailed as failed:
            said = failure_words(failed, device)
        except TimeoutError:
            said = f"does not answer within {device.deadline_s} s"
        else:
            pulses = did_pulse and self._sign_of(host) is Sign.PULSE
            is_well = not (pulses and state is PowerState.OFF)
            said = str(state) if is_well else WRONG_WAY
        shared = shared_words(self._registry, host, device)
        if shared:
            is_well, said = False, f"{shared}: give each host its own: holdfast fence set"
        return DeviceTried(agent=device.agent, is_well=is_well, said=said)

    def _is_fenced_now(self, host: str) -> bool:
        """Then its devices have something better to do; some serve only one at a time."""
        fence = self._registry.fence(host)
        return fence is not None and fence.is_switching

    async def settle_alarms(self) -> None:
        """One for each host that should be fenced when it dies, and could not be now."""
        try:
            told = (record.alarm for record in await self._vim.alarms())
            gone = [one.subject.id for one in told if one.condition == OF_REHEARSALS]
            hosts = dict.fromkeys([*gone, *(one.host for one in self._registry.all_fencing())])
            await set_alarms(self._vim, [self._wanted(host) for host in hosts], clock.now())
        except (VimAway, VimRefused, StoreAway) as error:
            log.warning("whether hosts can be fenced could not be told: %s", error)

    def _wanted(self, host: str) -> Wanted:
        held, name = self._registry.fencing(host), self._name_of(host)
        newest, utc_ms = self._registry.rehearsal(host), clock.utc_ms()
        is_new = newest is None and utc_ms - held.set_utc_ms < NEW_LADDER_MS
        lease = self._registry.lease(host)
        is_leased = not held.devices and lease is not None and bool(lease.vms)
        why = "" if is_new or is_leased else why_not_fenceable(held, newest, utc_ms)
        is_wrong = held.mode is HostMode.ACT and bool(why)
        return Wanted(
            key=alarm_key(host, OF_REHEARSALS),
            condition=OF_REHEARSALS,
            subject=Subject(kind=SubjectKind.HOST, id=host, name=name),
            host=self._me,
            boot=self._boot,
            text=f"{name} could not be fenced if it died now: {why}" if is_wrong else "",
            repair=f"Mend it, then: {what_helps(name, held.devices)}",
            is_followed=True,
        )
