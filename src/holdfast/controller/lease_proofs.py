"""How the leader proves that VMs which rely on a host's lease are gone: it waits, and counts."""

import asyncio
from collections.abc import Callable

from holdfast.adapters.drivers.lease_proof import due, lease_over
from holdfast.controller.registry import Registry
from holdfast.facts.fencing import Fence
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.tenure import DeathProof
from holdfast.ports import clock
from holdfast.ports.fencer import FenceFailed

LOOK_S = 1.0


class LeaseProofs:
    """`granted_at` says when a lease of the host may have been granted last, by anybody."""

    def __init__(self, registry: Registry, granted_at: Callable[[str], Instant]) -> None:
        self._registry, self._granted_at = registry, granted_at

    def can_come(self, fence: Fence) -> bool:
        """Whether VMs of that boot rely on it, so that its end would prove something."""
        lease = self._registry.lease(fence.host)
        return lease is not None and lease.boot == fence.boot and bool(lease.vms)

    async def prove(self, fence: Fence, refusal: Callable[[], str]) -> DeathProof:
        """While the intent stands nobody grants that lease any more. Raises FenceFailed."""
        while True:
            lease = self._registry.lease(fence.host)
            if lease is None or lease.boot != fence.boot or not lease.vms:
                raise FenceFailed("no VM of it relies on a lease")
            if why := refusal():
                raise FenceFailed(why)
            granted_at = self._granted_at(fence.host)
            left_s = (due(granted_at) - clock.now()) / NS_PER_S
            if left_s <= 0:
                return lease_over(fence, lease, granted_at)
            await asyncio.sleep(min(left_s, LOOK_S))
