"""A disk of one megabyte, in a mount namespace of its own, to fill up without harm."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_AS_ROOT = [] if os.geteuid() == 0 else ["--map-root-user"]


def _can_mount() -> bool:
    try:
        command = ["unshare", *_AS_ROOT, "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except OSError:
        return False


needs_small_disk = pytest.mark.skipif(not _can_mount(), reason="no mount namespace can be made")


def run_on_small_disk(program: str, folder: Path) -> str:
    """What a Python program printed that finds, in argv[1], an empty disk of one megabyte."""
    script = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", *_AS_ROOT, "--mount", "sh", "-c", script, "sh"]
    answer = subprocess.run(
        [*command, str(folder), sys.executable, program], capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()
