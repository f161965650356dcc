"""The flight recorder as a file of fixed size that is written round and round.

A header, then a ring of bytes. A record is: a mark that no UTF-8 text contains, its position in the
endless stream that the ring is a window of, its length, its CRC-32, and the JSON of a Sample or a
Noted. The position says which lap a record is from, so no pointer to the newest one is kept, and a
torn write costs one record. The file is written with pwrite(2), not mapped: mapped pages of many
rings would count as the agent's memory.
"""

import contextlib
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.last_words import Noted
from holdfast.ports.recorder import Kept

SIZE_BYTES = 1 << 20
BOOT = "boot"  # The kind of the note that begins each recording; its text is the boot.

_TITLE = b"holdfast ring 1\n"
_HEADER = struct.Struct("<16sQI")
_HEADER_BYTES = 64
_MARK = b"\xff\xf8\xfe\xfb"
_RECORD = struct.Struct("<4sQII")
_FIRST_WINDOW = 64 << 10  # Holds the last two minutes, unless the console was busy.
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Kept] = msgspec.json.Decoder(Kept)


class DamagedRing(Exception):
    """The file is no ring, or nothing in it can be read."""


class Ring:
    """See ports.recorder.Recorder. Raises OSError when the file cannot be made.

    A damaged file is set aside as NAME.damaged and counted in `lost`.
    """

    def __init__(self, path: Path, boot: str, size_bytes: int = SIZE_BYTES) -> None:
        self._boot = boot
        self.lost = 0
        try:
            self._fd, self._size, self._head = _open(path, os.O_RDWR)
        except FileNotFoundError:
            self._fd, self._size, self._head = _make(path, size_bytes)
        except DamagedRing:
            self.lost = 1
            path.replace(path.with_name(path.name + ".damaged"))
            self._fd, self._size, self._head = _make(path, size_bytes)
        now, utc_ms = Instant(time.monotonic_ns()), time.time_ns() // NS_PER_MS
        self.add(Noted(at=now, utc_ms=utc_ms, kind=BOOT, text=boot))

    def add(self, kept: Kept) -> None:
        payload = _encoder.encode(kept)
        if len(payload) > self._size // 4:
            self.lost += 1
            return
        crc = zlib.crc32(payload, self._head & 0xFFFF_FFFF)
        record = _RECORD.pack(_MARK, self._head, len(payload), crc) + payload
        start = self._head % self._size
        first = min(len(record), self._size - start)
        try:
            os.pwrite(self._fd, record[:first], _HEADER_BYTES + start)
            if first < len(record):
                os.pwrite(self._fd, record[first:], _HEADER_BYTES)
        except OSError:
            self.lost += 1
            return
        self._head += len(record)

    def since(self, at: Instant) -> list[Kept]:
        window = _FIRST_WINDOW
        while True:
            kept = _decode(self._payloads(window))
            if window >= self._size or (kept and kept[0].at < at):
                return from_then_on(kept, at, self._boot)
            window *= 4

    def newest(self, max_bytes: int) -> str:
        lines: list[bytes] = []
        for payload in reversed(list(self._payloads(2 * max_bytes))):
            max_bytes -= len(payload) + 1
            if max_bytes < 0:
                break
            lines.append(payload)
        return b"\n".join(reversed(lines)).decode()

    def close(self) -> None:
        os.close(self._fd)

    def _payloads(self, window_bytes: int) -> Iterator[bytes]:
        """What is whole in the newest bytes of the ring."""
        window = min(window_bytes, self._size, self._head)
        start = self._head - window
        try:
            raw = _slice(self._fd, self._size, start, window)
        except OSError:
            self.lost += 1
            return iter(())
        return _parse(raw, start)


def read(path: Path) -> list[Kept]:
    """All that can be read of a ring, oldest first, of every boot. Raises OSError, DamagedRing."""
    fd, size, head = _open(path, os.O_RDONLY)
    try:
        window = min(size, head)
        raw = _slice(fd, size, head - window, window)
        return _decode(_parse(raw, head - window))
    finally:
        os.close(fd)


def _decode(payloads: Iterator[bytes]) -> list[Kept]:
    """What this version knows; a newer one may have kept more."""
    found: list[Kept] = []
    for payload in payloads:
        with contextlib.suppress(msgspec.MsgspecError):
            found.append(_decoder.decode(payload))
    return found


def from_then_on(kept: list[Kept], at: Instant, boot: str) -> list[Kept]:
    """What is from `at` on and of this boot: what follows a note of it, or was never noted."""
    found: list[Kept] = []
    is_ours = True
    for item in kept:
        if isinstance(item, Noted) and item.kind == BOOT:
            is_ours = item.text == boot
            found = found if is_ours else []
        elif is_ours and item.at >= at:
            found.append(item)
    return found


def _make(path: Path, size_bytes: int) -> tuple[int, int, int]:
    """A ring appears whole or not at all, with its space reserved."""
    size = max(size_bytes - _HEADER_BYTES, 4_096)
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, _HEADER_BYTES + size)
        os.pwrite(fd, _HEADER.pack(_TITLE, size, zlib.crc32(b"%d" % size)), 0)
        new.replace(path)
    except OSError:
        os.close(fd)
        new.unlink(missing_ok=True)
        raise
    return fd, size, 0


def _open(path: Path, flags: int) -> tuple[int, int, int]:
    """Descriptor, size of the ring, position after its newest record."""
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        size = _checked_size(fd)
        return fd, size, _find_head(os.pread(fd, size, _HEADER_BYTES), size)
    except BaseException:
        os.close(fd)
        raise


def _checked_size(fd: int) -> int:
    raw = os.pread(fd, _HEADER.size, 0)
    if len(raw) < _HEADER.size:
        raise DamagedRing("its header is cut")
    title, size, crc = _HEADER.unpack(raw)
    if title != _TITLE or crc != zlib.crc32(b"%d" % size):
        raise DamagedRing("its header is not a ring's")
    if os.fstat(fd).st_size != _HEADER_BYTES + size:
        raise DamagedRing("its size is not what its header says")
    return int(size)


def _find_head(raw: bytes, size: int) -> int:
    """Look at every mark, since the newest record can be anywhere. Raises DamagedRing if none is
    whole although something was written."""
    head = 0
    twice = raw + raw  # A record may go on at the beginning.
    at = twice.find(_MARK)
    while 0 <= at < size:
        found = _record_at(twice, at)
        if found is not None and found[0] % size == at:
            head = max(head, found[0] + _RECORD.size + len(found[1]))
        at = twice.find(_MARK, at + 1)
    if head == 0 and raw.strip(b"\0"):
        raise DamagedRing("nothing in it can be read")
    return head


def _record_at(raw: bytes, at: int) -> tuple[int, bytes] | None:
    """Position and payload of the record that begins there, if it is whole."""
    if at + _RECORD.size > len(raw):
        return None
    mark, position, length, crc = _RECORD.unpack_from(raw, at)
    payload = raw[at + _RECORD.size : at + _RECORD.size + length]
    is_whole = mark == _MARK and len(payload) == length
    if not is_whole or zlib.crc32(payload, position & 0xFFFF_FFFF) != crc:
        return None
    return int(position), payload


def _slice(fd: int, size: int, start: int, length: int) -> bytes:
    """The bytes of the stream from `start` on, put together where the ring wraps."""
    at = start % size
    first = os.pread(fd, min(length, size - at), _HEADER_BYTES + at)
    return first + os.pread(fd, length - len(first), _HEADER_BYTES)


def _parse(raw: bytes, start: int) -> Iterator[bytes]:
    """Whole records of this lap in a piece of the stream that begins at position `start`."""
    at = raw.find(_MARK)
    while at >= 0:
        found = _record_at(raw, at)
        if found is not None and found[0] == start + at:
            yield found[1]
            at = raw.find(_MARK, at + _RECORD.size + len(found[1]))
        else:
            at = raw.find(_MARK, at + 1)


PLUGIN = Ring
