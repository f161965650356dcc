"""When a guest answers again, by the drill's own asking; and how long a plain start takes."""

import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from holdfast.lab.commands import LabError
from holdfast.lab.guests import Guest

WATCH_PROGRAM = Path(__file__).with_name("answer_watch.py")
START_LIMIT_S = 15.0
# Beyond the limit that the asking program keeps by itself.
MARGIN_S = 5.0


class AnswerWatch:
    """From before the fault: watches for the answer of the guest's next life."""

    def __init__(self, guest: Guest, limit_s: float) -> None:
        """`limit_s` runs from now."""
        self._guest, self._limit_s = guest, limit_s
        old_id = guest.virsh("domid")
        self._process = _start(guest, "again", old_id, limit_s)

    def __enter__(self) -> Self:
        if not _read(self._process, self._guest, START_LIMIT_S).get("is_watching"):
            raise LabError(f"{self._guest.name}: the drill cannot ask it for answers")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def wait(self) -> int | None:
        """The instant of the answer; None when there was none in time."""
        answered: int | None = _read(self._process, self._guest, self._limit_s)["answered_ns"]
        return answered


def time_plain_start(guest: Guest, limit_s: float) -> float | None:
    """Milliseconds from a plain libvirt start to the guest's answer; None without one in time."""
    process = _start(guest, "start", limit_s)
    try:
        begun_ns = int(_read(process, guest, START_LIMIT_S)["begun_ns"])
        answered_ns = _read(process, guest, limit_s)["answered_ns"]
    finally:
        process.kill()
        process.communicate()
    return None if answered_ns is None else (answered_ns - begun_ns) / 1e6


def _start(guest: Guest, verb: str, *words: object) -> subprocess.Popen[str]:
    return guest.host.popen(
        [sys.executable, str(WATCH_PROGRAM), verb, guest.name, *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _read(process: subprocess.Popen[str], guest: Guest, limit_s: float) -> dict[str, Any]:
    """The next object that it says."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], limit_s + MARGIN_S)[0]:
        raise LabError(f"{guest.name}: libvirt did not let the drill ask it for answers")
    line = process.stdout.readline()
    told: dict[str, Any] = json.loads(line) if line else {"error": "the asking program ended"}
    if "error" in told:
        raise LabError(f"{guest.name}: {told['error']}")
    return told
