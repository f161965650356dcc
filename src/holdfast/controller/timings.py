"""From the fault to the VIM's answer: the newest hundred, and their p99."""

import math
from collections import OrderedDict, deque

from holdfast.facts.alarms import AlarmReport, AlarmState
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.instants import NS_PER_MS
from holdfast.ports import clock

KEPT = 100
OPEN_KEPT = 10_000


class Timings:
    """With `is_answered_outside` a webhook's answer ends the time, else the arrival at the VIM.

    Only faults that were seen as they happened count: not what was found later, told across a
    boot, or told once more by an agent that was started again. What the catalogue says is waited
    for on purpose counts from when it was judged. The time on the agent's link is not in it:
    clocks of two machines are not subtracted.
    """

    def __init__(self, *, is_answered_outside: bool) -> None:
        self._is_outside = is_answered_outside
        self._open: OrderedDict[tuple[str, int], tuple[float, int]] = OrderedDict()
        self._newest: deque[float] = deque(maxlen=KEPT)

    def received(self, report: AlarmReport, at: int) -> None:
        alarm = report.alarm
        is_timed = alarm.state is AlarmState.RAISED and alarm.not_before is None
        if is_timed and not (report.is_estimated or report.is_repeat):
            waits = alarm.condition in BY_ID and bool(BY_ID[alarm.condition].reported)
            age_us = report.detected_age_us if waits else report.fault_age_us
            self._open[alarm.key, alarm.revision] = (age_us / 1_000, at)
            if len(self._open) > OPEN_KEPT:
                self._open.popitem(last=False)

    def arrived(self, report: AlarmReport) -> None:
        if not self._is_outside:
            self.answered(report.alarm.key, report.alarm.revision, clock.now())

    def answered(self, key: str, revision: int, at: int) -> float | None:
        """Milliseconds from the fault to this answer; None if it is not timed, or was before."""
        found = self._open.pop((key, revision), None)
        if found is None:
            return None
        age_ms, received_at = found
        took_ms = age_ms + (at - received_at) / NS_PER_MS
        self._newest.append(took_ms)
        return took_ms

    @property
    def count(self) -> int:
        return len(self._newest)

    def p99_ms(self) -> float | None:
        """None before the first answer."""
        ordered = sorted(self._newest)
        return ordered[math.ceil(len(ordered) * 0.99) - 1] if ordered else None
