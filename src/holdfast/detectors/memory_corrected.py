"""Memory is failing when it had to correct more errors within an hour than it should."""

from collections.abc import Iterable

from holdfast.facts.hardware import (
    MEMORY,
    Advice,
    AlarmLeft,
    MachineCheck,
    MemoryErrors,
    Severity,
)
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong
from holdfast.ports.window import Window

CONDITION = "memory-corrected"
HOUR_MS = 3_600_000
ERRORS_PER_HOUR = 10
PLACES_NAMED = 8


class MemoryCorrects:
    def __init__(
        self, *, errors_per_hour: float = ERRORS_PER_HOUR, quiet_ms: float = HOUR_MS
    ) -> None:
        self._limit = int(errors_per_hour)
        self._errors = Window(HOUR_MS)
        self._standing = Standing("memory_corrected", CONDITION, quiet_ms)
        self._places: dict[str, int] = {}  # A module, or an address, and its errors.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="memory-corrected"):
                self._standing.adopt(seen.subject)
                self._standing.well(seen.subject.id, seen.at, "no more errors for an hour")
            case MachineCheck(part="memory", severity=Severity.CORRECTED):
                return self._count(seen.at, 1, seen.address)
            case MemoryErrors(severity=Severity.CORRECTED):
                return self._count(seen.at, seen.count, seen.module)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._standing.wake(now)

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _count(self, at: Instant, count: int, place: str) -> list[Verdict]:
        total = self._errors.add(at, count)
        if place and (place in self._places or len(self._places) < PLACES_NAMED):
            self._places[place] = self._places.get(place, 0) + count
        if total < self._limit:
            return []
        worst = sorted(self._places, key=lambda one: -self._places[one])
        wrong = Wrong(
            part=MEMORY,
            effect=Effect.DOOMED,
            certainty=Certainty.PREDICTED,
            reason=f"memory had to correct {self._limit} errors within an hour, or more",
            fault_at=at,
            not_before=self._errors.first_at,
            evidence={
                "errors": str(total),
                "where": ", ".join(worst),
                "advice": Advice.QUARANTINE,
            },
        )
        return self._standing.happened(wrong, at, "no more errors for an hour")


PLUGIN: type[Detector] = MemoryCorrects
