"""The child's end of a worker: dies with its parent, reads messages, writes answers whole."""

import ctypes
import os
import signal
import socket
import sys
import threading
from typing import Any

from holdfast.adapters.drivers.worker_frames import HEAD, pack, unpack

_PR_SET_PDEATHSIG = 1


class Parent:
    """The pipe to the agent, from FD and parent pid in sys.argv."""

    def __init__(self) -> None:
        die_with(int(sys.argv[2]))
        self._socket = socket.socket(fileno=int(sys.argv[1]))
        self._socket.setblocking(True)
        self._lock = threading.Lock()

    @property
    def args(self) -> list[str]:
        return sys.argv[3:]

    def send(self, message: Any) -> None:
        with self._lock:
            self._socket.sendall(pack(message))

    def receive(self) -> Any:
        """Ends this process when the agent is gone."""
        (size,) = HEAD.unpack(self._exactly(HEAD.size))
        return unpack(self._exactly(size))

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                os._exit(0)
            parts += part
        return bytes(parts)


def die_with(parent: int) -> None:
    """The kernel ends this process when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
