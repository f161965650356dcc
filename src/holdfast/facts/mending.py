"""How a host mends a fault of its own: a ladder of steps, each with a budget, each verified.

Ladders are data. Whoever knows a repair says what is done, by which mender, for how long at most,
and how it is seen that it helped; policy alone decides when a step is tried.
"""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.verdicts import Effect


class Risk(StrEnum):
    """What a step can cost, should it go wrong. On a suspicion only the first two are tried."""

    NONE = "none"
    SERVICE = "service"  # What is broken already is interrupted.
    GUESTS = "guests"  # VMs that run on may feel it.


class RepairStep(Struct, frozen=True, kw_only=True):
    """`mender` is the name of a plug-in, `args` are for it alone.

    `says` completes "to ...": what is done, for people. After it was done, the fault's own detector
    has `verify_ms` to say that it is over: a step's own word is not believed. `verified` says how
    that is seen, for people.
    """

    name: str
    says: str
    mender: str
    args: tuple[str, ...] = ()
    budget_ms: int
    verify_ms: int
    verified: str
    risk: Risk = Risk.SERVICE


class RepairLadder(Struct, frozen=True, kw_only=True):
    """The repair of one kind of fault: `condition`, of this `subject` (empty: of any).

    Without `evidence` of that name its steps can do nothing: then it is no repair of that fault.
    After `total_ms`, or after `runs_an_hour` of them, the VIM has it. While what it `needs` (ids of
    subjects) is itself broken, that is mended first.
    """

    condition: str
    subject: str = ""
    evidence: str = ""
    effects: tuple[Effect, ...] = (Effect.GONE, Effect.STUCK, Effect.DEGRADED)
    steps: tuple[RepairStep, ...]
    total_ms: int
    runs_an_hour: int = 3
    needs: tuple[str, ...] = ()


class HandOver(StrEnum):
    """What the site does about a host that could not mend itself, beside telling it."""

    REPORT = "report"
    QUARANTINE = "quarantine"  # No VM is placed there, as long as it lasts.
    DRAIN = "drain"  # And its VMs move away while they run, braked as any other act.


class StepResult(StrEnum):
    """What came of a step, as it was seen."""

    MENDED = "mended"
    NOT_VERIFIED = "not verified"  # It was done, and the fault is still there.
    WORSE = "made it worse"
    FAILED = "failed"
    OVERRAN = "ran too long"
    CUT_SHORT = "not awaited"  # The time of the whole ladder was over.


class Tried(Struct, frozen=True, kw_only=True):
    """One step that was tried, and what came of it."""

    step: str
    says: str
    result: StepResult
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.says}: {self.result}" + (f" ({self.reason})" if self.reason else "")


# How far a repair is, as an alarm says it in its details.
REPAIR, TRIED, HAND_OVER_AFTER_MS = "repair", "tried", "hand_over_after_fault_ms"
IN_PROGRESS, HELD_BACK, HANDED_OVER = "in progress", "held back", "handed over"
