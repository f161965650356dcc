"""A processor is suspect when it errs: once without being able to correct it, or often."""

from collections.abc import Iterable

from holdfast.facts.hardware import (
    ONE_CPU,
    PROCESSORS,
    Advice,
    AlarmLeft,
    CpuOffline,
    MachineCheck,
    Severity,
)
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong
from holdfast.ports.window import Window

CONDITION = "cpu-suspect"
HOUR_MS = 3_600_000
QUIET_MS = 24 * HOUR_MS
ERRORS_PER_HOUR = 10
UNKNOWN = -1
CPUS_KEPT = 2  # Whether it is one, or more.
OVER = "no more errors for a day"


class CpuIsSuspect:
    """An error of a bank that nobody knows is counted here, too: it is no memory's for certain."""

    def __init__(
        self, *, errors_per_hour: float = ERRORS_PER_HOUR, quiet_ms: float = QUIET_MS
    ) -> None:
        self._limit = int(errors_per_hour)
        self._errors = Window(HOUR_MS)
        self._standing = Standing("cpu_suspect", CONDITION, quiet_ms)
        self._was_uncorrected = False
        self._cpus: set[int] = set()  # Those that erred since all was well.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="cpu-suspect"):
                self._standing.adopt(seen.subject)
                self._cpus.add(UNKNOWN)  # Which CPUs erred before, nobody remembers.
                self._standing.well(seen.subject.id, seen.at, OVER)
            case MachineCheck() if seen.part != "memory":
                return self._on_check(seen)
            case CpuOffline() if self._cpus == {seen.cpu}:
                reason = f"CPU {seen.cpu}, which alone erred, is offline"
                self._standing.over(PROCESSORS.key, seen.at, reason)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        said = self._standing.wake(now)
        if said:
            self._was_uncorrected = False
            self._cpus.clear()
            self._errors = Window(HOUR_MS)
        return said

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _on_check(self, seen: MachineCheck) -> list[Verdict]:
        total = self._errors.add(seen.at)
        if len(self._cpus) < CPUS_KEPT:
            self._cpus.add(seen.cpu)
        self._was_uncorrected |= seen.severity is not Severity.CORRECTED
        if self._was_uncorrected:
            certainty, advice = Certainty.CERTAIN, Advice.DRAIN
            reason = "a processor met an error that it could not correct"
        elif total >= self._limit:
            certainty, advice = Certainty.PREDICTED, Advice.QUARANTINE
            reason = f"processors had to correct {self._limit} errors within an hour, or more"
        else:
            return []
        is_one = self._cpus == {seen.cpu}
        wrong = Wrong(
            part=PROCESSORS,
            effect=Effect.DOOMED,
            certainty=certainty,
            reason=reason,
            fault_at=seen.at,
            not_before=None if self._was_uncorrected else self._errors.first_at,
            evidence={
                "errors": str(total),
                "cpu": str(seen.cpu),
                **({ONE_CPU: str(seen.cpu)} if is_one else {}),
                "socket": str(seen.socket),
                "bank": str(seen.bank),
                "status": seen.status,
                "part": seen.part or "unknown to Holdfast",
                "advice": advice,
            },
        )
        return self._standing.happened(wrong, seen.at, OVER)


PLUGIN: type[Detector] = CpuIsSuspect
