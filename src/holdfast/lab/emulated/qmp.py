"""QEMU's monitor, spoken as its protocol says: JSON lines on a socket, one command at a time.

Source: docs/interop/qmp-spec.txt of QEMU.
"""

import json
import queue
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from holdfast.lab.commands import LabError

ANSWER_LIMIT_S = 30.0
POLL_S = 0.02


class Lines:
    """A Unix socket that QEMU listens on; each line is one JSON object."""

    def __init__(self, path: Path, limit_s: float) -> None:
        """Raises LabError when nobody listens there in time."""
        deadline = time.monotonic() + limit_s
        while True:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.connect(str(path))
                break
            except OSError as error:
                self._socket.close()
                if time.monotonic() > deadline:
                    raise LabError(f"QEMU does not listen at {path}: {error}") from None
                time.sleep(POLL_S)
        self._file = self._socket.makefile("rb")

    def send(self, what: dict[str, Any]) -> None:
        """Raises LabError when QEMU is gone."""
        try:
            self._socket.sendall(json.dumps(what).encode() + b"\n")
        except OSError as error:
            raise LabError(f"the machine is gone: {error}") from None

    def read(self) -> dict[str, Any] | None:
        """The next object; None once QEMU is gone."""
        while True:
            try:
                line = self._file.readline()
            except OSError:
                return None
            if not line:
                return None
            with suppress(ValueError):  # What a boot left on the port is no line of ours.
                found = json.loads(line)
                if isinstance(found, dict):
                    return found

    def close(self) -> None:
        """End the connection; a reader sees its end."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Monitor:
    """Commands and their answers. `events` is every event so far: (CLOCK_MONOTONIC ns, event)."""

    def __init__(self, path: Path, limit_s: float) -> None:
        """Raises LabError when QEMU does not answer."""
        self._lines = Lines(path, limit_s)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        self.events: list[tuple[int, dict[str, Any]]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: Any) -> Any:
        """What QEMU answered. Raises LabError with its own words when it refuses."""
        with self._turn:
            self._lines.send({"execute": name, "arguments": arguments})
            try:
                answer = self._answers.get(timeout=ANSWER_LIMIT_S)
            except queue.Empty:
                raise LabError(f"QEMU does not answer {name} in {ANSWER_LIMIT_S:g} s") from None
        if "error" in answer:
            raise LabError(f"QEMU refuses {name}: {answer['error']['desc']}")
        return answer["return"]

    def say(self, line: str) -> str:
        """A command of the human monitor, for what QMP has none."""
        return str(self.command("human-monitor-command", **{"command-line": line}))

    def wait_event(self, name: str, since_ns: int, limit_s: float) -> int | None:
        """When an event was first seen since an instant; None when it is not in time."""

        def seen() -> int | None:
            found = [at for at, event in self.events if event["event"] == name and at >= since_ns]
            return found[0] if found else None

        with self._changed:
            self._changed.wait_for(seen, limit_s)
            return seen()

    def close(self) -> None:
        """End the connection."""
        self._lines.close()
        self._reader.join()

    def _read(self) -> None:
        while (told := self._lines.read()) is not None:
            if "event" in told:
                with self._changed:
                    self.events.append((time.monotonic_ns(), told))
                    self._changed.notify_all()
            elif "return" in told or "error" in told:
                self._answers.put(told)
