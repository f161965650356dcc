"""How the vCPUs of a guest fare whose agent is silent: do they run, wait for a CPU, or neither."""

import asyncio
import time
from collections.abc import Callable, Iterable

from holdfast.adapters.drivers import qemu_proc
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.observations import VcpusMeasured
from holdfast.facts.subjects import Incarnation
from holdfast.ports.sensor import See, Sensor

PERIOD_S = 1.0


class Vcpus:
    """`suspects` gives the lives to look at, `threads` their vCPUs, `is_paused` libvirt's word."""

    name = "vcpus"

    def __init__(
        self,
        suspects: Callable[[], Iterable[Incarnation]],
        threads: Callable[[Incarnation], list[int]],
        is_paused: Callable[[str], bool],
    ) -> None:
        self._suspects, self._threads, self._is_paused = suspects, threads, is_paused
        self._last: dict[str, tuple[int, tuple[int, ...], tuple[int, int, int]]] = {}

    async def run(self, see: See) -> None:
        while True:
            suspects = list(self._suspects())
            keys = {life.key for life in suspects}
            self._last = {key: seen for key, seen in self._last.items() if key in keys}
            for life in suspects:
                measured = self._measure(life)
                if measured is not None:
                    see(measured)
            await asyncio.sleep(PERIOD_S)

    def _measure(self, life: Incarnation) -> VcpusMeasured | None:
        """None at the first look, and when vCPUs came or went: there is nothing to compare with."""
        tids = tuple(sorted(self._threads(life)))
        total = _totals(life.pid, tids)
        at = time.monotonic_ns()
        last = self._last.get(life.key)
        self._last[life.key] = (at, tids, total)
        if last is None or last[1] != tids or not tids:
            return None
        ran, waited, turns = (new - old for new, old in zip(total, last[2], strict=True))
        return VcpusMeasured(
            at=Instant(at),
            incarnation=life,
            window_ms=(at - last[0]) / NS_PER_MS,
            vcpus=len(tids),
            ran_ms=ran / NS_PER_MS,
            waited_ms=waited / NS_PER_MS,
            turns=turns,
            is_stopped=qemu_proc.read_state(life.pid) in ("T", "t"),
            is_paused=self._is_paused(life.vm),
        )


def _totals(pid: int, tids: tuple[int, ...]) -> tuple[int, int, int]:
    """Nanoseconds on a CPU, nanoseconds runnable, and turns, over all vCPUs."""
    ran = waited = turns = 0
    for tid in tids:
        fields = qemu_proc.read_bytes(f"/proc/{pid}/task/{tid}/schedstat").split()
        if len(fields) == 3:
            ran, waited = ran + int(fields[0]), waited + int(fields[1])
            turns += int(fields[2])
    return ran, waited, turns


PLUGIN: type[Sensor] = Vcpus
