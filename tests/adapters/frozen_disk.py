"""A disk of its own for one process, that stalls when told: every write to it hangs."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SIZE_BYTES = 256 << 20  # etcd lays out 64 MiB at once for its log.
TOOLS = ("mkfs.ext4", "fsfreeze", "mount", "umount")

needs_frozen_disk = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
    reason="a disk that stalls needs root, mkfs.ext4 and fsfreeze",
)


class FrozenDisk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_stalled = False

    def stall(self) -> None:
        _run("fsfreeze", "--freeze", str(self.path))
        self._is_stalled = True

    def go_on(self) -> None:
        if self._is_stalled:
            _run("fsfreeze", "--unfreeze", str(self.path))
            self._is_stalled = False


@contextlib.contextmanager
def frozen_disk(folder: Path) -> Iterator[FrozenDisk]:
    """Mounted below the folder until the block ends; whoever uses it must have ended by then."""
    image, path = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    _run("mkfs.ext4", "-q", str(image))
    path.mkdir()
    _run("mount", "-o", "loop", str(image), str(path))
    disk = FrozenDisk(path)
    try:
        yield disk
    finally:
        disk.go_on()
        _unmount(path)


def _unmount(path: Path) -> None:
    """Whoever was killed while its disk stalled takes a moment to be gone."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return _run("umount", str(path))
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                _run("umount", "--lazy", str(path))
                raise
            time.sleep(0.1)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=30)
