"""Parts of a host's hardware in memory: a step mends them, fails, or is done and helps nothing."""

from collections.abc import Callable

from holdfast.facts.actions import LookAgain, TryRepair
from holdfast.facts.hardware import PAGE, PageRetired, PcieAnswers
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.outcomes import Outcome, StepDone, StepFailed

STEP_MS, LOOK_MS = 80.0, 10.0


class SimulatedParts:
    """`does` is what comes of each step, the last for all that follow: mends, fails, or nothing."""

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], None],
        now: Callable[[], Instant],
        see: Callable[[Observation], None],
        hear: Callable[[Outcome], None],
    ) -> None:
        self._later, self._now, self._see, self._hear = later, now, see, hear
        self.does = ["mends"]
        self._is_well: Observation | None = None

    def try_step(self, asked: TryRepair) -> None:
        self._later(STEP_MS, lambda: self._did(asked))

    def look_again(self, _asked: LookAgain) -> None:
        self._later(LOOK_MS, self._look)

    def _did(self, asked: TryRepair) -> None:
        does = self.does.pop(0) if len(self.does) > 1 else self.does[0]
        at, number = self._now(), asked.number
        if does == "fails":
            why = f"{asked.subject.name} could not be reached"
            self._hear(
                StepFailed(incident=asked.incident, at=at, key=asked.key, number=number, reason=why)
            )
            return
        if does == "mends":
            self._is_well = _well(asked, at)
        said = f"did {asked.step.name}"
        done = StepDone(incident=asked.incident, at=at, key=asked.key, number=number, said=said)
        self._hear(done)

    def _look(self) -> None:
        seen, self._is_well = self._is_well, None
        if seen is not None:
            self._see(seen)


def _well(asked: TryRepair, at: Instant) -> Observation | None:
    """What is seen of it afterwards; a RAID the story itself tells of."""
    match asked.step.mender:
        case "memory_page":
            return PageRetired(at=at, page=asked.evidence[PAGE])
        case "pci_device":
            return PcieAnswers(at=at, device=asked.subject.name)
        case _:
            return None
