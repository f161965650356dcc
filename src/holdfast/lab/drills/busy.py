"""Keeps every core of the machine busy with ordinary processes, for the length of a block."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.lab.drills.inbox import Spot


@contextmanager
def busy_cores(spot: Spot, is_busy: bool) -> Iterator[None]:
    """One endless loop for each core, run there; nothing where it shall be quiet."""
    hogs = [
        spot.popen(
            [sys.executable, "-I", "-S", "-c", "while True: pass"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(os.cpu_count() or 1 if is_busy else 0)
    ]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
        for hog in hogs:
            hog.wait()
