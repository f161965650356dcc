"""The host's own last records, told to the controllers: they survive the loss of the host.

Each ten seconds, and at once when the kernel says something grave or when work begins to stand
still. The log is sent whole to who just greeted us and once a minute, else only if it grew.
"""

import asyncio
from collections.abc import Callable

from holdfast.adapters.drivers.pressure import read_pressure, stalled_us
from holdfast.adapters.drivers.pstore import read_earlier
from holdfast.adapters.sensors.kernel_log import KernelLog
from holdfast.facts import wire
from holdfast.ports.clock import monotonic_s, utc_ms

LOOK_S = 1.0
PERIOD_S = 10.0
WHOLE_S = 60.0
AGAIN_S = 0.25  # After a grave line; those that follow it go together.
NEW_LINES = 60  # They overlap with what was sent before: the receiver adds only what is new.
JUMP, CALM = 0.5, 0.25  # Share of a second that work stood still.


class HostRecords:
    """`send` hands a frame to every controller that is there."""

    def __init__(
        self,
        kernel_log: KernelLog,
        boot: str,
        send: Callable[[wire.Frame], None],
        pressure: Callable[[], dict[str, str]] = read_pressure,
        earlier: Callable[[], dict[str, str]] = read_earlier,
        look_s: float = LOOK_S,
    ) -> None:
        self._look_s = look_s
        self._tail, self._boot, self._send = kernel_log.tail, boot, send
        self._read_pressure, self._read_earlier = pressure, earlier
        self._earlier: dict[str, str] = {}
        self._pressure: dict[str, str] = {}
        self._last: dict[str, tuple[float, int]] = {}
        self._jumped: set[str] = set()
        self._sent_lines = 0
        self._sent_s = self._whole_s = float("-inf")
        self._is_urgent = asyncio.Event()
        kernel_log.on_grave = self._is_urgent.set

    def greeted(self) -> None:
        """A controller that just came knows nothing yet."""
        self._whole_s = float("-inf")
        self._is_urgent.set()

    async def run(self) -> None:
        """Until cancelled."""
        self._earlier = await asyncio.to_thread(self._read_earlier)
        while True:
            if await self._wait_urgent():
                self._is_urgent.clear()
                self._tell()
                await asyncio.sleep(AGAIN_S)
            elif self._has_jumped() or monotonic_s() - self._sent_s >= PERIOD_S:
                self._tell()

    async def _wait_urgent(self) -> bool:
        try:
            async with asyncio.timeout(self._look_s):
                await self._is_urgent.wait()
        except TimeoutError:
            return False
        return True

    def _has_jumped(self) -> bool:
        """Whether work began to stand still; that it goes on doing so is no news."""
        self._pressure = self._read_pressure()
        now_s = monotonic_s()
        jumped = False
        for name, text in self._pressure.items():
            total_us = stalled_us(name, text)
            was_s, was_us = self._last.get(name, (now_s, total_us))
            self._last[name] = (now_s, total_us)
            share = (total_us - was_us) / 1e6 / max(now_s - was_s, 0.001)
            if share >= JUMP and name not in self._jumped:
                self._jumped.add(name)
                jumped = True
            elif share < CALM:
                self._jumped.discard(name)
        return jumped

    def _tell(self) -> None:
        now_s = monotonic_s()
        is_whole = now_s - self._whole_s >= WHOLE_S
        new = self._tail.taken - self._sent_lines
        lines = self._tail.lines() if is_whole or new > NEW_LINES else ()
        if new and not lines:
            lines = self._tail.lines()[-NEW_LINES:]
        self._sent_s, self._sent_lines = now_s, self._tail.taken
        if is_whole:
            self._whole_s = now_s
        self._send(
            wire.HostRecords(
                utc_ms=utc_ms(),
                boot=self._boot,
                kernel_log=lines,
                pressure=self._read_pressure(),
                hardware=self._tail.hardware() if lines else (),
                earlier=self._earlier if is_whole else {},
            )
        )
