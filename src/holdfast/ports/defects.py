"""Defects of ours that must not stop a program: counted, shown in status, the first one logged."""

import logging
from collections.abc import Iterable
from typing import Protocol

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Verdict
from holdfast.ports.detector import Detector

log = logging.getLogger(__name__)


class Defects:
    """`counts` by where it happened and what it was."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def note(self, where: str, defect: Exception) -> None:
        kind = f"{where}: {type(defect).__name__}"
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] == 1:
            log.error("%s: a defect of ours; more of its kind are counted", where, exc_info=defect)


class CountingDetector(Detector, Protocol):
    """Many detectors in the shape of one, which counts what each of them failed at, by name."""

    defects: dict[str, int]
    last_defect: Exception | None


class LoggedPanel:
    """The panel of detectors, with a word in the log for each new kind of defect."""

    def __init__(self, panel: CountingDetector, defects: Defects) -> None:
        self._panel, self._defects = panel, defects
        self._known: dict[str, int] = {}

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        return self._logged(self._panel.observe(seen))

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return self._logged(self._panel.wake(now))

    def deadline(self) -> Instant | None:
        return self._panel.deadline()

    def _logged(self, said: Iterable[Verdict]) -> Iterable[Verdict]:
        counts, newest = self._panel.defects, self._panel.last_defect
        if newest is not None and counts != self._known:
            for name in counts:
                if counts[name] != self._known.get(name):
                    self._defects.note(f"detector {name}", newest)
            self._known = dict(counts)
        return said
