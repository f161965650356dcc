"""A watchdog behind a Unix socket: what a lab host has in place of a device.

Standard library only. Who listens there answers `open` with the time-out that runs from then on, in
milliseconds; that a connection ends stops nothing.
"""

import contextlib
import socket
from pathlib import Path

from holdfast.ports.watchdog import WatchdogRefused

ANSWER_LIMIT_S = 1.0
OPEN, PET, CLOSE = "open", "pet", "close"


class SocketWatchdog:
    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def open(self, timeout_ms: int) -> int:
        """Asked once: the pulse waits for the answer, as it would for a device."""
        try:
            if self._socket is None:
                self._socket = _connect(self._path)
            self._socket.settimeout(ANSWER_LIMIT_S)
            self._socket.send(f"{OPEN} {timeout_ms}".encode())
            kept_ms = int(self._socket.recv(64))
            self._socket.setblocking(False)
        except (OSError, ValueError) as error:
            self._forget()
            raise WatchdogRefused(f"{self._path}: {error}") from None
        if not 0 < kept_ms <= timeout_ms:
            self.close()
            raise WatchdogRefused(f"{self._path} keeps {kept_ms} ms, not {timeout_ms} ms")
        return kept_ms

    def pet(self) -> None:
        self._say(PET)

    def close(self) -> None:
        self._say(CLOSE)
        self._forget()

    def _say(self, word: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.send(word.encode())

    def _forget(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _connect(path: str) -> socket.socket:
    """Word by word, in order. Raises OSError."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        opened.connect(path)
    except OSError:
        opened.close()
        raise
    return opened


def is_socket(path: str) -> bool:
    """Whether this, and no device, is there."""
    return Path(path).is_socket()


PLUGIN = SocketWatchdog
