"""What QEMU's own log says of an end: libvirt's `reason=` word, and QEMU's last line."""

import asyncio
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from holdfast.facts.instants import Instant
from holdfast.facts.observations import QemuLogRead
from holdfast.facts.subjects import Incarnation
from holdfast.ports.sensor import See

FOLDER = Path("/var/log/libvirt/qemu")
TAIL_BYTES = 32_768
LOOKS_S = (0.0, 0.15, 0.3, 0.6)  # libvirt writes its line some 200 ms after the end.
CLOCK_SLACK_S = 2.0
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d[ T][\d:.]+(?:Z|\+\d{4}:?) ?")
_BEGIN = re.compile(r"^(\d{4}-\d\d-\d\d) ([\d:.]+)\+0000: starting up")
_REASON = re.compile(r"shutting down, reason=([a-z_ -]+)")
_LIBVIRTS_OWN = re.compile(r"shutting down, reason=|Domain id=\d+ is tainted: ")
_SIGNAL = "terminating on signal "


class QemuLogs:
    """`begun` remembers how long the log was when a life began: older lines are not its own."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._starts: dict[str, int] = {}

    def begun(self, life: Incarnation, name: str, *, found: bool) -> None:
        if not found:
            self._starts[life.key] = _size(self._path(name))

    async def read_end(self, life: Incarnation, name: str, see: See) -> None:
        """Read until libvirt wrote its reason, or the looks are used up; say what was found."""
        start = self._starts.pop(life.key, -1)
        said = ("", "")
        for wait_s in LOOKS_S:
            await asyncio.sleep(wait_s)
            found = self.read(life, name, start)
            if found is not None and (found.reason, found.last_line) != said:
                said = (found.reason, found.last_line)
                see(found)
            if said[0]:
                return

    def read(self, life: Incarnation, name: str, start: int = -1) -> QemuLogRead | None:
        """None where the log says nothing about this life's end. `start` is where its lines begin,
        -1: not known, so libvirt's own line about its start is looked for."""
        lines = self._lines(life, name, start)
        reasons = [match.group(1).strip() for line in lines if (match := _REASON.search(line))]
        signals = [line for line in lines if _SIGNAL in line]
        if not reasons and not signals:
            return None
        own = signals or [line for line in lines if not _LIBVIRTS_OWN.search(line)]
        return QemuLogRead(
            at=Instant(time.monotonic_ns()),
            incarnation=life,
            reason=reasons[-1] if reasons else "",
            last_line=_STAMP.sub("", own[-1]) if own else "",
        )

    def _lines(self, life: Incarnation, name: str, start: int) -> list[str]:
        try:
            with self._path(name).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                was_rotated = start > size
                file.seek(max(0, 0 if was_rotated else start, size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return []
        lines = [line for line in text.splitlines() if line.strip()]
        if start < 0 or was_rotated:
            return _of_life(lines, _began_utc(life))
        return _until_next(lines)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _of_life(lines: list[str], began_utc: float) -> list[str]:
    """The lines since libvirt's last `starting up` that is not later than the life's begin."""
    first = -1
    for number, line in enumerate(lines):
        match = _BEGIN.match(line)
        if match and _utc(match) <= began_utc + CLOCK_SLACK_S:
            first = number
    return _until_next(lines[first + 1 :])


def _until_next(lines: list[str]) -> list[str]:
    """Without those of a later life."""
    for number, line in enumerate(lines):
        if _BEGIN.match(line):
            return lines[:number]
    return lines


def _utc(match: re.Match[str]) -> float:
    stamp = datetime.fromisoformat(f"{match.group(1)}T{match.group(2)}")
    return stamp.replace(tzinfo=UTC).timestamp()


def _began_utc(life: Incarnation) -> float:
    """When the process began, by the wall clock of now."""
    ago_s = time.clock_gettime(time.CLOCK_BOOTTIME) - life.started_ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - ago_s


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
