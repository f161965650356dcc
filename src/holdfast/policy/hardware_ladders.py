"""How a host mends its own hardware: which part by which steps, and which of them may be felt."""

from holdfast.facts.hardware import ONE_CPU, PAGE
from holdfast.facts.mending import RepairLadder, RepairStep, Risk
from holdfast.facts.settings_hardware import Repair
from holdfast.facts.verdicts import Effect

HOUR_MS = 3_600_000
# A big disk is copied for a day and more. That it is still being copied its detector says, and
# when it is not any more.
REBUILD_MS = 48 * HOUR_MS

_PAGE = RepairStep(
    name="retire-page",
    says="take the page whose errors repeat out of use",
    mender="memory_page",
    budget_ms=15_000,
    verify_ms=5_000,
    verified="the kernel's flag of the page, and too few errors elsewhere",
    risk=Risk.NONE,
)
_WHOLE = "it is rebuilt, until it has all its members"
_MEMORY = RepairLadder(
    condition="memory-corrected",
    evidence=PAGE,
    effects=(Effect.DOOMED,),
    steps=(_PAGE, _PAGE, _PAGE),
    total_ms=60_000,
)
_RAID = RepairLadder(
    condition="raid-degraded",
    evidence="failed",
    effects=(Effect.DEGRADED,),
    steps=(
        RepairStep(
            name="put-back",
            says="put the failed member back, if its disk is well",
            mender="raid",
            args=("put-back",),
            budget_ms=30_000,
            verify_ms=REBUILD_MS,
            verified=_WHOLE,
            risk=Risk.NONE,
        ),
        RepairStep(
            name="spare",
            says="have a spare take its place",
            mender="raid",
            args=("spare",),
            budget_ms=30_000,
            verify_ms=REBUILD_MS,
            verified=_WHOLE,
            risk=Risk.NONE,
        ),
    ),
    total_ms=REBUILD_MS,
    runs_an_hour=1,
)


def _of_device(how: str, says: str) -> RepairStep:
    return RepairStep(
        name=how,
        says=says,
        mender="pci_device",
        args=(how,),
        budget_ms=20_000,
        verify_ms=5_000,
        verified="it answers, and has a driver",
        risk=Risk.GUESTS,
    )


_PCIE = RepairLadder(
    condition="pcie-error",
    effects=(Effect.GONE,),
    steps=(_of_device("reset", "reset it"), _of_device("rescan", "remove it and find it again")),
    total_ms=60_000,
)
_CPU = RepairLadder(
    condition="cpu-suspect",
    evidence=ONE_CPU,
    effects=(Effect.DOOMED,),
    steps=(
        RepairStep(
            name="offline",
            says="take the CPU that errs offline",
            mender="cpu",
            budget_ms=20_000,
            verify_ms=5_000,
            verified="it is offline, and no other CPU erred",
            risk=Risk.GUESTS,
        ),
    ),
    total_ms=60_000,
)

# Somebody who fails a member of a RAID on purpose, to replace it, must not be fought unasked.
HARMLESS = (_MEMORY,)
ASKED_FOR = (_RAID, _PCIE, _CPU)


def hardware_ladders(repair: Repair) -> tuple[RepairLadder, ...]:
    """Those that the settings ask for."""
    return {Repair.NONE: (), Repair.HARMLESS: HARMLESS, Repair.ALL: (*HARMLESS, *ASKED_FOR)}[repair]
