"""A power supply failed when the host's board says twice that it is broken or has no mains."""

from holdfast.facts.hardware import Advice, PartKind, ReadingState
from holdfast.facts.verdicts import Certainty, Effect
from holdfast.ports.board_judge import QUIET_MS, READINGS_NEEDED, BoardJudge, Meaning
from holdfast.ports.detector import Detector

CONDITION = "power-supply-failed"
FAILED = Meaning(
    effect=Effect.DEGRADED,
    certainty=Certainty.CERTAIN,
    advice=Advice.QUARANTINE,
    text="has failed: the next one ends the host",
)
MEANINGS = {ReadingState.WARNING: FAILED, ReadingState.CRITICAL: FAILED}


class PowerSupplyFailed(BoardJudge):
    def __init__(self, *, quiet_ms: float = QUIET_MS, readings: float = READINGS_NEEDED) -> None:
        super().__init__(
            detector="power_supply_failed",
            condition=CONDITION,
            kind=PartKind.POWER,
            meanings=MEANINGS,
            quiet_ms=quiet_ms,
            readings=readings,
        )


PLUGIN: type[Detector] = PowerSupplyFailed
