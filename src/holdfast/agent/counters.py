"""What the kernel counts for one life of a VM: CPU, memory, disk and network, read in 30 µs.

Files stay open: an open file of /proc belongs to its process for ever, never to a later one that
got the same pid. The kernel answers ESRCH when that process is gone.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from holdfast.facts.instants import Instant
from holdfast.facts.last_words import Sample
from holdfast.facts.subjects import Incarnation

_TICK_MS = 1_000 // os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1_024
_FLAGS = os.O_RDONLY | os.O_CLOEXEC


class Counters:
    """Raises ProcessLookupError when that life is over, OSError when it cannot be looked at.

    `taps` are found by QEMU's open files where they are not given.
    """

    def __init__(self, life: Incarnation, taps: Iterable[str] | None = None) -> None:
        self._fds: list[int] = []
        try:
            self._stat = self._open(f"/proc/{life.pid}/stat")
            if int(self._read_stat()[19]) != life.started_ticks:
                raise ProcessLookupError(f"pid {life.pid} is another process now")
            self._io = self._open_if_there(f"/proc/{life.pid}/io")
            # What a tap receives is what the guest sends.
            names = taps_of(life.pid) if taps is None else taps
            self._taps = [
                (
                    self._open_if_there(f"/sys/class/net/{name}/statistics/tx_bytes"),
                    self._open_if_there(f"/sys/class/net/{name}/statistics/rx_bytes"),
                )
                for name in names
            ]
        except BaseException:
            self.close()
            raise

    def sample(self, at: Instant, utc_ms: int) -> Sample:
        """Raises ProcessLookupError when the process is gone."""
        stat = self._read_stat()
        read_bytes, written_bytes = self._read_io()
        return Sample(
            at=at,
            utc_ms=utc_ms,
            state=stat[0].decode(),
            cpu_ms=(int(stat[11]) + int(stat[12])) * _TICK_MS,
            rss_kib=int(stat[21]) * _PAGE_KIB,
            read_bytes=read_bytes,
            written_bytes=written_bytes,
            net_in_bytes=sum(_read_number(fd) for fd, _ in self._taps),
            net_out_bytes=sum(_read_number(fd) for _, fd in self._taps),
        )

    def close(self) -> None:
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def _read_stat(self) -> list[bytes]:
        """Fields 3 to 24 of /proc/PID/stat: a name may hold blanks and brackets."""
        raw = os.pread(self._stat, 1_024, 0)
        return raw[raw.rindex(b")") + 2 :].split(b" ", 22)

    def _read_io(self) -> tuple[int, int]:
        """Bytes that the process made the disks read and write; 0 where it may not be seen."""
        if self._io is None:
            return 0, 0
        try:
            fields = os.pread(self._io, 1_024, 0).split()
        except PermissionError:
            return 0, 0
        return int(fields[9]), int(fields[11])

    def _open(self, path: str) -> int:
        try:
            fd = os.open(path, _FLAGS)
        except FileNotFoundError:
            raise ProcessLookupError(f"{path} is not there any more") from None
        self._fds.append(fd)
        return fd

    def _open_if_there(self, path: str) -> int | None:
        try:
            return self._open(path)
        except OSError:
            return None


def taps_of(pid: int) -> list[str]:
    """The network devices that a process feeds. Source: `iff:` in /proc/PID/fdinfo."""
    found = []
    folder = Path(f"/proc/{pid}/fdinfo")
    for path in _files(folder):
        try:
            text = path.read_bytes()
        except OSError:  # It was closed meanwhile.
            continue
        _, mark, rest = text.partition(b"iff:")
        if mark:
            found.append(rest.split(None, 1)[0].decode())
    return sorted(set(found))


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read_number(fd: int | None) -> int:
    if fd is None:
        return 0
    try:
        return int(os.pread(fd, 32, 0))
    except (OSError, ValueError):  # The tap is gone.
        return 0
