"""Holdfast reports too slowly when the p99 of its reports passes the promised second."""

from collections import deque
from collections.abc import Iterable
from math import ceil

from holdfast.facts.instants import Instant, spoken
from holdfast.facts.observations import Observation, ReportTimed
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector

LIMIT_MS = 1_000  # The promise itself (H6).
REPORTS = 100  # The fewest of which a p99 is more than the worst.
FEWEST = 20  # With less, one slow report of a quiet week would be an alarm.

CONDITION = "reporting-slow"
SUBJECT = Subject(kind=SubjectKind.HOLDFAST, id="agent", name="agent")


class ReportingSlow:
    def __init__(
        self, *, limit_ms: float = LIMIT_MS, reports: int = REPORTS, fewest: int = FEWEST
    ) -> None:
        self.limit_ms = limit_ms
        self.fewest = fewest
        self._took_ms: deque[float] = deque(maxlen=int(reports))
        self._is_slow: bool | None = None

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        if not isinstance(seen, ReportTimed):
            return ()
        self._took_ms.append(seen.fault_to_answer_ms)
        if len(self._took_ms) < self.fewest:
            return ()
        p99_ms = sorted(self._took_ms)[ceil(len(self._took_ms) * 0.99) - 1]
        is_slow = p99_ms > self.limit_ms
        if is_slow == self._is_slow:
            return ()
        self._is_slow = is_slow
        return [self._raised(seen.at, p99_ms) if is_slow else self._cleared(seen.at, p99_ms)]

    def wake(self, now: Instant) -> Iterable[Verdict]:  # noqa: ARG002  It waits for nothing.
        return ()

    def deadline(self) -> Instant | None:
        return None

    def _raised(self, at: Instant, p99_ms: float) -> Verdict:
        of = f"of the last {len(self._took_ms)} reports"
        return FaultRaised(
            detector="reporting_slow",
            condition=CONDITION,
            subject=SUBJECT,
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=at,
            detected_at=at,
            reason=f"the p99 {of} is {spoken(p99_ms)}, more than {spoken(self.limit_ms)}",
            cause="reports reach the VIM too late",
            evidence={"slowest": spoken(max(self._took_ms)), "reports": str(len(self._took_ms))},
        )

    def _cleared(self, at: Instant, p99_ms: float) -> Verdict:
        return FaultCleared(
            detector="reporting_slow",
            condition=CONDITION,
            subject=SUBJECT,
            at=at,
            reason=f"the p99 of the last {len(self._took_ms)} reports is {spoken(p99_ms)}",
        )


PLUGIN: type[Detector] = ReportingSlow
