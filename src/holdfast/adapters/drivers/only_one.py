"""One program of a kind for each state directory and for each run directory, by file locks.

The kernel lets go of a lock with the process that holds it, however that ends.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from holdfast.adapters.drivers.private_folder import make_private_folder


class NotTheOnlyOne(Exception):
    """Another process holds the lock; the text names it."""


@contextlib.contextmanager
def only_one(name: str, *folders: Path) -> Iterator[None]:
    """Hold `NAME.lock` in every folder. Raises NotTheOnlyOne, OSError."""
    with contextlib.ExitStack() as held:
        for folder in folders:
            held.enter_context(_lock(folder / f"{name}.lock", name))
        yield


def is_held(name: str, folder: Path) -> bool:
    """Whether a process holds `NAME.lock` there. Raises OSError."""
    try:
        fd = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@contextlib.contextmanager
def _lock(path: Path, name: str) -> Iterator[None]:
    make_private_folder(path.parent)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise NotTheOnlyOne(
            f"another {name} runs with {path.parent}; end it first, or give this one its own"
            " state_dir and run_dir in the settings"
        ) from None
    try:
        yield
    finally:
        os.close(fd)
