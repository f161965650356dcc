"""The real ear on simulated sockets: its turns, doubts and lateness are those of its machine."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from holdfast.adapters.drivers.worker_link import Worker, WorkerGone
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.virtual_loop import VirtualLoop
from holdfast.controller.ear import Ear, EarSettings
from holdfast.controller.ear_sockets import Clock, PlaneEar, Take

ROOM = 4_000  # Datagrams that a socket's buffer holds while nobody reads it.
PORT = 7312


class SimulatedSocket(PlaneEar):
    """See controller.ear_sockets.PlaneEar: what arrives waits, stamped by the wall clock."""

    def __init__(  # The real one opens its socket.
        self, machine: Machine, plane: str, grant: Callable[[str, bytes], None]
    ) -> None:
        self.plane, self.address = plane, machine.name
        self._machine, self._grant = machine, grant
        self._waiting: list[tuple[bytes, str, int]] = []
        self._has_lost = False

    def arrive(self, data: bytes, sender: str) -> None:
        if len(self._waiting) >= ROOM:
            self._has_lost = True
            return
        self._waiting.append((data, sender, self._machine.own.utc_ns()))

    def drain(self, take: Take, at: int) -> bool:
        if not self._waiting:
            return True
        waiting, self._waiting = self._waiting, []
        for data, sender, _ in waiting:
            take(data, self.plane, (sender, PORT), at)
        return True

    def drain_late(self, take: Take, since: int, clock: Clock) -> list[int]:
        waiting, self._waiting = self._waiting, []
        heard = []
        for data, sender, stamp in waiting:
            at = clock.monotonic()
            at = max(since, at - max(0, clock.wall() - stamp))
            heard.append(at)
            take(data, self.plane, (sender, PORT), at)
        return heard

    def has_overflowed(self) -> bool:
        was, self._has_lost = self._has_lost, False
        return was

    def answer(self, data: bytes, sender: tuple[str, int]) -> None:
        """Back to the pulse that sent it, over its plane."""
        name, machine = sender[0], self._machine
        arrive = partial(self._grant, name, data)
        machine.network.send(self.plane, machine.name, name, arrive)

    def shut_out(self, senders: object) -> None:
        pass

    def close(self) -> None:
        pass


class SimulatedEar(Worker):
    """The ear as a process of its machine, beside the controller's; see worker_link.Worker."""

    def __init__(  # The real one starts a program.
        self,
        machine: Machine,
        planes: list[str],
        heard: Callable[[Any], None],
        grant: Callable[[str, bytes], None],
    ) -> None:
        self._machine, self._heard_by = machine, heard
        self._controller: VirtualLoop | None = None
        self._ear: Ear | None = None
        self._due = 0
        self.sockets = {plane: SimulatedSocket(machine, plane, grant) for plane in planes}
        self.gone = asyncio.Event()

    async def start(self) -> None:
        self._machine.kill("ear")
        self._controller = self._machine.loops["controller"]
        self._machine.begin("ear")

    def send(self, message: Any) -> None:
        """Read at the ear's next turn. Raises WorkerGone."""
        loop = self._machine.loops.get("ear")
        if loop is None or self.gone.is_set():
            raise WorkerGone
        loop.call_soon(self._told, loop, message)

    async def kill(self) -> None:
        self.gone.set()
        self._machine.kill("ear")

    def arrive(self, data: bytes, plane: str, sender: str) -> None:
        if self._machine.runs("ear"):
            self.sockets[plane].arrive(data, sender)

    def gasp(self, host: str, text: str) -> None:
        if self._ear is not None and self._machine.runs("ear"):
            at = self._ear.clock.monotonic()
            self._ear.out.append({"is": "gasp", "at": at, "host": host, "text": text})

    def _told(self, loop: VirtualLoop, message: Any) -> None:
        if self._ear is not None:
            self._ear.told(message)
            return
        own = self._machine.own
        clock = Clock(own.monotonic_ns, own.utc_ns, lambda: 0.0)
        self._ear = Ear(
            EarSettings.read(message), clock, lambda plane, _address, _port: self.sockets[plane]
        )
        self._due = own.monotonic_ns()
        self._say({"is": "listening", "at": self._due, "lacks": []})
        self._turn(loop)

    def _turn(self, loop: VirtualLoop) -> None:
        ear = self._ear
        assert ear is not None
        ear.turn(self._due)
        if ear.out:
            for message in ear.out:
                self._say(message)
            ear.out.clear()
        self._due = max(self._due + ear.look_ns, self._machine.own.monotonic_ns())
        loop.call_at_ns(self._due, self._turn, loop)

    def _say(self, message: Any) -> None:
        if self._controller is not None:
            self._controller.call_soon(self._heard_by, message)
