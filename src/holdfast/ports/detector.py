"""The one shape every detector has: observations in, verdicts out, time as an argument."""

from collections.abc import Iterable
from typing import Protocol

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Verdict


class Detector(Protocol):
    def observe(self, seen: Observation) -> Iterable[Verdict]: ...

    def wake(self, now: Instant) -> Iterable[Verdict]: ...

    def deadline(self) -> Instant | None:
        """When wake() must next be called, if ever. The caller sleeps exactly until then."""
        ...
