"""The health board: a small shared file in which each layer's watcher leaves its newest word.

Agent and pulse map it; nobody waits for anybody. A word says how long it is good, and is stale
after that. It lives in the run directory, so a boot begins with an
empty one. Standard library only.
"""

import mmap
import os
import struct
import zlib
from pathlib import Path

from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.layers import Layer, LayerState
from holdfast.facts.pulse import LAYERS, STATES, Word

_MAGIC = b"HFB1"
_HEAD = struct.Struct("<4sQ")
_SLOT = struct.Struct("<BQI")  # State, written at, good for so many ms.
_CHECK = struct.Struct("<I")
_SLOTS_AT, _SLOT_BYTES = 64, 32
_SIZE = 4096
_LASTING = (LayerState.UNKNOWN, LayerState.STOPPED)  # Nobody promised a further word.
_EMPTY = Word(LayerState.UNKNOWN, 0)


def map_file(path: Path, size: int) -> mmap.mmap:
    """Shared with whoever maps it, too; made where it is not there. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)


class Board:
    """Raises OSError when the file cannot be made."""

    def __init__(self, path: Path) -> None:
        self._map = map_file(path, _SIZE)
        self._newest: dict[Layer, tuple[LayerState, int, int]] = {}

    def write(self, layer: Layer, state: LayerState, limit_ms: int, at: Instant) -> None:
        """Say how a layer is; without a newer word it is stale after `limit_ms`."""
        slot = _SLOT.pack(STATES.index(state), at, limit_ms)
        start = _SLOTS_AT + LAYERS.index(layer) * _SLOT_BYTES
        self._map[start : start + _SLOT.size + _CHECK.size] = slot + _CHECK.pack(zlib.crc32(slot))

    def read(self, layer: Layer, at: Instant) -> Word:
        """The newest word, and its age. While it is being written, the one before it."""
        start = _SLOTS_AT + LAYERS.index(layer) * _SLOT_BYTES
        raw = self._map[start : start + _SLOT.size + _CHECK.size]
        number, written, limit_ms = _SLOT.unpack_from(raw)
        if _CHECK.unpack_from(raw, _SLOT.size)[0] == zlib.crc32(raw[: _SLOT.size]):
            state = STATES[number] if number < len(STATES) else LayerState.UNKNOWN
            self._newest[layer] = (state, written, limit_ms)
        newest = self._newest.get(layer)
        if newest is None:
            return _EMPTY
        state, written, limit_ms = newest
        age_ms = max(0, at - written) // NS_PER_MS
        is_stale = age_ms > limit_ms and state not in _LASTING
        return Word(LayerState.STALE if is_stale else state, age_ms)

    def read_all(self, at: Instant) -> dict[Layer, Word]:
        """Layers of which nobody ever said a word are not named."""
        words = {layer: self.read(layer, at) for layer in LAYERS}
        return {layer: word for layer, word in words.items() if layer in self._newest}

    @property
    def generation(self) -> int:
        """Rises when the pulse shall read its file anew: a file on a sick disk is not asked."""
        magic, generation = _HEAD.unpack_from(self._map)
        return int(generation) if magic == _MAGIC else 0

    def call_to_read(self) -> None:
        self._map[: _HEAD.size] = _HEAD.pack(_MAGIC, self.generation + 1)

    def close(self) -> None:
        self._map.close()
