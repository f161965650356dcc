"""Bundles of last words as folders: FOLDER/VM/INCIDENT/, readable by their owner only.

A bundle is whole once its bundle.json is there: that is written last. Kept are the first and the
latest of each VM, within a total size; memory dumps go before bundles do.
"""

import errno
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from holdfast.adapters.drivers.private_folder import make_private_folder
from holdfast.facts.last_words import Bundle

INDEX = "bundle.json"
DUMP = ".dump"
LATEST_KEPT = 5
TOTAL_BYTES = 4 << 30
CUT_SHORT = "cut short: the agent ended while it took these last words"
_decoder = msgspec.json.Decoder(Bundle)


class _Closed(Struct, frozen=True, kw_only=True):
    """What retention needs to know of a bundle, so that it reads no index twice."""

    captured_utc_ms: int
    size_bytes: int
    dump_bytes: int


class LocalDisk:
    """See ports.archive.Archive. Raises OSError when a folder cannot be made at all.

    On a disk that is full, close_bundle gives up the largest files first, and names them in
    `missing`. `damaged` counts the bundles whose index could not be read.
    """

    def __init__(
        self, folder: Path, total_bytes: int = TOTAL_BYTES, *, latest_kept: int = LATEST_KEPT
    ) -> None:
        self._folder = folder
        self._latest_kept = latest_kept
        self._total_bytes = total_bytes
        self.damaged = 0
        self._closed: dict[Path, _Closed] = {}
        self._closing = threading.Lock()
        make_private_folder(folder)
        for parent in [path for path in folder.iterdir() if path.is_dir()]:
            for path, bundle in self._bundles_in(parent):
                self._closed[path] = _summary(bundle)
        self._finish_half_written()

    def open_bundle(self, vm: str, incident: str) -> Path:
        parent = self._folder / _safe(vm)
        parent.mkdir(mode=0o700, exist_ok=True)
        for number in range(1, 10_000):
            path = parent / (_safe(incident) + (f"-{number}" if number > 1 else ""))
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            return path
        raise FileExistsError(errno.EEXIST, f"{parent} has 9999 bundles of {incident}")

    def close_bundle(self, folder: Path, bundle: Bundle) -> str:
        """A bundle may be closed again, when more has come into its folder."""
        written = _write_at_any_price(folder, bundle)
        with self._closing:
            self._closed[folder] = _summary(written)
            self._keep_first_and_latest(folder.parent)
            self._keep_within_size(folder)
        return folder.name

    def bundles(self, vm: str) -> list[tuple[Path, Bundle]]:
        self.damaged = 0
        return self._bundles_in(self._folder / _safe(vm))

    def _bundles_in(self, parent: Path) -> list[tuple[Path, Bundle]]:
        found = []
        for path in parent.glob(f"*/{INDEX}"):
            try:
                found.append((path.parent, _decoder.decode(path.read_bytes())))
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
                self.damaged += 1
        return sorted(found, key=lambda pair: (pair[1].captured_utc_ms, pair[0].name), reverse=True)

    def _keep_first_and_latest(self, parent: Path) -> None:
        for path in self._of_vm(parent)[1 : -self._latest_kept]:
            self._remove(path)

    def _keep_within_size(self, newest: Path) -> None:
        """Free what must be freed, cheapest first: dumps, middling bundles, then firsts and latest
        ones; of the newest bundle only its dump."""
        if self._fits():
            return
        edges = {of_vm[i] for of_vm in map(self._of_vm, self._parents()) for i in (0, -1)}
        ranked = sorted(
            self._closed, key=lambda p: (p == newest, p in edges, self._closed[p].captured_utc_ms)
        )
        for path in ranked:
            if not self._fits() and self._closed[path].dump_bytes:
                self._drop_dumps(path)
        for path in ranked[:-1]:
            if not self._fits():
                self._remove(path)

    def _of_vm(self, parent: Path) -> list[Path]:
        """Oldest first."""
        found = [path for path in self._closed if path.parent == parent]
        return sorted(found, key=lambda path: self._closed[path].captured_utc_ms)

    def _parents(self) -> set[Path]:
        return {path.parent for path in self._closed}

    def _fits(self) -> bool:
        return sum(one.size_bytes for one in self._closed.values()) <= self._total_bytes

    def _remove(self, folder: Path) -> None:
        self._closed.pop(folder, None)
        _remove(folder)

    def _drop_dumps(self, folder: Path) -> None:
        bundle = _decoder.decode((folder / INDEX).read_bytes())
        for name in [name for name in bundle.files if name.endswith(DUMP)]:
            (folder / name).unlink(missing_ok=True)
            reason = f"removed to keep all last words within {self._total_bytes >> 20} MiB"
            bundle = structs.replace(bundle, missing={**bundle.missing, name: reason})
        self._closed[folder] = _summary(_write_index(folder, bundle))

    def _finish_half_written(self) -> None:
        for folder in _folders(self._folder):
            if (folder / INDEX).exists():
                continue
            names = [path.name for path in folder.iterdir() if path.suffix != ".new"]
            if not names:
                _remove(folder)
                continue
            utc_ms = int(folder.stat().st_mtime * 1_000)
            bundle = Bundle(
                incident=folder.name,
                vm=folder.parent.name,
                name=folder.parent.name,
                host="",
                boot="",
                title=CUT_SHORT,
                cause="",
                captured_utc_ms=utc_ms,
                took_ms=0,
                fault_utc_ms=utc_ms,
                files={},
                missing={"the rest": CUT_SHORT},
            )
            self.close_bundle(folder, bundle)


def _summary(bundle: Bundle) -> _Closed:
    dumps = sum(size for name, size in bundle.files.items() if name.endswith(DUMP))
    return _Closed(
        captured_utc_ms=bundle.captured_utc_ms,
        size_bytes=sum(bundle.files.values()),
        dump_bytes=dumps,
    )


def _folders(root: Path) -> Iterator[Path]:
    for parent in sorted(root.iterdir()):
        if parent.is_dir():
            yield from (path for path in sorted(parent.iterdir()) if path.is_dir())


def _write_index(folder: Path, bundle: Bundle) -> Bundle:
    """All of it or none. What is listed is what is there: that is returned."""
    files = {
        path.name: path.stat().st_size
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(INDEX)
    }
    for name in files:
        (folder / name).chmod(0o600)
    bundle = structs.replace(bundle, files=files)
    raw = msgspec.json.format(msgspec.json.encode(bundle))
    new = folder / f"{INDEX}.new"
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(fd)
        new.replace(folder / INDEX)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    return bundle


def _write_at_any_price(folder: Path, bundle: Bundle) -> Bundle:
    """On a full disk, files make room for the index that names them."""
    while True:
        try:
            return _write_index(folder, bundle)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            bundle = _give_up_largest(folder, bundle, error)


def _give_up_largest(folder: Path, bundle: Bundle, error: OSError) -> Bundle:
    """Raises the error when there is nothing left to give up."""
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(INDEX)]
    if not files:
        raise error
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.unlink()
    missing = {**bundle.missing, largest.name: "given up: the disk is full"}
    return structs.replace(bundle, missing=missing)


def _remove(folder: Path) -> None:
    """The index first: a removal that is cut short leaves no bundle that looks whole."""
    (folder / INDEX).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def _safe(name: str) -> str:
    """A name that is one folder, below the one it is put in."""
    return re.sub(r"[^\w.-]|^\.+", "_", name)[:120] or "_"


PLUGIN = LocalDisk
