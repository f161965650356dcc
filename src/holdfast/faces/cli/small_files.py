"""Files that a person names on the command line: text, and never one without an end."""

import sys
from pathlib import Path

from holdfast.faces.cli.exits import Exit, Failure

LARGEST_BYTES = 1 << 20


def read_small(path: Path) -> str:
    """Raises OSError, ValueError. A device may have no end."""
    with path.open("rb") as file:
        return _decode(file.read(LARGEST_BYTES + 1))


def read_named(name: str) -> str:
    """The same; - is standard input. Raises Failure, which says what is wrong with it."""
    try:
        if name == "-":
            return _decode(sys.stdin.buffer.read(LARGEST_BYTES + 1))
        return read_small(Path(name))
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {name}: {why_not(error)}", code=Exit.USAGE) from None


def why_not(error: Exception) -> str:
    """In a few words why a file could not be read."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return getattr(error, "strerror", None) or str(error)


def _decode(raw: bytes) -> str:
    if len(raw) > LARGEST_BYTES:
        raise ValueError(f"it is larger than {LARGEST_BYTES >> 20} MiB")
    return raw.decode()
