"""The proof that a lease gives is made when it surely is over, and names what it is about.

covers: H9
"""

import pytest
from msgspec import structs

from holdfast.adapters.drivers.lease_proof import lease_over
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.lease_times import END_MS, LEASE_MS, PROOF_MS, WATCHDOG_MS
from holdfast.facts.leases import HostLease
from holdfast.facts.tenure import ProofKind
from holdfast.ports import clock
from holdfast.ports.fencer import FenceFailed

FENCE = Fence(
    host="h4",
    name="h4",
    boot="b1",
    earlier=("b0",),
    incident="",
    number=1,
    term=1,
    step=FenceStep.INTENDED,
    reason="it is silent",
    is_lease=True,
)
LEASE = HostLease(host="h4", boot="b1", epoch=3, vms=("a", "b"), watchdog_ms=WATCHDOG_MS)


def ago(ms: float) -> Instant:
    return Instant(clock.now() - round(ms * NS_PER_MS))


def test_it_names_host_boot_and_those_that_relied() -> None:
    proof = lease_over(FENCE, LEASE, ago(PROOF_MS + 1))
    assert (proof.kind, proof.host, proof.boot) == (ProofKind.WATCHDOG, "h4", "b1")
    assert (proof.vms, proof.earlier) == (("a", "b"), ())


@pytest.mark.parametrize("ms", [0, LEASE_MS, LEASE_MS + END_MS + WATCHDOG_MS, PROOF_MS - 500])
def test_before_all_of_its_time_there_is_none(ms: float) -> None:
    with pytest.raises(FenceFailed, match="may not be over yet"):
        lease_over(FENCE, LEASE, ago(ms))


@pytest.mark.parametrize("other", [{"boot": "b0"}, {"host": "h5"}, {"vms": ()}])
def test_what_was_not_acknowledged_in_this_boot_proves_nothing(other: dict[str, object]) -> None:
    with pytest.raises(FenceFailed, match="relies on a lease in this boot"):
        lease_over(FENCE, structs.replace(LEASE, **other), ago(PROOF_MS + 1))
