"""What the kernel tells of broken hardware: its trace events, and where it has none, its log.

Each kind is taken from one source only, so that no fault is told twice: the trace event, if this
kernel has it and lets us; else the line of the log. What only the log says is always taken there.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.adapters.drivers.hardware_words import TRACED, read_logged, read_traced
from holdfast.adapters.drivers.trace_instance import NoTracing, TraceInstance
from holdfast.facts.hardware import MachineCheck, PcieError, Severity
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.observations import Observation, PieceLost, UnknownSeen
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)

NAME = "holdfast"
EDAC = Path("/sys/devices/system/edac/mc")
# The kernel looks for corrected errors of banks that do not interrupt: each five minutes, unless
# it is told otherwise. Within a minute is promised. Source: arch/x86/kernel/cpu/mce/core.c.
CHECK_INTERVAL = Path("/sys/devices/system/machinecheck/machinecheck0/check_interval")
LOOK_EACH_S = 30
LOSS_LOOK_S = 10.0
# A bad link has thousands corrected in a second; who judges it has heard enough after these.
CORRECTED_EACH_S = 20


class HardwareErrors:
    """Give it each line of the kernel's log as it comes: `hear_line`."""

    name = "hardware_errors"

    def __init__(
        self,
        open_trace: Callable[[], TraceInstance] = lambda: TraceInstance(NAME, TRACED),
        edac: Path = EDAC,
        check_interval: Path = CHECK_INTERVAL,
    ) -> None:
        self._open_trace, self._edac, self._interval = open_trace, edac, check_interval
        self._see: See = lambda _: None
        self._traced: frozenset[str] = frozenset()
        self._has_modules = False
        self._second, self._in_second = 0, 0
        self.state = "not looked yet"

    async def run(self, see: See) -> None:
        self._see = see
        # A controller of memory that EDAC drives tells the same error again, and which module.
        self._has_modules = any(self._edac.glob("mc[0-9]*"))
        before = self._hasten()
        try:
            await self._look()
        finally:
            self._see = lambda _: None
            if before:
                _write(self._interval, before)

    async def _look(self) -> None:
        try:
            trace = self._open_trace()
        except NoTracing as reason:
            self._say(f"reads the kernel's log only: {reason}")
            await asyncio.get_running_loop().create_future()
            return
        loop = asyncio.get_running_loop()
        try:
            self._traced = trace.on
            self._say(f"reads the kernel's log, and its trace events {', '.join(sorted(trace.on))}")
            loop.add_reader(trace.fd, self._follow, trace)
            await self._watch_losses(trace)
        finally:
            loop.remove_reader(trace.fd)
            trace.close()
            self._traced = frozenset()

    def hear_line(self, text: str) -> None:
        """A line that the kernel just wrote. What a trace event tells too is left to that."""
        found = read_logged(text, _now())
        if found is not None and found[1] not in self._traced:
            self._pass_on(found[0])

    def _follow(self, trace: TraceInstance) -> None:
        for line in trace.lines():
            seen = read_traced(line, _now())
            if seen is not None:
                self._pass_on(seen)

    def _pass_on(self, seen: Observation) -> None:
        if isinstance(seen, MachineCheck):
            is_of_memory = seen.part == "memory" and seen.severity is Severity.CORRECTED
            if is_of_memory and self._has_modules and "mc_event" in self._traced:
                return
            if not seen.part:  # Loud beside being judged: somebody should teach us this one.
                what = f"a machine check of bank {seen.bank} with status {seen.status}"
                self._see(UnknownSeen(at=seen.at, what=what))
        if isinstance(seen, PcieError) and seen.severity is Severity.CORRECTED:
            second = seen.at // NS_PER_S
            self._in_second = self._in_second + 1 if second == self._second else 1
            self._second = second
            if self._in_second > CORRECTED_EACH_S:
                return
        self._see(seen)

    async def _watch_losses(self, trace: TraceInstance) -> None:
        known = 0
        while True:
            await asyncio.sleep(LOSS_LOOK_S)
            lost = await asyncio.to_thread(trace.lost)
            if lost > known:
                reason = "hardware told of more errors than could be kept"
                self._see(PieceLost(at=_now(), what="trace", count=lost - known, reason=reason))
            known = max(known, lost)

    def _hasten(self) -> str:
        """Have the kernel look often enough; what it was told before, or empty if left alone."""
        try:
            before = self._interval.read_text().strip()
        except OSError:
            return ""
        is_slow = before.isdigit() and int(before) > LOOK_EACH_S
        return before if is_slow and _write(self._interval, str(LOOK_EACH_S)) else ""

    def _say(self, state: str) -> None:
        if state != self.state:
            log.info("hardware errors: %s", state)
        self.state = state


def _write(path: Path, text: str) -> bool:
    try:
        path.write_text(text)
    except OSError:
        return False
    return True


def _now() -> Instant:
    return Instant(time.monotonic_ns())


PLUGIN: type[Sensor] = HardwareErrors
