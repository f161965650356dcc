"""What is still known of the hardware after a boot: its parts, and which crash was told already."""

import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from holdfast.facts.hardware import Part


class Remembered(Struct, frozen=True, kw_only=True):
    parts: tuple[Part, ...] = ()
    memory_mib: int = 0
    crashes: tuple[str, ...] = ()


class HardwareMemory:
    """A small file. What cannot be read is forgotten; what cannot be written raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known = Remembered()
        self.trouble = ""
        try:
            self.known = msgspec.json.decode(path.read_bytes(), type=Remembered)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
            self.trouble = f"{path} cannot be read, and is begun anew: {error}"

    def change(self, **fields: object) -> None:
        """Keep it for the next agent, whole or not at all. Raises OSError."""
        changed = structs.replace(self.known, **fields)
        if changed == self.known:
            return
        beside = self._path.with_suffix(f".new-{os.getpid()}")
        try:
            with beside.open("wb") as opened:
                opened.write(msgspec.json.encode(changed))
                opened.flush()
                os.fsync(opened.fileno())
            beside.replace(self._path)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink()
        self.known = changed
