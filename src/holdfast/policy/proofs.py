"""What a proof covers, and whose VM may start on another host because of it."""

from collections.abc import Collection, Iterable, Mapping

from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.migrations import End, Migration, MigrationStep
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.tenure import (
    RESTORED,
    DeathProof,
    Identity,
    ProofKind,
    Tenure,
    TenureState,
    Wanted,
)


def covers(
    proof: DeathProof,
    tenure: Tenure,
    disks: Collection[str] = (),
    identity: Identity = Identity.CUT,
) -> bool:
    """Whether whoever holds this tenure can do no more harm with it. `disks` are all that the VM
    writes to: where they are not known, no cut of some of them proves anything."""
    if proof.kind is ProofKind.STORAGE:
        return _is_cut_off(proof, tenure, disks, identity)
    if proof.kind is ProofKind.WATCHDOG:  # Its host may live, and run what does not rely on it.
        is_it = (proof.host, proof.boot) == (tenure.host, tenure.boot)
        return is_it and tenure.vm in proof.vms
    return proof.host == tenure.host and tenure.boot in (proof.boot, *proof.earlier)


def _is_cut_off(
    proof: DeathProof, tenure: Tenure, disks: Collection[str], identity: Identity
) -> bool:
    """Every disk, of this VM in this generation, on this host; and the guest that runs on there
    from memory either is borne, or reaches nobody."""
    of_proof = (proof.vm, proof.generation, proof.host)
    if of_proof != (tenure.vm, tenure.generation, tenure.host) or not disks:
        return False
    is_whole = all(disk in proof.disks or disk in proof.remade for disk in disks)
    return is_whole and (identity is Identity.TOLERATE or proof.is_unreachable)


def proof_of(fence: Fence | None) -> DeathProof | None:
    """That of a fence that is open: once it is closed, its host may have been given VMs anew."""
    if fence is None or fence.step is not FenceStep.OFF or fence.proof is None:
        return None
    return fence.proof


def may_place(tenure: Tenure, asked: Recovery, known: Recovery | None) -> str:
    """Why the VM may not be placed as asked, or empty. `tenure` and `known` are the store's.

    It is asked in the transaction itself: policy may have decided on what is over by now.
    """
    if tenure.wanted is not Wanted.RUNNING:
        return "it is wanted stopped"
    if tenure.state is TenureState.MIGRATING:
        return "it migrates"
    if asked.generation != tenure.generation + 1:
        return f"its generation is {tenure.generation} by now"
    is_back = (
        known is not None
        and known.step is RecoveryStep.GIVEN_BACK
        and (known.generation, known.target) == (tenure.generation, tenure.host)
    )
    if is_back and known is not None and known.proof == asked.proof:
        return ""
    if not covers(asked.proof, tenure):
        return f"the proof says nothing of {tenure.host} in boot {tenure.boot or 'none'}"
    return ""


GONE = (End.NOTHING, End.DEAD)


def outcome(source: End, target: End) -> MigrationStep | None:
    """How a migration ends by what both ends have; None: nobody knows yet.

    Where neither has it, it goes to the end from which it can be started: to the source, but for a
    target that died with all that had come to it.
    """
    match source, target:
        case End.RUNS, End.RUNS:
            return MigrationStep.IN_DOUBT
        case _ if source in GONE and target is End.RUNS:
            return MigrationStep.DONE
        case End.NOTHING, End.DEAD:
            return MigrationStep.DONE
        case _ if target in GONE and source in (*GONE, End.RUNS):
            return MigrationStep.UNDONE
        case _:
            return None


def may_begin(
    tenure: Tenure, asked: Migration, known: Migration | None, others: Iterable[Migration] = ()
) -> str:
    """Why this migration may not begin, or empty. `tenure` and `known` are the store's, and
    `others` those of all VMs that it has."""
    if known is not None and known.is_open:
        return "it migrates already"
    if tenure.wanted is not Wanted.RUNNING:
        return "it is wanted stopped"
    if (tenure.generation, tenure.host) != (asked.generation, asked.source):
        return "another host holds it by now"
    wanted = TenureState.MIGRATING if asked.is_found else TenureState.HELD
    if tenure.state is not wanted or tenure.boot != asked.source_boot:
        return f"its tenure is {tenure.state}" if tenure.state is not wanted else "its host booted"
    if not asked.is_found and is_busy(asked, others):
        return "another VM moves from or to one of both hosts by now"
    is_next = asked.number == (known.number if known is not None else 0) + 1
    return "" if is_next and asked.target != asked.source else "it was asked for in the past"


def is_busy(asked: Migration, others: Iterable[Migration]) -> bool:
    ends = {asked.source, asked.target}
    return any(one.is_open and ends & {one.source, one.target} for one in others)


def may_end(
    tenure: Tenure, asked: Migration, known: Migration | None, fences: Mapping[str, Fence]
) -> str:
    """Why a migration does not end as asked, or empty: it takes a word or a proof of both ends."""
    if known is None or known.number != asked.number or not known.is_open:
        return "it is over already"
    if (tenure.host, tenure.generation) != (known.source, known.generation):
        return "another host holds it by now"
    if tenure.boot == RESTORED:
        return "the store came out of a backup, and both ends have not greeted since"
    if asked.step is not outcome(asked.source_end, asked.target_end):
        return "that is not what both ends say"
    for end, host, boot in (
        (asked.source_end, known.source, tenure.boot),
        (asked.target_end, known.target, known.target_boot),
    ):
        proof = proof_of(fences.get(host))
        if end is End.DEAD and (proof not in asked.proofs or not is_dead(proof, host, boot)):
            return f"nothing proves {host} dead in boot {boot}"
    return ""


def is_dead(proof: DeathProof | None, host: str, boot: str) -> bool:
    """Whether the host can do no more harm in that boot."""
    of_parts = (ProofKind.STORAGE, ProofKind.WATCHDOG)
    if proof is None or proof.kind in of_parts or proof.host != host:
        return False
    return boot in (proof.boot, *proof.earlier)
