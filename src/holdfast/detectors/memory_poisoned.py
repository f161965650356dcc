"""Memory is poisoned when a page lost its content, and was taken out of use."""

from collections.abc import Iterable

from holdfast.facts.hardware import (
    MEMORY,
    Advice,
    AlarmLeft,
    MemoryFailure,
    PageOwnerKilled,
)
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation, VmAppeared, VmRenamed
from holdfast.facts.subjects import Incarnation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.lives import Lives
from holdfast.ports.standing import Standing, Wrong

CONDITION = "memory-poisoned"
DAY_MS = 24 * 3_600_000
PAGES_DOOMED = 4  # So many pages within a day are no accident.
NAMED = 8
OUT_OF_USE = ("Recovered", "Delayed")


class MemoryIsPoisoned:
    def __init__(self, *, pages_doomed: float = PAGES_DOOMED, quiet_ms: float = DAY_MS) -> None:
        self._doomed = int(pages_doomed)
        self._standing = Standing("memory_poisoned", CONDITION, quiet_ms)
        self._lives: Lives[Incarnation] = Lives(lambda life: life)
        self._pages: list[str] = []
        self._victims: list[str] = []

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="memory-poisoned"):
                self._standing.adopt(seen.subject)
                self._standing.well(seen.subject.id, seen.at, "no other page for a day")
            case VmAppeared():
                self._lives.of(seen.incarnation)
                self._lives.call(seen.incarnation.vm, seen.name)
            case VmRenamed():
                self._lives.call(seen.vm, seen.name)
            case PageOwnerKilled():
                _note(self._victims, self._owner(seen))
                _note(self._pages, seen.page)
                return self._say(seen.at)
            case MemoryFailure() if seen.result in OUT_OF_USE:
                _note(self._pages, seen.page)
                return self._say(seen.at)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        said = self._standing.wake(now)
        if said:
            self._pages, self._victims = [], []
        return said

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _say(self, at: Instant) -> list[Verdict]:
        is_doomed = len(self._pages) >= self._doomed
        more = f", and {self._doomed} pages or more within a day" if is_doomed else ""
        ended = f"; it belonged to {', '.join(self._victims)}" if self._victims else ""
        wrong = Wrong(
            part=MEMORY,
            effect=Effect.DOOMED if is_doomed else Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            reason=f"a page of memory lost its content and is out of use{more}{ended}",
            fault_at=at,
            evidence={
                "pages": ", ".join(self._pages),
                "advice": Advice.DRAIN if is_doomed else Advice.QUARANTINE,
            },
        )
        return self._standing.happened(wrong, at, "no other page for a day")

    def _owner(self, seen: PageOwnerKilled) -> str:
        """The VM whose QEMU it was, or the process. Its end may have been seen before this."""
        known = [life.vm for life in self._lives if life.pid == seen.pid]
        return f"VM {self._lives.name(known[-1])}" if known else f"process {seen.pid} ({seen.task})"


def _note(known: list[str], one: str) -> None:
    if one and one not in known and len(known) < NAMED:
        known.append(one)


PLUGIN: type[Detector] = MemoryIsPoisoned
