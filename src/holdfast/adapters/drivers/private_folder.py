"""Folders of ours are their owner's alone, and so is each parent that had to be made for them."""

import os
from pathlib import Path

MODE = 0o700


def make_private_folder(folder: Path) -> None:
    """Nothing changes where it is there already. Raises OSError."""
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            path.mkdir(mode=MODE, exist_ok=True)  # Somebody else may make it meanwhile.


def sync_folder(folder: Path) -> None:
    """Bring to the disk which files are in it: a power cut undoes no rename. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
