"""The panel asks every detector, always in the same order, and has the shape of one.

A detector judges where its evidence is: beside its VMs, or where hosts are heard (its SEAT).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation, UnknownSeen
from holdfast.facts.verdicts import Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.plugins import load, names, word

PACKAGE = "holdfast.detectors"
Seat = Literal["agent", "controller"]


class Panel:
    """`unknown_seen` counts what nobody knew; `defects` what each detector failed at, by name.

    A detector that fails is a defect of ours. It must not blind the others, so it is counted, with
    `last_defect` for the log, and asked again the next time.
    """

    def __init__(self, detectors: Mapping[str, Detector]) -> None:
        self._detectors = dict(sorted(detectors.items()))
        self.unknown_seen = 0
        self.defects: dict[str, int] = {}
        self.last_defect: Exception | None = None

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        self.unknown_seen += isinstance(seen, UnknownSeen)
        return self._ask(lambda detector: detector.observe(seen))

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._ask(lambda detector: detector.wake(now))

    def deadline(self) -> Instant | None:
        due = (detector.deadline() for detector in self._detectors.values())
        return min((at for at in due if at is not None), default=None)

    def _ask(self, ask: Callable[[Detector], Iterable[Verdict]]) -> list[Verdict]:
        said: list[Verdict] = []
        for name, detector in self._detectors.items():
            try:
                said += ask(detector)
            except Exception as defect:  # noqa: BLE001  Counted and shown, see above.
                self.defects[name] = self.defects.get(name, 0) + 1
                self.last_defect = defect
        return said


def detector_names() -> list[str]:
    return [name for name in names(PACKAGE) if name != "panel"]


def seat_of(name: str) -> str:
    """Where a detector judges; with the agent, unless its module says otherwise."""
    return word(PACKAGE, name, "SEAT", "agent")


def make_panel(
    settings: Mapping[str, Mapping[str, Any]] | None = None, *, seat: Seat = "agent"
) -> Panel:
    """All detectors of a seat, each with its own settings by name. Raises UnknownPlugin, TypeError.

    Settings of detectors of the other seat are not for this panel, and left alone.
    """
    given = settings or {}
    for name in given:
        load(PACKAGE, name)
    wanted = [name for name in detector_names() if seat_of(name) == seat]
    return Panel({name: load(PACKAGE, name)(**given.get(name, {})) for name in wanted})
