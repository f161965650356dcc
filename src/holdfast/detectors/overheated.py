"""A host overheats when its board says twice that a temperature passed a limit of its own."""

from holdfast.facts.hardware import Advice, PartKind, ReadingState
from holdfast.facts.verdicts import Certainty, Effect
from holdfast.ports.board_judge import QUIET_MS, READINGS_NEEDED, BoardJudge, Meaning
from holdfast.ports.detector import Detector

CONDITION = "overheated"
MEANINGS = {
    ReadingState.WARNING: Meaning(
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        advice=Advice.QUARANTINE,
        text="is warmer than it should be",
    ),
    ReadingState.CRITICAL: Meaning(
        effect=Effect.DOOMED,
        certainty=Certainty.PREDICTED,
        advice=Advice.DRAIN,
        text="is so hot that the host may switch itself off",
    ),
}


class Overheated(BoardJudge):
    def __init__(self, *, quiet_ms: float = QUIET_MS, readings: float = READINGS_NEEDED) -> None:
        super().__init__(
            detector="overheated",
            condition=CONDITION,
            kind=PartKind.TEMPERATURE,
            meanings=MEANINGS,
            quiet_ms=quiet_ms,
            readings=readings,
        )


PLUGIN: type[Detector] = Overheated
