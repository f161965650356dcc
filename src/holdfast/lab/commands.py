"""A command of the lab either succeeds in time, or fails with words that say what to do."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class LabError(Exception):
    """The lab could not do what it was asked; the text is for a person."""


class NoLab(LabError):
    """There is no lab of this name."""


class NoHost(LabError):
    """The lab has no host of this name."""


DEFAULT_LAB = "lab"


def lab_command(verb: str, lab: str, rest: str = "") -> str:
    """What a person types about this lab, and no other one."""
    named = "" if lab == DEFAULT_LAB else f" --name {lab}"
    return f"holdfast lab {verb}{named}{f' {rest}' if rest else ''}"


# A login that is not root's may lack these in its PATH.
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def system_environment() -> dict[str, str]:
    """Our own environment, with the system's programs in reach."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_FOLDERS}"}


def run_command(
    argv: Sequence[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin_text: str | None = None,
) -> str:
    """Run a command to its end and return its standard output.

    Raises LabError with the command's own words when it is missing, fails or overruns.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin_text,
            stdin=subprocess.DEVNULL if stdin_text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            cwd=cwd,
            env=system_environment() if env is None else env,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"`{argv[0]}` is not on this machine: install what Holdfast needs first (`make test`)"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{' '.join(argv)}` did not end within {timeout_s:g} s") from error
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise LabError(f"`{' '.join(argv)}` failed ({done.returncode}): {words}")
    return done.stdout


def leave_running(argv: Sequence[str], log: Path, env: Mapping[str, str]) -> int:
    """Start a program that outlives us, in a session of its own; returns its pid.

    It says what it says into `log`. Nobody here waits for it: it is a child of the machine's first
    process. Raises LabError.
    """
    # In the background of a shell nobody leads a group, so setsid makes no process of its own.
    script = 'log=$1; shift; setsid "$@" >"$log" 2>&1 </dev/null & echo $!'
    command = ["sh", "-c", script, "sh", str(log), *argv]
    return int(run_command(command, timeout_s=10, cwd=Path("/"), env=env))
