"""The watchdog of a lab host: outside of it, as hardware is; it cuts its power when nobody pets it.

Run as a program with LAB and HOST. Its socket lies on the host's disks. After a reset the host
boots again, by itself.
"""

import contextlib
import select
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.adapters.watchdogs.socket import CLOSE, OPEN, PET
from holdfast.lab.commands import LabError, leave_running, system_environment
from holdfast.lab.host import STATE_FOLDER, Host
from holdfast.lab.hosts import Lab
from holdfast.lab.namespaces import LAB_VARIABLE, Holder

PLACE = "/var/lib/holdfast/watchdog"  # As the host sees it; a folder on its disks.
LONGEST_LOOK_S = 0.1
READY_LIMIT_S = 20.0


@dataclass(frozen=True)
class LabWatchdog:
    """That of one host. Once begun it lives as long as the lab, as a host's hardware does."""

    host: Host

    @property
    def place(self) -> Path:
        return self.host.disks / PLACE.lstrip("/")

    @property
    def bites(self) -> int:
        """How often it has reset its host."""
        return len(self._bitten.read_text()) if self._bitten.exists() else 0

    def begin(self) -> None:
        """Returns when it listens; one that does is left alone. Raises LabError."""
        known = Holder.load(self._record)
        if known is not None and known.is_alive() and self.place.is_socket():
            return
        env = {**system_environment(), LAB_VARIABLE: self.host.lab}
        argv = [sys.executable, "-P", "-m", __name__, self.host.lab, self.host.name]
        holder = Holder.of_pid(leave_running(argv, self._log, env))
        holder.save(self._record)
        deadline = time.monotonic() + READY_LIMIT_S
        while not self.place.is_socket():
            if time.monotonic() > deadline or not holder.is_alive():
                words = self._log.read_text(errors="replace")[-1_000:]
                raise LabError(f"the watchdog of {self.host.name} did not start: {words}")
            time.sleep(0.02)

    def note_bite(self) -> None:
        with self._bitten.open("a") as file:
            file.write("!")

    @property
    def _record(self) -> Path:
        return STATE_FOLDER / self.host.lab / f"watchdog-{self.host.name}.pid"

    @property
    def _log(self) -> Path:
        return self._record.with_suffix(".log")

    @property
    def _bitten(self) -> Path:
        return self._record.with_suffix(".bites")


@dataclass
class Timer:
    """What runs now: petted by `at` of the host's boot that `pid1` is of, or not at all."""

    timeout_ms: int = 0
    at: float = 0.0
    pid1: int = 0
    visitors: list[socket.socket] = field(default_factory=list)

    def hear(self, word: str, pid1: int) -> str:
        """Returns the answer, or nothing."""
        name, _, value = word.partition(" ")
        if name == OPEN:
            self.timeout_ms, self.pid1 = int(value), pid1
        elif name == CLOSE:
            self.timeout_ms = 0
        if name in (OPEN, PET) and self.timeout_ms:
            self.at = time.monotonic() + self.timeout_ms / 1_000
        return str(self.timeout_ms) if name == OPEN else ""

    def is_due(self) -> bool:
        return bool(self.timeout_ms) and time.monotonic() >= self.at


def run(watchdog: LabWatchdog) -> None:
    """Until it is killed."""
    timer = Timer()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        watchdog.place.unlink(missing_ok=True)
        door.bind(str(watchdog.place))
        door.listen()
        while True:
            ready, _, _ = select.select([door, *timer.visitors], [], [], LONGEST_LOOK_S)
            for one in ready:
                if one is door:
                    timer.visitors.append(door.accept()[0])
                else:
                    _listen(watchdog.host, timer, one)
            if timer.is_due():
                timer.timeout_ms = 0
                _bite(watchdog, timer.pid1)


def _listen(host: Host, timer: Timer, visitor: socket.socket) -> None:
    """That it goes stops nothing: its host may hang."""
    try:
        word = visitor.recv(64).decode()
        if word:
            answer = timer.hear(word, host.pid1)
            visitor.sendall(answer.encode()) if answer else None
            return
    except (OSError, ValueError, LabError):
        pass
    timer.visitors.remove(visitor)
    visitor.close()


def _bite(watchdog: LabWatchdog, pid1: int) -> None:
    """Only the boot in which it was opened: one that lost power took its timer along."""
    host = watchdog.host
    with contextlib.suppress(LabError):
        if host.pid1 == pid1:
            watchdog.note_bite()
            host.power_cut()
            host.power_on()


def main(words: list[str]) -> None:
    lab, name = words
    run(LabWatchdog(Lab.find(lab).host(name)))


if __name__ == "__main__":
    main(sys.argv[1:])
