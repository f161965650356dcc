"""How the leader proves that VMs which rely on a host's lease are gone: it waits, and counts."""

import asyncio
from collections.abc import Callable

from holdfast.adapters.drivers.lease_proof import due, lease_over
from holdfast.controller.registry import Registry
from holdfast.facts.fencing import Fence
from holdfast.facts.instants import NS_PER_S, Instant, elapsed_ms, spoken
from holdfast.facts.tenure import DeathProof
from holdfast.ports import clock
from holdfast.ports.fencer import FenceFailed

LOOK_S = 1.0


class LeaseProofs:
    """`granted_at` says when a lease of the host may have been granted last, by anybody;
    `note_over` has none granted from then on."""

    def __init__(
        self,
        registry: Registry,
        granted_at: Callable[[str], Instant],
        note_over: Callable[[Fence], None],
    ) -> None:
        self._registry, self._granted_at, self._note_over = registry, granted_at, note_over

    def can_come(self, fence: Fence) -> bool:
        """Whether VMs of that boot rely on it, so that its end would prove something."""
        lease = self._registry.lease(fence.host)
        return lease is not None and lease.boot == fence.boot and bool(lease.vms)

    def words(self, host: str) -> str:
        """What a person should know who says that the host is dead, or nothing."""
        lease = self._registry.lease(host)
        left_ms = elapsed_ms(clock.now(), due(self._granted_at(host)))
        if lease is None or not lease.vms or left_ms <= 0:
            return ""
        known = self._registry.protections()
        names = ", ".join(known[vm].name if vm in known else vm for vm in lease.vms)
        left = f"for {spoken(left_ms)} more"
        return f"if it is only cut off, {names} may run there {left}, until its lease is over"

    async def prove(self, fence: Fence, refusal: Callable[[], str]) -> DeathProof:
        """While the intent stands nobody grants that lease any more, unless recovery is disarmed:
        then it is counted anew. Raises FenceFailed."""
        while True:
            lease = self._registry.lease(fence.host)
            if lease is None or lease.boot != fence.boot or not lease.vms:
                raise FenceFailed("no VM of it relies on a lease")
            if why := refusal():
                raise FenceFailed(why)
            granted_at = self._granted_at(fence.host)
            left_s = (due(granted_at) - clock.now()) / NS_PER_S
            if left_s <= 0:
                self._note_over(fence)
                return lease_over(fence, lease, granted_at)
            await asyncio.sleep(min(left_s, LOOK_S))
