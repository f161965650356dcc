"""What a proof covers, and whose VM may start on another host because of it."""

from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.tenure import DeathProof, ProofKind, Tenure, TenureState, Wanted


def covers(proof: DeathProof, tenure: Tenure) -> bool:
    """Whether whoever holds this tenure can do no more harm with it."""
    if proof.kind is ProofKind.STORAGE:
        return (proof.vm, proof.generation) == (tenure.vm, tenure.generation)
    return proof.host == tenure.host and tenure.boot in (proof.boot, *proof.earlier)


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
