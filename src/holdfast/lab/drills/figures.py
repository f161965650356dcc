"""What a drill measured: spreads in milliseconds, counts, peers, goals, and on what machine."""

import math
import statistics
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

NS_PER_MS = 1_000_000


class Spread(Struct, frozen=True, kw_only=True):
    """The middle, the 99th of 100, and the worst."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """Percentiles by nearest rank, so that each is a value that was measured."""
        ordered = sorted(values)
        if not ordered:
            return None
        return cls(
            p50=round(_rank(ordered, 0.50), 3),
            p99=round(_rank(ordered, 0.99), 3),
            max=round(ordered[-1], 3),
        )


def _rank(ordered: list[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Iterable[float]) -> float | None:
    """Rounded for people; None of nothing."""
    found = list(values)
    return round(statistics.median(found), 3) if found else None


class Goal(Struct, frozen=True, kw_only=True):
    """A figure of the design beside what was measured. `at_least`: more is better."""

    what: str
    limit: float
    unit: str = "ms"
    at_least: bool = False
    measured: float | None = None

    @property
    def is_met(self) -> bool:
        """What was not measured is not met."""
        if self.measured is None:
            return False
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


class Machine(Struct, frozen=True, kw_only=True):
    """Where it was measured, since no figure means anything without it."""

    kernel: str
    cores: int
    accelerator: str
    versions: dict[str, str]


class Result(Struct, frozen=True, kw_only=True):
    """All that one drill has to say. `overran` names every wait that reached its limit."""

    drill: str
    runs: int
    lost: int
    false_alarms: int
    fault_to_vim_ms: Spread | None = None
    confirmed_ms: Spread | None = None
    fault_to_answering_ms: Spread | None = None
    ran_twice: int | None = None  # VMs of which the observer saw two copies; None: it did not look.
    vms_stopped: int | None = None  # VMs of healthy hosts that were ended by what was done.
    outcome: str = ""  # Of what a host mends by itself: mended, or handed over.
    peers: dict[str, Any] = {}
    figures: dict[str, Any] = {}
    goals: tuple[Goal, ...] = ()
    repeated: int = 0  # The same entry twice: allowed on the way, dropped by receivers.
    gaps: int = 0
    overran: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    vm_memory_mib: int = 0
    is_busy: bool = False
    machine: Machine | None = None
    date: str = ""
    took_s: float = 0.0
    command: str = ""

    @property
    def is_passed(self) -> bool:
        """Nothing lost, nothing false, no wait overrun. Goals are shown, and judged by people."""
        has_harmed = bool(self.ran_twice or self.vms_stopped)
        return not (self.lost or self.false_alarms or self.overran or has_harmed)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the machine's facts beside the others."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        plain.update(plain.pop("machine") or {})
        for goal, made in zip(plain["goals"], self.goals, strict=True):
            goal["met"] = made.is_met
        return {**plain, "passed": self.is_passed}
