"""A real pulse process for tests, and a controller's socket that hears it on the loopback."""

import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.agent.pulse_file import NAME, PulseFile, Target, write_pulse_file
from holdfast.facts.pulse import Pulse, decode, read_key

LIMIT_S = 15.0
HOST, KEY = "0123abcd", secrets.token_hex(32)


class Heard:
    """A socket that hears pulses on the loopback."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.address: str
        self.port: int
        self.address, self.port = self.socket.getsockname()

    def receive(self, limit_s: float = LIMIT_S) -> Pulse:
        return decode(self.receive_raw(limit_s), read_key(KEY))

    def receive_raw(self, limit_s: float = LIMIT_S) -> bytes:
        """Raises TimeoutError."""
        self.socket.settimeout(limit_s)
        return self.socket.recv(2_048)

    def wait(self, is_it: Callable[[Pulse], bool]) -> Pulse:
        """The first pulse of which this is so. Raises TimeoutError."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            pulse = self.receive()
            if is_it(pulse):
                return pulse
        raise TimeoutError

    def empty(self) -> list[Pulse]:
        """All that waits."""
        found = []
        while select.select([self.socket], [], [], 0)[0]:
            found.append(self.receive(0))
        return found

    def close(self) -> None:
        self.socket.close()


def pulse_file(*controllers: Heard, answer_port: int = 0) -> PulseFile:
    """One plane for each of these, all on the loopback."""
    planes = "abcdef"
    return PulseFile(
        host=HOST,
        host_name="h1",
        key=KEY,
        period_ms=50,
        restart_limit_ms=5_000,
        stop_limit_ms=600_000,
        targets=tuple(
            Target(plane, one.address, one.address, one.port)
            for plane, one in zip(planes, controllers, strict=False)
        ),
        answers=(("a", "127.0.0.1"),) if answer_port else (),
        answer_port=answer_port,
    )


def write(folder: Path, file: PulseFile) -> None:
    (folder / "state").mkdir(exist_ok=True)
    write_pulse_file(folder / "state" / NAME, file)


@contextmanager
def pulsing(folder: Path, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """The program itself, ended at the end of the block whatever happened."""
    argv = [*before, sys.executable, "-P", "-m", "holdfast.agent.pulse"]
    process = subprocess.Popen(
        [*argv, str(folder / "state"), str(folder / "run")], stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(LIMIT_S)
        assert process.stderr is not None
        process.stderr.close()
