"""Everything that libvirt and QEMU said of a lab host's guests can be waited for and looked up."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from holdfast.lab.commands import LabError
from holdfast.lab.hosts import Host

SUBSCRIBER_PROGRAM = Path(__file__).with_name("event_subscriber.py")


@dataclass(frozen=True)
class Heard:
    """One event: `word` is libvirt's lifecycle event (stopped ...) or QEMU's (SHUTDOWN ...).

    It was heard at `at_ns`; QEMU's own stamp of its events is `said_ns`.
    """

    at_ns: int
    said_ns: int
    guest: str
    word: str
    detail: Any


class EventWatch:
    """A plain libvirt event subscriber on a lab host, for the length of a `with` block."""

    def __init__(self, host: Host) -> None:
        """Subscribe on this host; nothing is lost once the block has begun."""
        self._heard: list[Heard] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[Any] = host.popen(
            [sys.executable, str(SUBSCRIBER_PROGRAM)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        try:
            self.wait("listening", guest="")
        except LabError:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def wait(self, word: str, *, guest: str, since_ns: int = 0, limit_s: float = 15.0) -> Heard:
        """Wait for the guest's first event of this name since an instant; LabError if none."""
        deadline = time.monotonic() + limit_s
        with self._changed:
            while True:
                for heard in self._heard:
                    if (heard.word, heard.guest) == (word, guest) and heard.at_ns >= since_ns:
                        return heard
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
        said = [heard.word for heard in self.list_heard(guest, since_ns)]
        raise LabError(f"no `{word}` of {guest} within {limit_s:g} s; heard {said}")

    def list_heard(self, guest: str, since_ns: int = 0) -> list[Heard]:
        """All events of the guest since an instant."""
        with self._changed:
            return [each for each in self._heard if each.guest == guest and each.at_ns >= since_ns]

    def _read(self) -> None:
        for line in self._process.stdout or ():
            heard = Heard(**json.loads(line))
            with self._changed:
                self._heard.append(heard)
                self._changed.notify_all()

    def _end(self) -> None:
        self._process.kill()
        self._reader.join()
        self._process.communicate()
