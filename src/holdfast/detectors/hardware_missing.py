"""Hardware is missing when a part that the host had is not there any more."""

from collections.abc import Iterable

from holdfast.facts.hardware import MEMORY, Advice, AlarmLeft, HardwareListed, Part, PartKind
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong

CONDITION = "hardware-missing"
QUIET_MS = 0
SMALLEST_LOSS_MIB = 512  # A new kernel, or firmware, takes some for itself.
_WORDS = {
    PartKind.CPU: "processor",
    PartKind.PCI: "PCI device",
    PartKind.DISK: "disk",
}


class HardwareIsMissing:
    def __init__(
        self, *, quiet_ms: float = QUIET_MS, smallest_loss_mib: float = SMALLEST_LOSS_MIB
    ) -> None:
        self._smallest_loss_mib = smallest_loss_mib
        self._standing = Standing("hardware_missing", CONDITION, quiet_ms)
        self._known: dict[str, Part] = {}
        self._memory_mib = 0

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="hardware-missing"):
                self._standing.adopt(seen.subject)
            case HardwareListed():
                return self._on_list(seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._standing.wake(now)

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _on_list(self, seen: HardwareListed) -> list[Verdict]:
        here = {part.key: part for part in seen.parts}
        said: list[Verdict] = []
        for key, part in self._known.items():
            if key not in here:
                said += self._standing.wrong(_gone(part, seen.at), seen.at)
        self._known |= here
        for key, part in here.items():
            self._standing.well(key, seen.at, f"{part.name} is there again")
        return [*said, *self._on_memory(seen)]

    def _on_memory(self, seen: HardwareListed) -> list[Verdict]:
        lost_mib = self._memory_mib - seen.memory_mib
        self._memory_mib = max(self._memory_mib, seen.memory_mib)
        if lost_mib < self._smallest_loss_mib:
            self._standing.well(MEMORY.key, seen.at, "all memory is there again")
            return []
        wrong = Wrong(
            part=MEMORY,
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            reason=f"{lost_mib} MiB of memory are missing",
            fault_at=seen.at,
            evidence={"advice": Advice.QUARANTINE},
        )
        return self._standing.wrong(wrong, seen.at)


def _gone(part: Part, at: Instant) -> Wrong:
    return Wrong(
        part=part,
        effect=Effect.GONE,
        certainty=Certainty.CERTAIN,
        reason=f"{_WORDS.get(part.kind, part.kind)} {part.name} is not there any more",
        fault_at=at,
        evidence={"advice": Advice.QUARANTINE},
    )


PLUGIN: type[Detector] = HardwareIsMissing
