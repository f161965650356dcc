"""What QEMU's own log says of an end: libvirt's `reason=` word, and QEMU's last line."""

import asyncio
import os
import re
import time
from pathlib import Path

from holdfast.facts.instants import Instant
from holdfast.facts.observations import QemuLogRead
from holdfast.facts.subjects import Incarnation
from holdfast.ports.sensor import See

FOLDER = Path("/var/log/libvirt/qemu")
TAIL_BYTES = 16_384
LOOKS_S = (0.0, 0.15, 0.3, 0.6)  # libvirt writes its line some 200 ms after the end.
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d[ T][\d:.]+[^:]*: ")
_REASON = re.compile(r"shutting down, reason=([a-z-]+)")


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
        said: QemuLogRead | None = None
        for wait_s in LOOKS_S:
            await asyncio.sleep(wait_s)
            found = self.read(life, name, start)
            if found is not None and found != said:
                said = found
                see(found)
            if found is not None and found.reason:
                return

    def read(self, life: Incarnation, name: str, start: int = -1) -> QemuLogRead | None:
        """None when no line is of this life. `start` -1: from libvirt's last `starting up`."""
        try:
            with self._path(name).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, start, size - TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return None
        lines = [line for line in text.splitlines() if line.strip()]
        begins = [n for n, line in enumerate(lines) if "starting up" in line]
        lines = lines[begins[-1] :] if begins else lines
        reasons = [m.group(1) for line in lines if (m := _REASON.search(line))]
        own = [line for line in lines if "qemu-system" in line and "terminating" in line]
        own = own or [line for line in lines if not _REASON.search(line)]
        last = _STAMP.sub("", own[-1]) if own else ""
        if not reasons and "terminating" not in last:
            return None
        at = Instant(time.monotonic_ns())
        reason = reasons[-1] if reasons else ""
        return QemuLogRead(at=at, incarnation=life, reason=reason, last_line=last)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
