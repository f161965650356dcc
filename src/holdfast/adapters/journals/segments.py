"""The journal as files of JSON lines: each line has its checksum, each file begins with a snapshot.

A line is one JSON object, `{"crc":"1f2e3d4c","n":..,"at":..,"utc_ms":..,"kind":..,"body":..}`; the
checksum is the CRC-32 of what follows it and its comma. A file is named by its first line's number.
"""

import contextlib
import errno
import fcntl
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from holdfast.adapters.drivers.private_folder import make_private_folder, sync_folder
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.ports.journal import Gap, Kind, Losses, Record

SEGMENT_BYTES = 8 << 20
SEGMENT_RECORDS = 50_000
TOTAL_BYTES = 64 << 20
SEGMENTS_KEPT = 1_000
RETRY_NS = NS_PER_S  # A full disk is tried again once a second, not at every line.

_PREFIX = len(b'{"crc":"00000000",')
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class JournalTaken(Exception):
    """Another process writes this journal."""


class Segments:
    """See ports.journal.Journal. `snapshot` gives the world and settings, tagged, at any time.

    Raises JournalTaken, or OSError when the folder cannot be made or read at all. A disk that is
    full is no error: the journal then begins with a gap.
    """

    def __init__(
        self,
        folder: Path,
        schema: int,
        snapshot: Callable[[], Struct | bytes],
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_records: int = SEGMENT_RECORDS,
        total_bytes: int = TOTAL_BYTES,
        retry_ns: int = RETRY_NS,
    ) -> None:
        self._folder = folder
        self._schema = schema
        self._snapshot = snapshot
        self._segment_bytes = segment_bytes
        self._segment_records = segment_records
        self._total_bytes = total_bytes
        self._retry_ns = retry_ns
        self._fd: int | None = None
        self._swap = threading.Lock()  # Held while the file changes hands, never while it syncs.
        self._size = self._count = 0
        self._lost = Losses()
        self._gap = 0
        self._retry_at = 0
        self._is_doubtful = False  # Whether the disk dropped something of this segment.
        make_private_folder(folder)
        self._lock = _take_lock(folder)
        self._n = _last_number(folder) + 1

    def append(self, kind: Kind, at: Instant, body: Struct | bytes) -> None:
        raw = _one_line(body)
        try:
            if self._fd is None or self._is_over(kind):
                self._begin_segment(kind, at, raw)
            else:
                self._write(kind, at, raw)
        except OSError as error:
            self._abandon_segment()
            self._lose(error)

    def sync(self) -> None:
        with self._swap:
            if self._fd is None:
                return
            fd = os.dup(self._fd)
        try:
            os.fdatasync(fd)
            sync_folder(self._folder)
        except OSError as error:
            # What the kernel could not write it has dropped: what follows begins anew.
            self._lost = Losses(count=self._lost.count + 1, reason=f"sync: {error.strerror}")
            self._is_doubtful = True
        finally:
            os.close(fd)

    def losses(self) -> Losses:
        return self._lost

    def records(self) -> Iterator[Record]:
        return iter(read(self._folder))

    def close(self) -> None:
        self._abandon_segment()
        os.close(self._lock)

    def _is_over(self, kind: Kind) -> bool:
        """A full segment is left before an input only: its actions stay with it."""
        is_full = self._size >= self._segment_bytes or self._count >= self._segment_records
        return self._is_doubtful or (is_full and kind == "input")

    def _begin_segment(self, kind: Kind, at: Instant, raw: bytes) -> None:
        """A new file with a snapshot, after losses a note of the gap, and the first line.

        Raises OSError when not all of it could be written; then nothing of it stays.
        """
        if time.monotonic_ns() < self._retry_at:
            raise OSError(self._lost.reason)
        self._abandon_segment()
        self._make_room()
        first = self._n
        path = self._folder / f"{first:016d}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd, self._size, self._count = os.open(path, flags, 0o600), 0, 0
        try:
            self._write("snapshot", at, _one_line(self._snapshot()))
            if self._gap:
                self._write("note", at, _one_line(Gap(lost=self._gap, reason=self._lost.reason)))
            self._write(kind, at, raw)
        except BaseException:
            self._n = first
            self._abandon_segment()
            with contextlib.suppress(OSError):  # What stays of it are whole lines.
                path.unlink()
            raise
        self._gap = 0
        self._is_doubtful = False

    def _write(self, kind: Kind, at: Instant, raw: bytes) -> None:
        """One line by one write(2). Raises OSError, and leaves no half line behind."""
        assert self._fd is not None
        schema = b',"schema":%d' % self._schema if kind == "snapshot" else b""
        rest = b'"n":%d,"at":%d,"utc_ms":%d,"kind":"%s"%s,"body":%s}\n' % (
            self._n,
            at,
            time.time_ns() // NS_PER_MS,
            kind.encode(),
            schema,
            raw,
        )
        line = b'{"crc":"%08x",%s' % (zlib.crc32(rest), rest)
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, "the disk is full")
        self._size += written
        self._count += 1
        self._n += 1

    def _lose(self, error: OSError) -> None:
        self._n += 1
        self._gap += 1
        if error.errno:  # Else it was too early to try again.
            self._retry_at = time.monotonic_ns() + self._retry_ns
        self._lost = Losses(count=self._lost.count + 1, reason=error.strerror or str(error))

    def _abandon_segment(self) -> None:
        with self._swap:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _make_room(self) -> None:
        """Delete the oldest files; the newest one stays, for its snapshot is the way back."""
        paths = segment_paths(self._folder)
        sizes = {path: path.stat().st_size for path in paths}
        room = self._total_bytes - self._segment_bytes
        for path in paths[:-1]:
            if sum(sizes.values()) <= room and len(sizes) < SEGMENTS_KEPT:
                break
            path.unlink()
            del sizes[path]


class Reading:
    """Records of some segments, oldest first. Afterwards, `damaged` counts lines that could not be
    read, and `missing` the numbers that no line has: together, what is not there."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.damaged = 0
        self.missing = 0

    def __iter__(self) -> Iterator[Record]:
        self.damaged = self.missing = 0
        last: int | None = None
        for path in self.paths:
            for record in self._records(path):
                if last is not None:
                    self.missing += max(0, record.n - last - 1)
                last = record.n
                yield record

    def _records(self, path: Path) -> Iterator[Record]:
        try:
            file = path.open("rb")
        except FileNotFoundError:  # The writer made room while we read.
            return
        with file:
            for line in file:
                record = parse(line)
                if record is None:
                    self.damaged += 1
                else:
                    yield record


def read(folder: Path) -> Reading:
    """All that is kept. Needs no lock: a program may read what an agent writes."""
    return Reading(segment_paths(folder))


def last_segment(folder: Path) -> Reading:
    """From the newest intact snapshot on: all that is needed to make the present world again.

    Empty when there is no intact snapshot.
    """
    paths = segment_paths(folder)
    for start in reversed(range(len(paths))):
        with paths[start].open("rb") as file:
            first = parse(file.readline())
        if first is not None and first.kind == "snapshot":
            return Reading(paths[start:])
    return Reading([])


def parse(line: bytes) -> Record | None:
    """None if the line is cut, or not what was written."""
    try:
        if not line.endswith(b"\n") or int(line[8:16], 16) != zlib.crc32(line[_PREFIX:]):
            return None
        return _decoder.decode(line)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return None


def segment_paths(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit())


def _last_number(folder: Path) -> int:
    """The highest number given so far, whatever of it can still be read."""
    paths = segment_paths(folder)
    if not paths:
        return 0
    highest = int(paths[-1].stem)
    return max([highest, *(record.n for record in Reading(paths[-1:]))])


def _one_line(body: Struct | bytes) -> bytes:
    """A line break in JSON can only stand between its parts, where a blank does as well."""
    return body.replace(b"\n", b" ") if isinstance(body, bytes) else _encoder.encode(body)


def _take_lock(folder: Path) -> int:
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise JournalTaken(
            f"the journal in {folder} is in use by another process; "
            "is a second agent running with the same state directory?"
        ) from None
    return fd


PLUGIN = Segments
