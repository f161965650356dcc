"""Switches a silent host off, by its ladder of fence devices, for as long as that is wanted.

Before each device begins, the store, the term and policy are asked anew; and while one works, the
store and the term. A person who says that the host is dead is told of what is under way: it has
ended before the word is taken, and none begins after it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from holdfast.controller.fencing import failure_words, shared_words
from holdfast.controller.lease_proofs import LeaseProofs
from holdfast.controller.registry import Puts, Registry
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.fencing import DeviceTried, Fence, FenceDevice, FenceStep, Rehearsal
from holdfast.facts.outcomes import SiteOutcome
from holdfast.facts.tenure import DeathProof
from holdfast.ports import clock
from holdfast.ports.fencer import FenceFailed, Fencer
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

# A device that has not answered by then has the next one of the ladder begin beside it: both
# switch off, nothing else, so it does no harm that both may have done so.
NEXT_AFTER_S = 5.0
LOOK_S = 0.1  # So often it is looked whether a power-off that is under way is still wanted.
PATIENCE_S = 5.0  # So long a person's word waits for it to end by itself, before it is ended.
SAID_DEAD = "a person is about to say that it is dead"


class SwitchingOff:
    """`consume` gives policy what came of it; `why_not` says why a host may not be switched off
    now, or empty."""

    def __init__(
        self,
        *,
        registry: Registry,
        fencer: Fencer,
        term: Callable[[], int | None],
        consume: Callable[[SiteOutcome], None],
        why_not: Callable[[str], str],
        leases: LeaseProofs | None = None,
        next_after_s: float = NEXT_AFTER_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._registry, self._fencer = registry, fencer
        self._term, self._consume, self._why_not = term, consume, why_not
        self._leases = leases
        self._next_after_s, self._patience_s = next_after_s, patience_s
        self._under_way: dict[str, asyncio.Task[DeathProof]] = {}
        self._held: Counter[str] = Counter()
        self._failed: dict[str, tuple[DeviceTried, ...]] = {}  # All devices of a host, just now.

    async def switch_off(self, asked: act.SwitchOff) -> None:
        """Tells policy that it is off, with the proof; or why it is not."""
        fence = asked.fence
        if fence.host in self._under_way:
            self.not_off(asked, "it is being switched off already")
            return
        try:
            proof = await self._prove_off(fence)
        except FenceFailed as failed:
            self.not_off(asked, str(failed))
            if tried := self._failed.pop(fence.host, ()):
                await self._keep(fence.host, tried)
            return
        off = came.SwitchedOff(
            incident=asked.incident,
            at=clock.now(),
            host=fence.host,
            number=fence.number,
            proof=proof,
        )
        self._consume(off)
        await self._keep(fence.host, self._failed.pop(fence.host, ()))

    async def _keep(self, host: str, tried: tuple[DeviceTried, ...]) -> None:
        """A real try that failed says more than any rehearsal before it: until the next one nobody
        counts on these devices. One that worked has them rehearsed anew where they had failed."""
        ladder = [device.agent for device in self._registry.fencing(host).devices]
        newest = Rehearsal(host=host, devices=tried, utc_ms=clock.utc_ms()) if tried else None

        def wanted() -> Puts:
            known = self._registry.rehearsal(host)
            is_well = known is None or known.is_well
            if newest is None:
                return {} if is_well else {f"rehearsals/{host}": None}
            now = [device.agent for device in self._registry.fencing(host).devices]
            return {f"rehearsals/{host}": newest} if now == ladder == _agents(tried) else {}

        try:
            await self._registry.change(wanted)
        except StoreAway as away:
            log.warning("what the fence devices of %s said is not kept: %s", host, away)

    def not_off(self, asked: act.SwitchOff, reason: str) -> None:
        failure = came.NotSwitchedOff(
            incident=asked.incident,
            at=clock.now(),
            host=asked.fence.host,
            number=asked.fence.number,
            reason=reason,
        )
        self._consume(failure)

    @contextlib.asynccontextmanager
    async def held(self, host: str) -> AsyncIterator[str]:
        """Within it no power-off of this host begins, and one that was under way has ended.

        Yields what became of it, as a sentence for people, or nothing.
        """
        self._held[host] += 1
        try:
            climb, fence = self._under_way.get(host), self._registry.fence(host)
            if climb is not None and fence is not None and fence.is_lease:
                await _end([climb])  # It only waited: no power was touched.
                climb = None
            yield await self._see_it_end(climb) if climb is not None else ""
        finally:
            self._held[host] -= 1

    async def _see_it_end(self, climb: asyncio.Task[DeathProof]) -> str:
        await asyncio.wait([climb], timeout=self._patience_s)
        if not climb.done():
            await _end([climb])
            return (
                f"it was being switched off; that was ended after {self._patience_s:g} s, and its"
                " device may have taken the order: look that its power stays off for a minute"
                " before it is switched on again"
            )
        is_off = not climb.cancelled() and climb.exception() is None
        how = "its power was read back off" if is_off else "it could not be"
        return f"it was being switched off, and that has ended: {how}"

    async def _prove_off(self, fence: Fence) -> DeathProof:
        """Raises FenceFailed. It is over, whatever came of it, before anybody hears of that."""
        climb = self._under_way[fence.host] = asyncio.ensure_future(self._climb(fence))
        try:
            return await self._while_wanted(fence, climb)
        finally:
            await _end([climb])
            del self._under_way[fence.host]

    async def _while_wanted(self, fence: Fence, climb: asyncio.Task[DeathProof]) -> DeathProof:
        """Raises FenceFailed. What is committed goes on whatever is heard; but not once another
        leads, or the store says that it is over."""
        while not climb.done():
            refusal = self._is_over(fence)
            if refusal:
                await _end([climb])
                raise FenceFailed(refusal)
            await asyncio.wait([climb], timeout=LOOK_S)
        if climb.cancelled():
            raise FenceFailed(SAID_DEAD)
        return climb.result()

    async def _climb(self, fence: Fence) -> DeathProof:
        """By its devices; where none of them can, by its lease. Raises FenceFailed."""
        failed = ""
        if not fence.is_lease:
            try:
                return await self._climb_devices(fence)
            except FenceFailed as none:
                failed = str(none)
        refusal = self._refusal(fence)
        # Where no VM relies on one, that is no news of a device that failed.
        is_none = self._leases is None or (failed and not self._leases.can_come(fence))
        if self._leases is None or is_none or refusal:
            raise FenceFailed(failed or refusal)
        try:
            return await self._leases.prove(fence, lambda: self._refusal(fence))
        except FenceFailed as none:
            raise FenceFailed(_in_one_sentence([failed, str(none)])) from None

    async def _climb_devices(self, fence: Fence) -> DeathProof:
        """The first device that proves it. Raises FenceFailed with what each of them said."""
        loop = asyncio.get_running_loop()
        ladder = list(self._registry.fencing(fence.host).devices)
        said, works = dict[int, str](), dict[asyncio.Task[DeathProof], int]()
        tried = dict[int, DeviceTried]()
        begun, next_at = 0, loop.time()
        try:
            while begun < len(ladder) or works:
                is_due = begun < len(ladder) and (not works or loop.time() >= next_at)
                refusal = self._refusal(fence) if is_due else ""
                if refusal:
                    said[begun] = refusal
                    ladder = ladder[:begun]
                elif is_due:
                    off = asyncio.ensure_future(self._off(fence, ladder[begun]))
                    works[off] = begun
                    begun, next_at = begun + 1, loop.time() + self._next_after_s
                if not works:
                    continue
                wait_s = max(0.0, next_at - loop.time()) if begun < len(ladder) else None
                done, _ = await asyncio.wait(
                    works, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
                )
                for one in done:
                    place = works.pop(one)
                    try:
                        return one.result()
                    except FenceFailed as failed:
                        said[place] = f"{ladder[place].agent}: {failed}"
                        tried[place] = _tried(ladder[place], failed)
        finally:  # Of several that were at it none goes on, once one has proven it.
            await _end(works)
        words = _in_one_sentence([said[place] for place in sorted(said)])
        if tried and len(tried) == len(said):
            self._failed[fence.host] = tuple(tried[place] for place in sorted(tried))
        raise FenceFailed(words or "no fence device is set for it")

    async def _off(self, fence: Fence, device: FenceDevice) -> DeathProof:
        """Raises FenceFailed. A device of two hosts proves the death of neither."""
        if shared := shared_words(self._registry, fence.host, device):
            raise FenceFailed(f"{shared}, so nobody knows whom it would switch off")
        return await self._fencer.switch_off(fence, device)

    def _refusal(self, fence: Fence) -> str:
        held = SAID_DEAD if self._held[fence.host] else ""
        return self._is_over(fence) or held or self._why_not(fence.host)

    def _is_over(self, fence: Fence) -> str:
        known = self._registry.fence(fence.host)
        if self._term() != fence.term:
            return "this controller does not lead any more"
        if known is None or (known.number, known.step) != (fence.number, FenceStep.INTENDED):
            return "the store knows of no such intent"
        return ""


def _tried(device: FenceDevice, failed: FenceFailed) -> DeviceTried:
    said = f"could not switch it off: {failure_words(failed, device)}"
    return DeviceTried(agent=device.agent, is_well=False, said=said)


def _agents(tried: Iterable[DeviceTried]) -> list[str]:
    return [one.agent for one in tried]


async def _end(works: Iterable[asyncio.Task[Any]]) -> None:
    """A fence agent that is ended is gone, with all that it began, before this returns."""
    left = list(works)
    for one in left:
        one.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _in_one_sentence(said: list[str]) -> str:
    """Fence agents end what they say with a full stop, and others do not."""
    return "; ".join(one.removesuffix(".") for one in said if one)
