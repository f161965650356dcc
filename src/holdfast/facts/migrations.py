"""The move of a running VM to another host: one record in the store, committed before it begins.

It is over when both ends said what they have of the VM, or are proven dead; no time-out decides.
"""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.tenure import DeathProof


class MigrationStep(StrEnum):
    BEGUN = "begun"  # Both ends only report, whatever happens to the VM.
    DONE = "done"  # The target holds the VM.
    UNDONE = "undone"  # The source holds it, as before.
    IN_DOUBT = "in doubt"  # It runs at both ends: a person decides, and it is still begun.


OPEN = (MigrationStep.BEGUN, MigrationStep.IN_DOUBT)


class End(StrEnum):
    """What one end has of the VM, as its agent said; or that nobody is there to have it."""

    UNKNOWN = ""  # No answer: that decides nothing.
    MOVING = "moving"  # The move is under way there.
    RUNS = "runs"  # It has the VM, and no move of it is under way.
    NOTHING = "nothing"  # It has nothing of it, and no move can bring it there any more.
    DEAD = "dead"  # The host is proven dead, in the boot that took part.


class Migration(Struct, frozen=True, kw_only=True):
    """`generation` and `revision` are those of the tenure that the source holds while it moves;
    with `number`, which counts the migrations of a VM, they tell a late order from a new one.

    `by` is the person who wanted it, or who holds the drain; `is_found`: somebody else began it
    (virsh), and the store learned of it. `reason` says how it ended. `elsewhere`: neither end has
    it, and this third host says that it runs there: who holds it is found out by the next one.
    """

    vm: str
    name: str
    number: int
    generation: int
    revision: int
    source: str
    source_boot: str
    target: str
    target_boot: str
    term: int
    step: MigrationStep
    limit_s: int
    by: str = ""
    is_found: bool = False
    is_cancelled: bool = False
    elsewhere: str = ""
    source_end: End = End.UNKNOWN
    target_end: End = End.UNKNOWN
    proofs: tuple[DeathProof, ...] = ()  # Of an end that is dead.
    reason: str = ""
    begun_utc_ms: int = 0
    ended_utc_ms: int = 0
    pause_ms: int | None = None  # For how long the guest stood still, as libvirt measured it.

    @property
    def is_open(self) -> bool:
        return self.step in OPEN


class Drain(Struct, frozen=True, kw_only=True):
    """A host in maintenance: nothing is placed there, and what runs there moves away."""

    host: str
    by: str
    limit_s: int
    since_utc_ms: int = 0


class Prediction(Struct, frozen=True, kw_only=True):
    """A person, or a tool, expects this host to fail soon, for this reason: nothing is placed
    there, and where Holdfast acts on the host, its VMs move away in time."""

    host: str
    name: str  # As it was called then.
    reason: str
    by: str
    since_utc_ms: int = 0


class Progress(Struct, frozen=True, kw_only=True):
    """How far a move is, as libvirt says. Not known yet: zero bytes in all."""

    total_bytes: int = 0
    left_bytes: int = 0
    elapsed_ms: int = 0

    @property
    def percent(self) -> int:
        if not self.total_bytes:
            return 0
        return max(0, min(100, 100 - 100 * self.left_bytes // self.total_bytes))
