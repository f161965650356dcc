"""Carries frames between two network devices late, twice, in another order, or not at all.

Run in a lab's wire namespace with the standard library alone: `carrier.py DEVICE DEVICE WEATHER`,
with WEATHER as JSON {"delay_ms", "jitter_ms", "doubled_percent", "lost_percent", "seed"}. It says
`carries` when it does. Kernels without netem need it; it does the same on all others.
"""

import contextlib
import heapq
import json
import os
import random
import select
import socket
import sys
import time

ALL_FRAMES = 0x0003
SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
FRAME_BYTES = 70_000
IDLE_S = 0.5
NS_PER_MS = 1_000_000


def open_device(name: str) -> socket.socket:
    """Every frame of a device, with the kernel's notes on checksums that are still to be made."""
    door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_FRAMES))
    door.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    door.bind((name, 0))
    door.setblocking(False)
    return door


class Carrier:
    """Two devices, and what is under way between them."""

    def __init__(self, first: str, second: str, weather: dict[str, float]) -> None:
        """Both devices must be there."""
        self.doors = (open_device(first), open_device(second))
        self._weather = weather
        self._chance = random.Random(weather.get("seed", 0))
        self._under_way: list[tuple[int, int, socket.socket, bytes]] = []
        self._number = 0

    def run(self) -> None:
        """Carry for ever."""
        other = {self.doors[0]: self.doors[1], self.doors[1]: self.doors[0]}
        while True:
            for door in select.select(self.doors, [], [], self._wait_s())[0]:
                self._take(door, other[door])
            now = time.monotonic_ns()
            while self._under_way and self._under_way[0][0] <= now:
                _, _, out, frame = heapq.heappop(self._under_way)
                with contextlib.suppress(OSError):  # Gone or full: lost, as on any network.
                    out.send(frame)

    def _wait_s(self) -> float:
        if not self._under_way:
            return IDLE_S
        return max(0.0, (self._under_way[0][0] - time.monotonic_ns()) / 1e9)

    def _take(self, door: socket.socket, out: socket.socket) -> None:
        while True:
            try:
                frame, address = door.recvfrom(FRAME_BYTES)
            except OSError:
                return
            if address[2] == PACKET_OUTGOING or self._happens("lost_percent"):
                continue
            for _ in range(2 if self._happens("doubled_percent") else 1):
                late_ms = self._weather.get("delay_ms", 0.0)
                late_ms += self._chance.uniform(0.0, self._weather.get("jitter_ms", 0.0))
                due = time.monotonic_ns() + int(late_ms * NS_PER_MS)
                self._number += 1
                heapq.heappush(self._under_way, (due, self._number, out, frame))

    def _happens(self, what: str) -> bool:
        return self._chance.uniform(0.0, 100.0) < self._weather.get(what, 0.0)


def main() -> None:
    """Before ordinary programs: only what was asked for may be late."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(40))
    carrier = Carrier(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
    print("carries", flush=True)
    carrier.run()


if __name__ == "__main__":
    main()
