"""Which VMs rely on the lease of a host, and what the leader does next so that it is known there.

What the store says is what counts for a proof: a VM is taken off there before its host is told, and
put on there only after the host has acknowledged it.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from holdfast.facts.leases import HostLease
from holdfast.facts.promises import DEFAULT_GROUP, Group, Owner, Protection
from holdfast.facts.tenure import TenureState, Wanted


class Next(StrEnum):
    NOTHING = "nothing"
    TAKE_OFF = "take off"  # Fewer count from now on: in the store.
    ASK = "ask"  # The host is told what relies on its lease.


class Step(Struct, frozen=True, kw_only=True):
    """`vms` are those that count, or of which the host is told."""

    next: Next
    vms: tuple[str, ...] = ()


def relying(
    protections: Iterable[Protection], groups: Mapping[str, Group], host: str, boot: str
) -> tuple[str, ...]:
    """Those that should: held there in this boot, wanted running, and in a group that says so."""
    return tuple(
        sorted(
            one.vm
            for one in protections
            if (one.tenure.host, one.tenure.boot) == (host, boot)
            and one.tenure.state is TenureState.HELD
            and one.tenure.wanted is Wanted.RUNNING
            and _relies(groups.get(one.group, DEFAULT_GROUP))
        )
    )


def _relies(group: Group) -> bool:
    return group.lease and group.owner is Owner.HOLDFAST


def next_step(
    known: HostLease | None, boot: str, wanted: tuple[str, ...], *, is_disarmed: bool
) -> Step:
    """`known` is the store's. While recovery is disarmed no VM may be ended for a lease: it is
    endless then, and counts for nothing until the host has acknowledged another."""
    if is_disarmed:
        wanted = ()
    if known is None:
        return Step(next=Next.ASK, vms=wanted) if wanted else Step(next=Next.NOTHING)
    if known.boot != boot or known.is_over:
        return Step(next=Next.ASK, vms=wanted)
    kept = tuple(vm for vm in known.vms if vm in wanted)
    if kept != known.vms:
        return Step(next=Next.TAKE_OFF, vms=kept)
    if wanted != known.vms or not wanted:
        return Step(next=Next.ASK, vms=wanted)
    return Step(next=Next.NOTHING)
