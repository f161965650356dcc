"""A host's kernel crashed when firmware kept what it wrote at the end of an earlier boot."""

from collections.abc import Iterable

from holdfast.facts.hardware import KERNEL, Advice, AlarmLeft, KernelCrashed
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong

CONDITION = "host-kernel-crashed"
QUIET_MS = 3_600_000
LAST_WORDS_CHARS = 2_000
OVER = "the host has run for an hour since"


class HostKernelCrashed:
    def __init__(self, *, quiet_ms: float = QUIET_MS) -> None:
        self._standing = Standing("host_kernel_crashed", CONDITION, quiet_ms)

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="host-kernel-crashed"):
                self._standing.adopt(seen.subject)
                self._standing.well(seen.subject.id, seen.at, OVER)
            case KernelCrashed():
                wrong = Wrong(
                    part=KERNEL,
                    effect=Effect.DEGRADED,
                    certainty=Certainty.CERTAIN,
                    reason=f"the kernel of this host crashed before this boot: {_why(seen)}",
                    fault_at=seen.at,
                    evidence={
                        "record": seen.record,
                        "written_utc_ms": str(seen.written_utc_ms),
                        "last_words": seen.last_words[-LAST_WORDS_CHARS:],
                        "advice": Advice.QUARANTINE,
                    },
                )
                return self._standing.happened(wrong, seen.at, OVER)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._standing.wake(now)

    def deadline(self) -> Instant | None:
        return self._standing.deadline()


def _why(seen: KernelCrashed) -> str:
    """The line that says it; its first words, where no line does."""
    for line in seen.last_words.splitlines():
        for sign in (
            "Kernel panic",
            "BUG: ",
            "Oops: ",
            "Fatal Machine check",
            "general protection",
        ):
            if sign in line:
                return sign + line.partition(sign)[2].rstrip()
    return "it does not say why"


PLUGIN: type[Detector] = HostKernelCrashed
