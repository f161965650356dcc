"""Memory is failing when it had to correct more errors within an hour than it should.

Where errors of one page repeat, that page can be taken out of use: what was seen of it counts no
more once it was looked at and is out of use.
"""

from collections.abc import Iterable

from holdfast.facts.hardware import (
    MEMORY,
    PAGE,
    Advice,
    AlarmLeft,
    MachineCheck,
    MemoryErrors,
    PageRetired,
    Severity,
    page_of,
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
REPEATS = 2  # So many errors of one page within the hour are its own, and no ray's.
QUIET = "no more errors for an hour"


class MemoryCorrects:
    def __init__(
        self, *, errors_per_hour: float = ERRORS_PER_HOUR, quiet_ms: float = HOUR_MS
    ) -> None:
        self._limit = int(errors_per_hour)
        self._errors = Window(HOUR_MS)
        self._standing = Standing("memory_corrected", CONDITION, quiet_ms)
        self._places: dict[str, int] = {}  # A module, or an address, and its errors.
        self._page = ""  # The one to take out of use, as long as it is in use.
        self._retired: list[str] = []

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="memory-corrected"):
                self._standing.adopt(seen.subject)
                self._standing.well(seen.subject.id, seen.at, QUIET)
            case MachineCheck(part="memory", severity=Severity.CORRECTED):
                return self._count(seen.at, 1, seen.address, page_of(seen.address))
            case MemoryErrors(severity=Severity.CORRECTED):
                return self._count(seen.at, seen.count, seen.module, page_of(seen.address))
            case PageRetired():
                return self._on_retired(seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._standing.wake(now)

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _on_retired(self, seen: PageRetired) -> list[Verdict]:
        if seen.page in self._retired:
            return []
        self._retired = [*self._retired, seen.page][-PLACES_NAMED:]
        left = self._errors.forget(seen.page)
        self._page = "" if self._page == seen.page else self._page
        if MEMORY.key not in self._standing:
            return []
        if left >= self._limit:
            return self._say(seen.at, left)
        self._places.clear()
        reason = f"page {seen.page}, which erred, is out of use"
        self._standing.over(MEMORY.key, seen.at, reason)
        return []

    def _count(self, at: Instant, count: int, place: str, page: str) -> list[Verdict]:
        total = self._errors.add(at, count, page)
        if place and (place in self._places or len(self._places) < PLACES_NAMED):
            self._places[place] = self._places.get(place, 0) + count
        return self._say(at, total) if total >= self._limit else []

    def _say(self, at: Instant, total: int) -> list[Verdict]:
        worst = sorted(self._places, key=lambda one: -self._places[one])
        wrong = Wrong(
            part=MEMORY,
            effect=Effect.DOOMED,
            certainty=Certainty.PREDICTED,
            reason=f"memory had to correct {self._limit} errors within an hour, or more"
            + self._of_pages(),
            fault_at=at,
            not_before=self._errors.first_at,
            evidence={
                "errors": str(total),
                "where": ", ".join(worst),
                **({PAGE: self._page} if self._page else {}),
                "advice": Advice.QUARANTINE,
            },
        )
        return self._standing.happened(wrong, at, QUIET)

    def _of_pages(self) -> str:
        """Named until it is out of use, so that the same page is not news again and again."""
        if not self._page:
            page, count = self._errors.worst()
            self._page = page if count >= REPEATS else ""
        one = f"; those of page {self._page} repeat" if self._page else ""
        return one + (f"; out of use: {', '.join(self._retired)}" if self._retired else "")


PLUGIN: type[Detector] = MemoryCorrects
