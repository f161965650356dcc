"""What a proof covers, and what it does not: of a host's boot, and of one VM's disks.

covers: H9
"""

from typing import Any

import pytest
from msgspec import structs

from holdfast.facts.tenure import (
    DeathProof,
    Identity,
    ProofKind,
    Tenure,
    TenureState,
    Wanted,
)
from holdfast.policy import proofs

HELD = Tenure(
    vm="web",
    generation=3,
    host="h2",
    boot="b2",
    state=TenureState.HELD,
    wanted=Wanted.RUNNING,
)
DISKS = ("root", "data", "swap")
CUT = DeathProof(
    kind=ProofKind.STORAGE,
    host="h2",
    boot="b2",
    vm="web",
    generation=3,
    disks=("root", "data"),
    remade=("swap",),
    is_unreachable=True,
)


def test_a_storage_proof_covers_the_vm_whose_disks_are_all_cut_off() -> None:
    assert proofs.covers(CUT, HELD, DISKS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vm": "db"},
        {"generation": 2},
        {"generation": 4},
        {"host": "h3"},
        {"disks": ("root",)},
        {"remade": ()},
    ],
    ids=str,
)
def test_it_covers_no_other_vm_generation_or_host_and_not_half_of_the_disks(
    wrong: dict[str, Any],
) -> None:
    assert not proofs.covers(structs.replace(CUT, **wrong), HELD, DISKS)


def test_where_its_disks_are_not_known_a_storage_proof_covers_nothing() -> None:
    """So nobody who knows of no disks can be told one by mistake."""
    assert not proofs.covers(CUT, HELD)


def test_a_guest_that_runs_on_from_memory_is_reachable_unless_that_is_borne() -> None:
    reachable = structs.replace(CUT, is_unreachable=False)
    assert not proofs.covers(reachable, HELD, DISKS)
    assert not proofs.covers(reachable, HELD, DISKS, Identity.CUT)
    assert proofs.covers(reachable, HELD, DISKS, Identity.TOLERATE)


def test_a_storage_proof_says_nothing_of_a_host() -> None:
    assert not proofs.is_dead(CUT, "h2", "b2")


@pytest.mark.parametrize("kind", [ProofKind.POWER, ProofKind.PERSON])
def test_what_proves_a_host_dead_covers_all_that_it_held_in_those_boots(kind: ProofKind) -> None:
    proof = DeathProof(kind=kind, host="h2", boot="b3", earlier=("b2",))
    assert proofs.covers(proof, HELD)
    assert not proofs.covers(proof, structs.replace(HELD, boot="b4"))
    assert not proofs.covers(proof, structs.replace(HELD, host="h3"))
