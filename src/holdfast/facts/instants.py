"""Monotonic time as plain integers, so that tests and replays own the clock.

An instant is nanoseconds on CLOCK_MONOTONIC of one boot of one host. Instants of two hosts, or of
two boots, are never subtracted: what crosses a link carries its age instead.
"""

from typing import NewType

Instant = NewType("Instant", int)

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def after(start: Instant, delay_ms: float) -> Instant:
    return Instant(start + int(delay_ms * NS_PER_MS))


def elapsed_ms(start: Instant, end: Instant) -> float:
    return (end - start) / NS_PER_MS


def spoken(duration_ms: float) -> str:
    """A duration as a person says it: 0.4 ms, 12 ms, 3.1 s, 4 min, 2.5 h."""
    if duration_ms < 10:
        return f"{duration_ms:.1f} ms"
    if duration_ms < 1_000:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 120_000:
        return f"{duration_ms / 1_000:.1f} s"
    if duration_ms < 7_200_000:
        return f"{duration_ms / 60_000:.0f} min"
    return f"{duration_ms / 3_600_000:.1f} h"
