"""The controller's copy of each VM's flight recorder: it survives the loss of the host."""

import contextlib
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.ports.journal import Losses

FILE_BYTES = 256 << 10
FILES_KEPT = 2_000
KEEP_S = 30 * 86_400
_SAFE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,100}")


class Copies:
    """One bounded file of JSON lines per VM, readable by its owner only. Failures are counted.

    Of files there are `files_kept` at most: the same disk holds what must not be lost.
    Pieces overlap, since each holds the newest that fits: only what is new in one is added.
    """

    def __init__(self, folder: Path, files_kept: int = FILES_KEPT) -> None:
        self._folder, self._files_kept = folder, files_kept
        self._last: dict[str, str] = {}
        self._files = 0
        self._lock = threading.Lock()
        self._lost = Losses()
        with contextlib.suppress(OSError):
            make_private_folder(folder)
            self._tidy(files_kept)

    def path(self, vm: str) -> Path:
        return self._folder / f"{vm}.jsonl"

    def losses(self) -> Losses:
        return self._lost

    def newest(self, name: str, most: int) -> list[str]:
        """The newest lines, oldest first; none of what there is no copy of."""
        if not _SAFE_NAME.fullmatch(name):
            return []
        try:
            text = self.path(name).read_text(errors="replace")
        except OSError:
            return []
        return text.splitlines()[-most:]

    def add(self, pieces: Mapping[str, str]) -> None:
        """Blocks: call it in a thread."""
        with self._lock:
            for vm, piece in pieces.items():
                lines = piece.splitlines()
                if not lines:
                    continue
                try:
                    if not _SAFE_NAME.fullmatch(vm):
                        raise OSError(f"{vm!r} is no uuid of a VM")
                    self._append(vm, lines)
                except OSError as error:
                    reason = error.strerror or str(error)
                    self._lost = Losses(count=self._lost.count + 1, reason=reason)

    def _append(self, vm: str, lines: list[str]) -> None:
        path = self.path(vm)
        last = self._last.get(vm) or _last_line(path)
        new = lines[lines.index(last) + 1 :] if last in lines else lines
        if not new:
            return
        text = "\n".join(new) + "\n"
        if _size(path) + len(text) > FILE_BYTES:
            _keep_newest_half(path)
        is_new = not path.exists()
        if is_new and self._files >= self._files_kept:
            self._tidy(self._files_kept * 9 // 10)  # Not one by one: each time all are looked at.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        self._files += is_new
        try:
            os.write(fd, text.encode()[-FILE_BYTES:])
        finally:
            os.close(fd)
        self._last[vm] = new[-1]

    def _tidy(self, most: int) -> None:
        """Raises OSError."""
        files = sorted(
            self._folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True
        )
        self._files = len(files)
        for number, path in enumerate(files):
            if number >= most or time.time() - path.stat().st_mtime > KEEP_S:
                path.unlink(missing_ok=True)
                self._last.pop(path.stem, None)
                self._files -= 1


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _last_line(path: Path) -> str:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return ""
    return text.rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace")


def _keep_newest_half(path: Path) -> None:
    """Whole or not at all."""
    text = path.read_bytes()[-FILE_BYTES // 2 :]
    beside = path.with_suffix(".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.partition(b"\n")[2])
    finally:
        os.close(fd)
    beside.replace(path)
