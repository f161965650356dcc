"""A process that holds namespaces is known by its pid and start time, never by its pid alone."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from holdfast.lab.commands import LabError

# Every process of a lab carries its lab's name in its environment, so leftovers can be found.
LAB_VARIABLE = "HOLDFAST_LAB"
HOST_VARIABLE = "HOLDFAST_LAB_HOST"
HOLDER_PROGRAM = Path(__file__).with_name("host_init.py")
END_LIMIT_S = 30.0


@dataclass(frozen=True)
class Holder:
    """The process that holds a set of namespaces; killing it ends all that lives in them."""

    pid: int
    start_ticks: int

    @classmethod
    def of_pid(cls, pid: int) -> "Holder":
        """Read the identity of a living process; raises LabError when it is gone."""
        ticks = read_start_ticks(pid)
        if ticks is None:
            raise LabError(f"process {pid} is gone")
        return cls(pid, ticks)

    @classmethod
    def load(cls, path: Path) -> "Holder | None":
        """Read a recorded holder; None where there is no whole record."""
        try:
            pid, ticks = path.read_text().split()
            return cls(int(pid), int(ticks))
        except (FileNotFoundError, ValueError):
            return None

    def save(self, path: Path) -> None:
        """Record the holder."""
        path.write_text(f"{self.pid} {self.start_ticks}\n")

    def is_alive(self) -> bool:
        """Tell whether this very process still runs (a zombie does not)."""
        return read_start_ticks(self.pid) == self.start_ticks

    def kill(self) -> None:
        """Kill it and wait until everything in its namespaces is dead."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
        wait_until_dead([self])


def read_start_ticks(pid: int) -> int | None:
    """Read when a process started, in clock ticks since boot; None when it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The first process of a PID namespace is a zombie only after all others in it are dead.
    return None if fields[0] in "ZX" else int(fields[19])


def wait_until_dead(holders: Sequence[Holder]) -> None:
    """Wait until all of these are dead; raises LabError after half a minute."""
    deadline = time.monotonic() + END_LIMIT_S
    while any(holder.is_alive() for holder in holders):
        if time.monotonic() > deadline:
            raise LabError(f"processes {[holder.pid for holder in holders]} do not die")
        time.sleep(0.005)


class HolderStart:
    """A holder on its way: known at once, ready a little later."""

    def __init__(self, lab: str, arguments: Sequence[str]) -> None:
        """Start the program that makes the namespaces and leaves their holder behind."""
        self._launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(HOLDER_PROGRAM), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LC_ALL": "C.UTF-8",
                "HOME": "/root",
                LAB_VARIABLE: lab,
                HOST_VARIABLE: arguments[1] if len(arguments) > 1 else "",
            },
        )

    def wait_holder(self) -> Holder:
        """Wait for the namespaces to exist; returns the process that holds them."""
        line = self._read_line(10.0)
        if not line.isdigit():
            _, errors = self._launcher.communicate()
            raise LabError(errors.decode(errors="replace").strip().rpartition("\n")[2])
        self._launcher.wait()
        return Holder.of_pid(int(line))

    def wait_ready(self) -> None:
        """Wait until the host says that it is ready; raises LabError with its reason if not."""
        line = self._read_line(90.0)
        self.close()
        if line != "ready":
            raise LabError(f"a lab host did not start: {line or 'it died'}")

    def close(self) -> None:
        """Let go of the holder's pipes."""
        for pipe in (self._launcher.stdout, self._launcher.stderr):
            if pipe is not None:
                pipe.close()
        self._launcher.wait()

    def _read_line(self, limit_s: float) -> str:
        pipe: IO[bytes] | None = self._launcher.stdout
        assert pipe is not None
        deadline = time.monotonic() + limit_s
        text = b""
        while not text.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([pipe], [], [], left)[0]:
                raise LabError(f"a lab host said nothing for {limit_s:g} s")
            letter = os.read(pipe.fileno(), 1)
            if not letter:
                break
            text += letter
        return text.decode(errors="replace").strip()


def enter_command(holder: Holder, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` inside all of the holder's namespaces.

    nsenter waits for the command outside; if nsenter is killed, the command dies with it.
    """
    namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
    # The holder's own root and folder: those of its mount namespace could be others (chroot).
    return [
        *("nsenter", "--target", str(holder.pid), *namespaces, "--root", "--wd", "--"),
        *("setpriv", "--pdeathsig", "KILL", "--", *argv),
    ]


def find_marked_processes(lab: str) -> list[Holder]:
    """Find every living process that carries this lab's mark, without ourselves."""
    mark = f"{LAB_VARIABLE}={lab}".encode()
    return [holder for holder, marks in _iterate_marked() if mark in marks]


def find_marked_labs() -> set[str]:
    """Name the labs that have a living process."""
    start = f"{LAB_VARIABLE}=".encode()
    return {
        word.removeprefix(start).decode()
        for _, marks in _iterate_marked()
        for word in marks
        if word.startswith(start)
    }


def _iterate_marked() -> list[tuple[Holder, list[bytes]]]:
    spared = _list_ancestors(os.getpid())
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        try:
            marks = (entry / "environ").read_bytes().split(b"\0")
            if any(word.startswith(LAB_VARIABLE.encode() + b"=") for word in marks):
                found.append((Holder.of_pid(int(entry.name)), marks))
        except (OSError, LabError):
            continue  # It ended while we looked.
    return found


def _list_ancestors(pid: int) -> set[int]:
    ancestors = set()
    while pid > 0 and pid not in ancestors:
        ancestors.add(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return ancestors
