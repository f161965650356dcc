"""The proof that a person gives: somebody looked at a host, and answers for it that it is dead."""

from collections.abc import Iterable

from holdfast.facts.fencing import Fence
from holdfast.facts.tenure import DeathProof, ProofKind


def confirmed_dead(fence: Fence, by: str, how: str, looked: Iterable[str] = ()) -> DeathProof:
    """Of the boots that the fence names. `how` is how the person knows, `looked` what Holdfast
    itself looked at before it took their word. Raises ValueError where nobody gives it, or no
    reason for it."""
    if not by or not how.strip():
        raise ValueError("a proof needs the name of who gives it, and how they know")
    return DeathProof(
        kind=ProofKind.PERSON,
        host=fence.host,
        boot=fence.boot,
        earlier=fence.earlier,
        shown=(f"{by} says that it is dead: {how.strip()}", *looked),
        by=by,
    )
