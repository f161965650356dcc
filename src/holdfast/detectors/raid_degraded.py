"""A RAID is degraded when a member of it is missing: one failure more may cost its data."""

from collections.abc import Iterable

from holdfast.facts.hardware import Advice, AlarmLeft, Part, PartKind, RaidState
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong

CONDITION = "raid-degraded"
QUIET_MS = 1_000


class RaidIsDegraded:
    def __init__(self, *, quiet_ms: float = QUIET_MS) -> None:
        self._standing = Standing("raid_degraded", CONDITION, quiet_ms)

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="raid-degraded"):
                self._standing.adopt(seen.subject)
            case RaidState():
                return self._on_state(seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._standing.wake(now)

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _on_state(self, seen: RaidState) -> list[Verdict]:
        part = Part(kind=PartKind.ARRAY, id=seen.array, name=seen.array)
        if seen.missing <= 0:
            self._standing.well(part.key, seen.at, f"{seen.array} has all its members again")
            return []
        is_mending = seen.action in ("recovery", "reshape")
        mended = "it is being rebuilt" if is_mending else "nothing replaces it yet"
        percent = "" if seen.rebuilt_percent is None else f"{seen.rebuilt_percent:g}"
        wrong = Wrong(
            part=part,
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            reason=f"{seen.array} ({seen.level}) lacks {seen.missing} of {seen.members} members;"
            f" {mended}",
            fault_at=seen.at,
            evidence={
                "failed": ", ".join(seen.failed),
                "spares": ", ".join(seen.spares),
                "rebuilt_percent": percent,
                "advice": Advice.NOTHING if is_mending else Advice.QUARANTINE,
            },
        )
        return self._standing.wrong(wrong, seen.at)


PLUGIN: type[Detector] = RaidIsDegraded
