"""Memory is broken beyond repair when a lost page could not be taken out of use."""

from collections.abc import Iterable

from holdfast.facts.hardware import (
    MEMORY,
    Advice,
    AlarmLeft,
    MachineCheck,
    MemoryErrors,
    MemoryFailure,
    Severity,
)
from holdfast.facts.instants import Instant, after, elapsed_ms
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong

CONDITION = "memory-fatal"
OUT_OF_USE = ("Recovered", "Delayed")
PAGE_WAIT_MS = 5_000


class MemoryIsFatal:
    """Nothing but a boot clears it: the broken page stays in use.

    After a machine check that the kernel survived, it says within milliseconds what became of the
    page. Where it says nothing, the page is taken to be still in use.
    """

    def __init__(self, *, page_wait_ms: float = PAGE_WAIT_MS) -> None:
        self._page_wait_ms = page_wait_ms
        self._standing = Standing("memory_fatal", CONDITION, 0)
        self._waits: MachineCheck | MemoryErrors | None = None
        self._told_at: Instant | None = None  # When the kernel last said what became of a page.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="memory-fatal"):
                self._standing.adopt(seen.subject)
            case MemoryFailure():
                self._waits, self._told_at = None, seen.at
                if seen.result not in OUT_OF_USE:
                    what = f"page {seen.page} ({seen.used_for}): {seen.result}"
                    return self._say(seen.at, seen.at, {"page": what})
            case (
                MachineCheck(part="memory", severity=Severity.RECOVERABLE)
                | MemoryErrors(severity=Severity.RECOVERABLE)
            ):
                told_at = self._told_at
                if told_at is None or abs(elapsed_ms(told_at, seen.at)) > self._page_wait_ms:
                    self._waits = self._waits or seen
            case (
                MachineCheck(part="memory", severity=Severity.FATAL)
                | MemoryErrors(severity=Severity.FATAL)
            ):
                return self._on_error(seen, seen.at)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        due, waits = self.deadline(), self._waits
        if waits is None or due is None or due > now:
            return []
        self._waits = None
        return self._on_error(waits, now)

    def deadline(self) -> Instant | None:
        return after(self._waits.at, self._page_wait_ms) if self._waits else None

    def _on_error(self, error: MachineCheck | MemoryErrors, now: Instant) -> list[Verdict]:
        if isinstance(error, MemoryErrors):
            return self._say(error.at, now, {"module": error.module})
        return self._say(error.at, now, {"status": error.status, "address": error.address})

    def _say(self, at: Instant, now: Instant, evidence: dict[str, str]) -> list[Verdict]:
        wrong = Wrong(
            part=MEMORY,
            effect=Effect.DOOMED,
            certainty=Certainty.CERTAIN,
            reason="memory that is in use lost its content, and could not be taken out of use: the"
            " host may crash at any time",
            fault_at=now,
            not_before=at if at < now else None,
            evidence=evidence | {"advice": Advice.DRAIN},
        )
        return self._standing.wrong(wrong, now)


PLUGIN: type[Detector] = MemoryIsFatal
