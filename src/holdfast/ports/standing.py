"""What stands raised of each part: said once, changed when it got other, cleared when it is over.

What comes and goes is not told each time: it is over only when it has been well for a while.
"""

from msgspec import Struct, structs

from holdfast.facts.hardware import Part, part_subject
from holdfast.facts.instants import Instant, after
from holdfast.facts.subjects import Subject
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.dues import Dues


class Wrong(Struct, frozen=True, kw_only=True):
    """What is wrong with a part; `evidence` may change without being news.

    `fault_at` is when it began to be wrong enough; `not_before` when the first sign of it was seen.
    """

    part: Part
    effect: Effect
    certainty: Certainty
    reason: str
    fault_at: Instant
    not_before: Instant | None = None
    evidence: dict[str, str] = {}


class Standing:
    """The verdicts of one detector and condition, by part."""

    def __init__(self, detector: str, condition: str, quiet_ms: float) -> None:
        self.quiet_ms = quiet_ms
        self._detector, self._condition = detector, condition
        self._raised: dict[str, Subject] = {}
        self._said: dict[str, Wrong] = {}
        self._over: dict[str, str] = {}
        self._dues: Dues[str] = Dues()

    def __contains__(self, key: str) -> bool:
        return key in self._raised

    def adopt(self, subject: Subject) -> None:
        """An agent before this one raised it."""
        self._raised.setdefault(subject.id, subject)

    def wrong(self, wrong: Wrong, now: Instant) -> list[Verdict]:
        """Say it, unless that is known. It is not about to be over any more."""
        key = wrong.part.key
        self._dues.set(key, None)
        known = self._said.get(key)
        if known is not None and _is_same(known, wrong):
            return []
        if known is not None:
            wrong = structs.replace(wrong, fault_at=known.fault_at, not_before=known.not_before)
        self._said[key] = wrong
        self._raised[key] = part_subject(wrong.part)
        return [
            FaultRaised(
                detector=self._detector,
                condition=self._condition,
                subject=self._raised[key],
                effect=wrong.effect,
                certainty=wrong.certainty,
                fault_at=wrong.fault_at,
                not_before=wrong.not_before,
                detected_at=now,
                reason=wrong.reason,
                cause=wrong.reason,
                evidence=wrong.evidence,
            )
        ]

    def happened(self, wrong: Wrong, now: Instant, over: str) -> list[Verdict]:
        """Say it; it is over when it does not happen again for the quiet time."""
        said = self.wrong(wrong, now)
        self.well(wrong.part.key, now, over)
        return said

    def well(self, key: str, at: Instant, reason: str) -> None:
        """It is over if it stays so: `reason` is said then."""
        if key in self._raised and key not in self._dues:
            self._over[key] = reason
            self._dues.set(key, after(at, self.quiet_ms))

    def over(self, key: str, at: Instant, reason: str) -> None:
        """It is over now: it was looked at, and nothing has to be waited for."""
        if key in self._raised:
            self._over[key] = reason
            self._dues.set(key, at)

    def wake(self, now: Instant) -> list[FaultCleared]:
        return [self._clear(key, now) for key in self._dues.take(now)]

    def deadline(self) -> Instant | None:
        return self._dues.first()

    def _clear(self, key: str, now: Instant) -> FaultCleared:
        self._said.pop(key, None)
        return FaultCleared(
            detector=self._detector,
            condition=self._condition,
            subject=self._raised.pop(key),
            at=now,
            reason=self._over.pop(key),
        )


def _is_same(known: Wrong, wrong: Wrong) -> bool:
    same = (known.effect, known.certainty, known.reason)
    return same == (wrong.effect, wrong.certainty, wrong.reason)
