"""A fan failed when the host's board says twice that it stands still or turns too slowly."""

from holdfast.facts.hardware import Advice, PartKind, ReadingState
from holdfast.facts.verdicts import Certainty, Effect
from holdfast.ports.board_judge import QUIET_MS, READINGS_NEEDED, BoardJudge, Meaning
from holdfast.ports.detector import Detector

CONDITION = "fan-failed"
MEANINGS = {
    ReadingState.WARNING: Meaning(
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        advice=Advice.NOTHING,
        text="turns more slowly than it should",
    ),
    ReadingState.CRITICAL: Meaning(
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        advice=Advice.QUARANTINE,
        text="has failed: the host may overheat",
    ),
}


class FanFailed(BoardJudge):
    def __init__(self, *, quiet_ms: float = QUIET_MS, readings: float = READINGS_NEEDED) -> None:
        super().__init__(
            detector="fan_failed",
            condition=CONDITION,
            kind=PartKind.FAN,
            meanings=MEANINGS,
            quiet_ms=quiet_ms,
            readings=readings,
        )


PLUGIN: type[Detector] = FanFailed
