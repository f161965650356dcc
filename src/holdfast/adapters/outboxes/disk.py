"""An outbox as files of lines, each with its checksum: what is sent is on disk before it leaves.

A line is `CRC + STREAM SEQUENCE PAYLOAD` (an entry), `CRC - STREAM SEQUENCE` (it arrived) or, first
in every file, `CRC = STREAM NEXT OWNER`: which stream goes on, and with which number. Opening
gathers what is pending in one new file. A file is deleted when none before it holds anything
pending; until then it may hold the word that an entry in an older file arrived.
"""

import contextlib
import errno
import os
import re
import secrets
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from holdfast.adapters.drivers.private_folder import make_private_folder, sync_folder
from holdfast.facts.instants import NS_PER_S
from holdfast.ports.journal import Losses

TOTAL_BYTES = 64 << 20
SEGMENT_BYTES = 1 << 20
RETRY_NS = NS_PER_S  # A full disk is tried again once a second, not at every entry.

Key = tuple[str, int]


class _File:
    """One file: `live` entries in it are pending; `heir` is the file that took its entries over."""

    def __init__(self, number: int, path: Path, size: int = 0) -> None:
        self.number, self.path, self.size = number, path, size
        self.live = 0
        self.heir = 0


class DiskOutbox:
    """See ports.outbox.Outbox. `owner` is the boot: another one begins a new stream.

    Beyond `total_bytes` the oldest entries are lost, and counted. Never raises OSError: without a
    disk it goes on in memory, in a stream of its own, and takes that along when the disk is back.
    """

    def __init__(
        self,
        folder: Path,
        owner: str,
        total_bytes: int = TOTAL_BYTES,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        retry_ns: int = RETRY_NS,
    ) -> None:
        self._folder, self._owner = folder, owner
        self._total_bytes = total_bytes
        self._segment_bytes = min(segment_bytes, max(4_096, total_bytes // 8))
        self._retry_ns = retry_ns
        self._pending: OrderedDict[Key, tuple[bytes, _File | None]] = OrderedDict()
        self._files: list[_File] = []
        self._fd: int | None = None
        self._unsynced: list[int] = []  # Files that were left before they were synced.
        self._swap = threading.Lock()  # Held while files change hands, never while they sync.
        self._synced = 0  # The number of the newest file that was synced since it was begun.
        self._lost, self._gap = Losses(), 0
        self._retry_at = 0
        self._is_in_memory = False
        self._is_doubtful = False  # Whether the disk dropped something of what it was given.
        self._in_memory_bytes = 0
        self._stream, self._next = _new_stream(owner), 1
        self._open()

    @property
    def stream(self) -> str:
        return self._stream

    def append(self, payload: bytes) -> int:
        if b"\n" in payload:
            raise ValueError("an entry is one line")
        try:
            if self._fd is None or self._is_doubtful:
                self._return_to_disk()
            elif self._files[-1].size >= self._segment_bytes:
                self._make_room()
                self._begin_file()
            self._write(_entry(self._stream, self._next, payload))
            return self._keep(payload, self._files[-1])
        except OSError as error:
            self._leave_disk(error)
            return self._keep_in_memory(payload)

    def pending(self) -> list[tuple[str, int, bytes]]:
        return [(*key, payload) for key, (payload, _) in self._pending.items()]

    def first(self) -> tuple[str, int, bytes] | None:
        key = next(iter(self._pending), None)
        return (*key, self._pending[key][0]) if key else None

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def acknowledge(self, stream: str, sequence: int) -> None:
        kept = self._pending.pop((stream, sequence), None)
        if kept is None:
            return
        payload, file = kept
        if file is None:
            self._in_memory_bytes -= len(payload)
            return
        file.live -= 1
        if self._fd is not None:
            # Unwritten, it is sent once more after a restart: a duplicate, and no loss.
            with contextlib.suppress(OSError):
                self._write(b"- %s %d" % (stream.encode(), sequence))
        self._delete_done()

    def take_gap(self) -> int:
        gap, self._gap = self._gap, 0
        return gap

    def losses(self) -> Losses:
        return self._lost

    def sync(self) -> None:
        with self._swap:
            fds, self._unsynced = self._unsynced, []
            number = self._files[-1].number if self._files else 0
            if self._fd is not None:
                fds.append(os.dup(self._fd))
        try:
            for fd in fds:
                os.fdatasync(fd)
            sync_folder(self._folder)
            self._synced = max(self._synced, number)
        except OSError as error:
            # What the kernel could not write it has dropped: all pending is written anew.
            self._is_doubtful = True
            self._count(1, f"sync: {error.strerror}", is_gap=False)
        finally:
            for fd in fds:
                os.close(fd)

    def close(self) -> None:
        with self._swap:
            for fd in [*self._unsynced, *([] if self._fd is None else [self._fd])]:
                os.close(fd)
            self._fd, self._unsynced = None, []

    def _open(self) -> None:
        try:
            make_private_folder(self._folder)
            is_intact = self._read_all()
            if not is_intact:
                self._stream, self._next = _new_stream(self._owner), 1
            self._gather()
            self.sync()
            self._delete_done()
        except OSError as error:
            self._leave_disk(error)

    def _read_all(self) -> bool:
        """Learn what is pending and which stream goes on; whether it may go on."""
        is_intact = False
        for path in sorted(p for p in self._folder.glob("*.out") if p.stem.isdigit()):
            file = _File(int(path.stem), path, path.stat().st_size)
            self._files.append(file)
            damaged = 0
            owner = b""
            for fields in _lines(path):
                if fields is None:
                    damaged += 1
                elif fields[0] == b"=":
                    self._stream, self._next, owner = fields[1].decode(), int(fields[2]), fields[3]
                else:
                    self._replay(fields, file)
            if damaged:
                self._count(damaged, f"{path.name} is damaged")
            is_intact = not damaged and owner == self._owner.encode()
        return is_intact

    def _replay(self, fields: list[bytes], file: _File) -> None:
        key = (fields[1].decode(), int(fields[2]))
        known = self._pending.pop(key, None)
        if known is not None and known[1] is not None:
            known[1].live -= 1
        if fields[0] == b"+":
            self._pending[key] = (fields[3], file)
            file.live += 1
            if key[0] == self._stream:
                self._next = max(self._next, key[1] + 1)

    def _gather(self) -> None:
        """Write all that is pending into new files. Raises OSError; then the old ones still count.

        What a failed attempt leaves behind names the same entries again, and does no harm.
        """
        older = list(self._files)
        taken: OrderedDict[Key, tuple[bytes, _File | None]] = OrderedDict()
        self._begin_file()
        for key, (payload, _) in self._pending.items():
            if self._files[-1].size >= self._segment_bytes:
                self._begin_file()
            self._write(_entry(*key, payload))
            taken[key] = (payload, self._files[-1])
        for _, file in taken.values():
            assert file is not None
            file.live += 1
        for file in older:
            file.live, file.heir = 0, self._files[-1].number
        self._pending = taken
        self._in_memory_bytes = 0
        self._is_in_memory = self._is_doubtful = False

    def _return_to_disk(self) -> None:
        if time.monotonic_ns() < self._retry_at:
            raise OSError(self._lost.reason)  # Without errno: it was too early to try again.
        stream, following = self._stream, self._next
        self._stream, self._next = _new_stream(self._owner), 1
        try:
            make_private_folder(self._folder)
            self._gather()
        except OSError:
            self._stream, self._next = stream, following
            raise

    def _begin_file(self) -> None:
        """A new file with its first line. Raises OSError; then nothing has changed."""
        number = self._files[-1].number + 1 if self._files else 1
        path = self._folder / f"{number:010d}.out"
        names = (self._stream.encode(), self._next, self._owner.encode())
        first = _line(b"= %s %d %s" % names)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, first) != len(first):
                raise OSError(errno.ENOSPC, "the disk is full")
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        with self._swap:
            if self._fd is not None:
                self._unsynced.append(self._fd)
            self._fd = fd
            self._files.append(_File(number, path, len(first)))

    def _write(self, body: bytes) -> None:
        """One line by one write(2). Raises OSError, and leaves no half line behind."""
        assert self._fd is not None
        line = _line(body)
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(self._fd, self._files[-1].size)
            raise OSError(errno.ENOSPC, "the disk is full")
        self._files[-1].size += written

    def _keep(self, payload: bytes, file: _File | None) -> int:
        sequence, self._next = self._next, self._next + 1
        self._pending[self._stream, sequence] = (payload, file)
        if file is not None:
            file.live += 1
        return sequence

    def _leave_disk(self, error: OSError) -> None:
        """Go on in memory, in a stream of its own: on disk a number may or may not be taken."""
        if error.errno:
            self._retry_at = time.monotonic_ns() + self._retry_ns
        if not self._is_in_memory:
            self._is_in_memory = True
            self._stream, self._next = _new_stream(self._owner), 1
        self._count(1, error.strerror or str(error), is_gap=False)
        with self._swap:
            if self._fd is not None:
                self._unsynced.append(self._fd)
                self._fd = None

    def _keep_in_memory(self, payload: bytes) -> int:
        self._in_memory_bytes += len(payload)
        while self._in_memory_bytes > self._total_bytes:
            oldest = next((k for k, (_, file) in self._pending.items() if file is None), None)
            if oldest is None:
                break
            self._in_memory_bytes -= len(self._pending.pop(oldest)[0])
            self._count(1, "the outbox is full, and cannot be written")
        return self._keep(payload, None)

    def _make_room(self) -> None:
        """Give up the oldest files, with what is pending in them."""
        size = sum(file.size for file in self._files)
        while self._files and size > self._total_bytes - self._segment_bytes:
            file = self._files.pop(0)
            size -= file.size
            given_up = [key for key, (_, of) in self._pending.items() if of is file]
            for key in given_up:
                del self._pending[key]
            if given_up:
                self._count(len(given_up), "the outbox is full")
            file.path.unlink(missing_ok=True)

    def _delete_done(self) -> None:
        while len(self._files) > 1 and not self._files[0].live:
            if self._files[0].heir > self._synced:
                return  # A power cut could still take the copy.
            with contextlib.suppress(OSError):
                self._files[0].path.unlink()
            del self._files[0]

    def _count(self, lost: int, reason: str, *, is_gap: bool = True) -> None:
        self._lost = Losses(count=self._lost.count + lost, reason=reason)
        if is_gap:
            self._gap += lost


def _new_stream(owner: str) -> str:
    return f"{re.sub(r'[^0-9A-Za-z._-]', '-', owner)}.{secrets.token_hex(4)}"


def _entry(stream: str, sequence: int, payload: bytes) -> bytes:
    return b"+ %s %d %s" % (stream.encode(), sequence, payload)


def _line(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _lines(path: Path) -> Iterator[list[bytes] | None]:
    """The fields of each line; None for one that is cut, or not what was written."""
    with path.open("rb") as file:
        for line in file:
            body = line[9:-1]
            fields = body.split(b" ", 3)
            is_whole = line.endswith(b"\n") and line[:9] == b"%08x " % zlib.crc32(body)
            wanted = {b"+": 4, b"-": 3, b"=": 4}.get(fields[0])
            yield fields if is_whole and len(fields) == wanted else None


PLUGIN = DiskOutbox
