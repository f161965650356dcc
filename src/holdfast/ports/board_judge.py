"""A sensor of the board is believed when it says the same twice: boards lie now and then."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from holdfast.facts.hardware import Advice, AlarmLeft, Part, PartKind, Reading, ReadingState
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.standing import Standing, Wrong

READINGS_NEEDED = 2
QUIET_MS = 60_000
STATES_KEPT = 1_000  # A board has some hundred sensors.


class Meaning(Struct, frozen=True, kw_only=True):
    effect: Effect
    certainty: Certainty
    advice: Advice
    text: str  # What is said of the sensor's name.


class BoardJudge:
    """Judges the sensors of one kind; `meanings` is what a state of them means."""

    def __init__(
        self,
        *,
        detector: str,
        condition: str,
        kind: PartKind,
        meanings: Mapping[ReadingState, Meaning],
        quiet_ms: float,
        readings: float,
    ) -> None:
        self._condition, self._kind, self._meanings = condition, kind, meanings
        self._needed = int(readings)
        self._standing = Standing(detector, condition, quiet_ms)
        self._rows: dict[str, tuple[bool, int, Instant]] = {}  # Is it bad, how often, since when.

    def observe(self, seen: Observation) -> list[Verdict]:
        match seen:
            case AlarmLeft() if seen.condition == self._condition:
                self._standing.adopt(seen.subject)
            case Reading() if seen.kind is self._kind and seen.state is not ReadingState.UNKNOWN:
                return self._read(seen)
            case _:
                pass
        return []

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._standing.wake(now)

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _read(self, seen: Reading) -> list[Verdict]:
        part = Part(kind=seen.kind, id=seen.name, name=seen.name)
        meaning = self._meanings.get(seen.state)
        is_bad = meaning is not None
        was_bad, times, since = self._rows.get(part.key, (is_bad, 0, seen.at))
        times, since = (times + 1, since) if was_bad is is_bad else (1, seen.at)
        self._rows[part.key] = (is_bad, times, since)
        while len(self._rows) > STATES_KEPT:
            del self._rows[next(iter(self._rows))]
        if times < self._needed:
            return []
        if meaning is None:
            self._standing.well(part.key, seen.at, f"{seen.name} is in order again")
            return []
        value = "" if seen.value is None else f"{seen.value:g} {seen.unit}".strip()
        wrong = Wrong(
            part=part,
            effect=meaning.effect,
            certainty=meaning.certainty,
            reason=f"{seen.name} {meaning.text}",
            fault_at=seen.at,
            not_before=since,
            evidence={"reading": value, "state": seen.state, "advice": meaning.advice},
        )
        return self._standing.wrong(wrong, seen.at)
