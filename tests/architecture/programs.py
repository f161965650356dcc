"""Run a checker of the locked environment on a tree, the way a person at a shell does."""

import os
import subprocess
import sys
from pathlib import Path


def run_checker(
    *command: str, folder: Path, source: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment; `source` is the folder that Python imports from first."""
    environment = os.environ | ({"PYTHONPATH": str(folder / source)} if source else {})
    program = str(Path(sys.prefix) / "bin" / command[0])
    return subprocess.run(
        [program, *command[1:]],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
