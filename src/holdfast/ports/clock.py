"""Which clock a program reads: the machine's own, or in a simulation that of its simulated machine.

A clock belongs to a context, so that whatever a program begins (tasks, timers) reads the same one.
Programs ask here and never the `time` module; detectors and policy are told, and ask nobody.
"""

import contextvars
import time
from typing import Protocol

from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant


class Clock(Protocol):
    def monotonic_ns(self) -> int: ...

    def utc_ns(self) -> int: ...


class _MachineClock:
    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        return time.time_ns()


_MACHINE = _MachineClock()
CLOCK: contextvars.ContextVar[Clock] = contextvars.ContextVar("clock", default=_MACHINE)


def now() -> Instant:
    """CLOCK_MONOTONIC: for deadlines and ages."""
    return Instant(CLOCK.get().monotonic_ns())


def monotonic_s() -> float:
    return CLOCK.get().monotonic_ns() / NS_PER_S


def utc_ns() -> int:
    """The wall clock: for people only; it may step."""
    return CLOCK.get().utc_ns()


def utc_ms() -> int:
    return CLOCK.get().utc_ns() // NS_PER_MS
