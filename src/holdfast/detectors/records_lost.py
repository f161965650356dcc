"""Records are lost when something could not be written or read back; each loss is counted."""

from collections import Counter
from collections.abc import Iterable

from holdfast.facts.instants import Instant, after, elapsed_ms
from holdfast.facts.observations import Observation, PieceLost
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector

QUIET_MS = 60_000  # The recorder writes every second: a minute of that shows that the disk works.
CHANGE_EVERY_MS = 10_000  # Saying that a write failed writes again: this ends the circle.
KINDS_COUNTED = 50  # Names of what was lost come from outside; the rest is counted together.

CONDITION = "records-lost"
SUBJECT = Subject(kind=SubjectKind.HOLDFAST, id="agent", name="agent")


class RecordsLost:
    def __init__(
        self, *, quiet_ms: float = QUIET_MS, change_every_ms: float = CHANGE_EVERY_MS
    ) -> None:
        self.quiet_ms = quiet_ms
        self.change_every_ms = change_every_ms
        self._lost: Counter[str] = Counter()
        self._fault_at = Instant(0)
        self._said_at: Instant | None = None
        self._due: Instant | None = None
        self._has_looked = False

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        if not self._has_looked:
            self._has_looked = True
            self._due = after(seen.at, self.quiet_ms)  # Clears what was raised before we came.
        if not isinstance(seen, PieceLost):
            return ()
        is_known = seen.what in self._lost
        if not self._lost:
            self._fault_at = seen.at
        what = seen.what if is_known or len(self._lost) < KINDS_COUNTED else "others"
        self._lost[what] += seen.count
        self._due = after(seen.at, self.quiet_ms)
        said_at = self._said_at
        if is_known and said_at and elapsed_ms(said_at, seen.at) < self.change_every_ms:
            return ()
        self._said_at = seen.at
        return [self._raised(seen)]

    def wake(self, now: Instant) -> Iterable[Verdict]:
        if self._due is None or now < self._due:
            return ()
        said = ", ".join(f"{count} of {what}" for what, count in sorted(self._lost.items()))
        self._lost.clear()
        self._said_at = self._due = None
        return [
            FaultCleared(
                detector="records_lost",
                condition=CONDITION,
                subject=SUBJECT,
                at=now,
                reason=f"nothing was lost for a minute; lost for good: {said or 'not known'}",
            )
        ]

    def deadline(self) -> Instant | None:
        return self._due

    def _raised(self, seen: PieceLost) -> Verdict:
        return FaultRaised(
            detector="records_lost",
            condition=CONDITION,
            subject=SUBJECT,
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=self._fault_at,
            detected_at=seen.at,
            reason=f"records are lost ({', '.join(sorted(self._lost))}): {seen.reason}",
            cause=seen.reason,
            evidence={what: str(count) for what, count in sorted(self._lost.items())},
        )


PLUGIN: type[Detector] = RecordsLost
