"""An NVMe disk warns when its own health log says that it is failing, worn out or too hot."""

from collections.abc import Iterable

from holdfast.facts.hardware import Advice, AlarmLeft, DiskHealth, Part, PartKind
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong

CONDITION = "nvme-warning"
QUIET_MS = 90_000  # It has to be well at two looks.
WORN_OUT_PERCENT = 100
TOO_HOT = "too hot or too cold"  # It passes; what else an NVMe disk warns of does not.


class NvmeWarns:
    def __init__(
        self, *, quiet_ms: float = QUIET_MS, worn_out_percent: float = WORN_OUT_PERCENT
    ) -> None:
        self._worn_out = worn_out_percent
        self._standing = Standing("nvme_warning", CONDITION, quiet_ms)

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="nvme-warning"):
                self._standing.adopt(seen.subject)
            case DiskHealth(is_nvme=True):
                return self._on_health(seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._standing.wake(now)

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _on_health(self, seen: DiskHealth) -> list[Verdict]:
        part = Part(kind=PartKind.DISK, id=seen.id, name=f"{seen.name} ({seen.id})")
        warnings = list(seen.warnings)
        if seen.worn_percent is not None and seen.worn_percent >= self._worn_out:
            warnings.append("worn out")
        if not warnings and not seen.passed:
            warnings.append("it says that it is failing")
        if not warnings:
            self._standing.well(part.key, seen.at, f"{seen.name} warns of nothing any more")
            return []
        is_doomed = warnings != [TOO_HOT]
        wrong = Wrong(
            part=part,
            effect=Effect.DOOMED if is_doomed else Effect.DEGRADED,
            certainty=Certainty.PREDICTED if is_doomed else Certainty.CERTAIN,
            reason=f"disk {seen.name} warns: {', '.join(warnings)}",
            fault_at=seen.at,
            evidence={
                "model": seen.model,
                "temperature_c": _shown(seen.temperature_c),
                "worn_percent": _shown(seen.worn_percent),
                "media_errors": _shown(seen.media_errors),
                "advice": Advice.DRAIN if is_doomed else Advice.QUARANTINE,
            },
        )
        return self._standing.wrong(wrong, seen.at)


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


PLUGIN: type[Detector] = NvmeWarns
