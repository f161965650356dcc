"""Who relies on a lease, in which order the store and the host are told, and what a proof covers.

covers: H9
"""

from typing import Any

import pytest
from msgspec import structs

from holdfast.facts.leases import HostLease
from holdfast.facts.promises import Answer, Group, Owner, Protection
from holdfast.facts.tenure import DeathProof, ProofKind, Tenure, TenureState, Wanted
from holdfast.policy.leases import Next, Step, next_step, relying
from holdfast.policy.proofs import covers, is_dead

TENURE = Tenure(
    vm="a",
    generation=1,
    host="h1",
    boot="b1",
    state=TenureState.HELD,
    wanted=Wanted.RUNNING,
)
LEASED = Group(name="leased", lease=True)
GROUPS = {"leased": LEASED, "plain": Group(name="plain")}
LEASE = HostLease(host="h1", boot="b1", epoch=4, vms=("a", "b"), watchdog_ms=10_000)


def protection(vm: str = "a", group: str = "leased", **changes: object) -> Protection:
    tenure = structs.replace(TENURE, vm=vm, **changes)
    return Protection(vm=vm, name=vm, group=group, answer=Answer(), tenure=tenure)


def test_by_default_no_vm_relies() -> None:
    assert not Group(name="any").lease
    assert (
        relying([protection(group="plain"), protection(group="unknown")], GROUPS, "h1", "b1") == ()
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "h2"},
        {"boot": "b0"},
        {"state": TenureState.MIGRATING},
        {"state": TenureState.RECOVERING},
        {"wanted": Wanted.STOPPED},
    ],
)
def test_only_what_is_held_there_in_this_boot_and_wanted_relies(changes: dict[str, Any]) -> None:
    assert relying([protection("a")], GROUPS, "h1", "b1") == ("a",)
    assert relying([protection("a", **changes)], GROUPS, "h1", "b1") == ()


def test_what_another_recovers_does_not_rely() -> None:
    groups = {"leased": structs.replace(LEASED, owner=Owner.EXTERNAL)}
    assert relying([protection("a")], groups, "h1", "b1") == ()


def step(
    known: HostLease | None, *wanted: str, boot: str = "b1", is_disarmed: bool = False
) -> Step:
    return next_step(known, boot, wanted, is_disarmed=is_disarmed)


def test_nothing_is_asked_where_nobody_relies() -> None:
    assert step(None) == Step(next=Next.NOTHING)


def test_a_vm_that_comes_is_asked_for_before_it_counts() -> None:
    assert step(None, "a") == Step(next=Next.ASK, vms=("a",))
    assert step(LEASE, "a", "b", "c") == Step(next=Next.ASK, vms=("a", "b", "c"))


def test_a_vm_that_goes_counts_no_more_before_its_host_is_told() -> None:
    assert step(LEASE, "a") == Step(next=Next.TAKE_OFF, vms=("a",))
    fewer = structs.replace(LEASE, vms=("a",))
    assert step(fewer, "a") == Step(next=Next.NOTHING)
    assert step(LEASE, "b", "c") == Step(next=Next.TAKE_OFF, vms=("b",))


def test_while_disarmed_none_counts_and_the_lease_is_endless() -> None:
    assert step(LEASE, "a", "b", is_disarmed=True) == Step(next=Next.TAKE_OFF, vms=())
    none = structs.replace(LEASE, vms=())
    assert step(none, "a", "b", is_disarmed=True) == Step(next=Next.ASK, vms=())
    assert step(None, "a", "b", is_disarmed=True) == Step(next=Next.NOTHING)


def test_another_boot_is_asked_anew() -> None:
    assert step(LEASE, "a", "b", boot="b2") == Step(next=Next.ASK, vms=("a", "b"))


def test_a_host_that_was_given_up_is_asked_anew_whoever_relies_then() -> None:
    over = structs.replace(LEASE, vms=(), is_over=True)
    assert step(over, "a") == Step(next=Next.ASK, vms=("a",))
    assert step(over) == Step(next=Next.ASK, vms=())  # Its watchdog is closed.


PROOF = DeathProof(kind=ProofKind.WATCHDOG, host="h1", boot="b1", vms=("a",))


@pytest.mark.parametrize(
    ("changes", "is_covered"),
    [
        ({}, True),
        ({"generation": 9}, True),
        ({"vm": "b"}, False),
        ({"host": "h2"}, False),
        ({"boot": "b2"}, False),
    ],
)
def test_a_lease_proves_only_what_relied_on_it(changes: dict[str, Any], is_covered: bool) -> None:
    assert covers(PROOF, structs.replace(TENURE, **changes)) is is_covered


def test_a_lease_does_not_prove_its_host_dead() -> None:
    assert not is_dead(PROOF, "h1", "b1")
    assert is_dead(structs.replace(PROOF, kind=ProofKind.POWER), "h1", "b1")
    earlier = structs.replace(PROOF, earlier=("b0",))
    assert not covers(earlier, structs.replace(TENURE, boot="b0"))
