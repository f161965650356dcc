"""An ear on the loopback with clocks that a test moves; datagrams and sockets are real."""

import socket
import time
from collections import deque
from contextlib import ExitStack
from typing import Any

from holdfast.controller.ear import Ear, EarSettings
from holdfast.controller.ear_sockets import Clock, PlaneEar
from tests.controller.ear_scene import MISSES, MS, PERIOD, FakeHost
from tests.ports import free_port

LOOK = 10


class Clocks:
    """Time passes only as a test says: a machine that is slow must not make a host silent."""

    def __init__(self) -> None:
        self.passed = self.set = 0
        self._began, self._wall = time.monotonic_ns(), time.time_ns()

    def monotonic(self) -> int:
        return self._began + self.passed

    def wall(self) -> int:
        return self._wall + self.passed + self.set


class Room:
    """An ear on the loopback, and a socket from which hosts pulse to it."""

    def __init__(
        self, own: ExitStack, buffer_bytes: int = 1 << 20, gasp_port: int = 0, kdump_port: int = 0
    ) -> None:
        self.clocks = Clocks()
        self.port = free_port()
        settings = EarSettings(
            planes=(("a", "127.0.0.1"),),
            port=self.port,
            period_ms=PERIOD,
            misses=MISSES,
            look_ms=LOOK,
            longest_patience_ms=5_000,
            gasp_port=gasp_port,
            kdump_port=kdump_port,
        )
        self._stamps: deque[int] = deque()  # The kernel knows nothing of the time a test adds.

        def open_ear(plane: str, address: str, port: int) -> PlaneEar:
            return PlaneEar(plane, address, port, buffer_bytes, lambda _: self._stamps.popleft())

        clock = Clock(self.clocks.monotonic, self.clocks.wall)
        self.ear = Ear(settings, clock, open_ear)
        own.callback(self.ear.close)
        self.sender = own.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.sender.bind(("127.0.0.1", 0))
        self.said: list[dict[str, Any]] = []

    def know(self, *hosts: FakeHost) -> None:
        for host in hosts:
            told = {"key": host.key.hex(), "addresses": {"a": "127.0.0.1"}, "boots": {}}
            self.ear.told({"is": "know", "host": host.name, "grace_ms": 60_000, **told})

    def send(self, *hosts: FakeHost) -> None:
        for host in hosts:
            self.sender.sendto(host.pulse(), ("127.0.0.1", self.port))
            self._stamps.append(self.clocks.wall())

    def turn(self, after_ms: float = LOOK, late_ms: float = 0) -> list[dict[str, Any]]:
        """Let time pass, then take a turn that should have begun so much earlier."""
        self.pass_time(after_ms)
        self.ear.turn(self.clocks.monotonic() - int(late_ms * MS))
        self._stamps.clear()
        said, self.ear.out[:] = list(self.ear.out), []
        said = [one for one in said if one["is"] not in ("tick", "counts", "boots")]
        self.said += said
        return said

    def pass_time(self, ms: float) -> None:
        self.clocks.passed += int(ms * MS)

    def turns(self, ms: int, *pulsing: FakeHost) -> list[dict[str, Any]]:
        """Turns in time for so long, with these hosts pulsing."""
        said: list[dict[str, Any]] = []
        for passed in range(0, ms, LOOK):
            if passed % PERIOD == 0:
                self.send(*pulsing)
            said += self.turn()
        return said
