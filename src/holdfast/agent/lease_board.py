"""The board on which agent and pulse leave their words on the host's lease: a small shared file.

It lies in the run directory, so that a boot begins with an empty one; see facts/lease_words.py.
Standard library only.
"""

import mmap
import struct
import zlib
from pathlib import Path

from holdfast.agent.board import map_file
from holdfast.facts.lease_words import Armed, Held

LEASE_BOARD = "lease-board"
_SIZE = 4096
_ARMED, _HELD, _GONE = struct.Struct("<Q?q"), struct.Struct("<qQQI"), struct.Struct("<q")
_CHECK = struct.Struct("<I")
_ARMED_AT, _HELD_AT, _GONE_AT = 0, 64, 128
_TRIES = 1_000  # To read a word while it is written, which takes the other less than that.


class SharedLeaseBoard:
    """See facts.lease_words.LeaseBoard. Raises OSError when the file cannot be made."""

    def __init__(self, path: Path) -> None:
        self._map = map_file(path, _SIZE)

    def armed(self) -> Armed:
        epoch, is_armed, until = _read(self._map, _ARMED, _ARMED_AT)
        return Armed(epoch, bool(is_armed), until)

    def arm(self, word: Armed) -> None:
        _write(self._map, _ARMED, _ARMED_AT, *word)

    def held(self) -> Held:
        return Held(*_read(self._map, _HELD, _HELD_AT))

    def hold(self, word: Held) -> None:
        _write(self._map, _HELD, _HELD_AT, *word)

    def gone_for(self) -> int:
        return int(_read(self._map, _GONE, _GONE_AT)[0])

    def say_gone(self, end: int) -> None:
        _write(self._map, _GONE, _GONE_AT, end)


def _write(board: mmap.mmap, shape: struct.Struct, at: int, *values: float) -> None:
    word = shape.pack(*values)
    board[at : at + shape.size + _CHECK.size] = word + _CHECK.pack(zlib.crc32(word))


def _read(board: mmap.mmap, shape: struct.Struct, at: int) -> tuple[int, ...]:
    """Zeros where nobody has written yet. Raises ValueError for a word that stays damaged: no
    lease is kept, and none given up, on what cannot be read."""
    empty = bytes(shape.size + _CHECK.size)
    for _ in range(_TRIES):
        raw = board[at : at + len(empty)]
        word = raw[: shape.size]
        if raw == empty or _CHECK.unpack_from(raw, shape.size)[0] == zlib.crc32(word):
            return shape.unpack(word)
    raise ValueError("the board of the lease is damaged")
