"""The proof that a lease gives: so long ago was it granted last that what relied on it is gone."""

from holdfast.facts.fencing import Fence
from holdfast.facts.instants import NS_PER_MS, Instant, elapsed_ms, spoken
from holdfast.facts.lease_times import PROOF_MS
from holdfast.facts.leases import HostLease
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.ports import clock
from holdfast.ports.fencer import FenceFailed

OVER = "it has ended what relies on that, or its watchdog has reset it"


def due(granted_at: Instant) -> Instant:
    """When the proof may be made, of a lease that was not granted after that instant."""
    return Instant(granted_at + PROOF_MS * NS_PER_MS)


def lease_over(fence: Fence, lease: HostLease, granted_at: Instant) -> DeathProof:
    """Of the boot in which the host acknowledged the lease, and of the VMs that relied on it.

    Raises FenceFailed where it is too early, or the host acknowledged nothing for this boot.
    """
    at = clock.now()
    if at < due(granted_at):
        raise FenceFailed(f"the lease of {fence.name} may not be over yet.")
    if lease.host != fence.host or lease.boot != fence.boot or not lease.vms:
        raise FenceFailed(f"no VM of {fence.name} relies on a lease in this boot.")
    ago_ms = elapsed_ms(granted_at, at)
    return DeathProof(
        kind=ProofKind.WATCHDOG,
        host=fence.host,
        boot=fence.boot,
        vms=lease.vms,
        shown=(f"no controller granted its lease for {spoken(ago_ms)}: {OVER}",),
        took_ms=round(ago_ms),
    )
