"""What is wrong, as a detector judged it.

Policy branches on the subject and the effect only, never on which detector spoke: that is what
lets a new detector be one new file. `condition` is a row of the alarm catalogue.
"""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.instants import Instant
from holdfast.facts.subjects import Incarnation, Subject


class Effect(StrEnum):
    GONE = "gone"  # It does not run.
    STUCK = "stuck"  # It runs and does not serve.
    DEGRADED = "degraded"  # It serves, worse than it should, or mends itself.
    DOOMED = "doomed"  # It serves, and will not for long. People read: failure predicted.


class Certainty(StrEnum):
    CERTAIN = "certain"
    SUSPECTED = "suspected"
    PREDICTED = "predicted"


class FaultRaised(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """`fault_at` is the best knowledge of when it happened; `not_before` bounds it if unsure.

    Raised again with the same subject, life and condition, it changes what was said before
    (a suspicion became certain, a cause became known).
    """

    detector: str
    condition: str
    subject: Subject
    effect: Effect
    certainty: Certainty
    fault_at: Instant
    detected_at: Instant
    reason: str
    life: Incarnation | None = None
    not_before: Instant | None = None
    boot: str = ""  # The subject's, where it is not the judge's own: a host that went silent.
    cause: str = ""
    evidence: dict[str, str] = {}


class FaultCleared(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """It is over, or (`was_wrong`) it never was: a suspicion is retracted, and that is said."""

    detector: str
    condition: str
    subject: Subject
    at: Instant
    reason: str
    life: Incarnation | None = None
    boot: str = ""
    was_wrong: bool = False


class StopWanted(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A VM ended because somebody wanted it to. No alarm; wanted becomes stopped."""

    life: Incarnation
    at: Instant
    how: str
    reason: str
    moved_away: bool = False


class VmRan(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A VM runs: a new life began, or was found. Wanted becomes running."""

    life: Incarnation
    name: str
    at: Instant
    found: bool = False


class VmProcessEnded(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The last sign of a life: the process is gone, whatever the reason."""

    life: Incarnation
    at: Instant


class HostHeard(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """A host pulses: for the first time, after a silence, or in a new boot."""

    subject: Subject
    boot: str
    at: Instant


Verdict = FaultRaised | FaultCleared | StopWanted | VmRan | VmProcessEnded | HostHeard
