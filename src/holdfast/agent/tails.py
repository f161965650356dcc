"""Follow a console log: what is new since the last look, whether it was rotated or cut short."""

import os
from pathlib import Path

FIRST_BYTES = 2_048  # Of a console that was already there when we came.


class Tail:
    """One file by name. A file that is not there (yet) is simply silent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._inode = 0
        self._at = 0
        self._is_first = True

    def read_new(self, limit_bytes: int) -> tuple[str, int]:
        """The newest text, and how many bytes before it were left out for its sake."""
        try:
            found = os.stat(self.path)
        except OSError:
            return self._take(limit_bytes)
        if self._fd is None or found.st_ino != self._inode:
            text, skipped = self._take(limit_bytes)  # The end of the one that was rotated away.
            self._open()
            more, more_skipped = self._take(limit_bytes - len(text.encode()))
            return text + more, skipped + more_skipped
        return self._take(limit_bytes)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> None:
        self.close()
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            found = os.fstat(self._fd)
        except OSError:
            return
        self._inode = found.st_ino
        self._at = max(0, found.st_size - FIRST_BYTES) if self._is_first else 0
        self._is_first = False

    def _take(self, limit_bytes: int) -> tuple[str, int]:
        if self._fd is None:
            return "", 0
        try:
            size = os.fstat(self._fd).st_size
            if size < self._at:  # It was emptied: all that is in it is new.
                self._at = 0
            start = max(self._at, size - max(limit_bytes, 0))
            raw = os.pread(self._fd, size - start, start) if size > start else b""
        except OSError:
            return "", 0
        skipped = start - self._at
        self._at = start + len(raw)
        return raw.decode(errors="replace"), skipped


def last_text(path: Path, limit_bytes: int) -> str:
    """The end of a file, of whole lines where it can be. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - limit_bytes))
        raw = file.read(limit_bytes)
    if size > limit_bytes and b"\n" in raw:
        raw = raw[raw.index(b"\n") + 1 :]
    return raw.decode(errors="replace")
