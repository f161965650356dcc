"""Programs that are started again when they die, and of which none is left behind."""

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from holdfast.ports.priority import come_first

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
CALM_S = 20.0
END_LIMIT_S = 10.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """So that even kill -9 of `up` leaves no program behind. One system call: safe after a fork."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _comes_first() -> None:
    """Before its first thread begins: each has a priority of its own. One system call more."""
    _die_with_parent()
    come_first()


@dataclass
class Child:
    """One program. It stays in our process group, so that a Ctrl-C reaches it as well.

    `comes_first`: it is not ours, so that it would not see to that itself.
    """

    name: str
    argv: Sequence[str]
    output: Callable[[], IO[bytes] | None] = lambda: None
    comes_first: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    wait_s: float = FIRST_WAIT_S
    start_again_at: float = 0.0
    deaths: int = 0

    def start(self) -> None:
        output = self.output()
        try:
            self.process = subprocess.Popen(
                self.argv,
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                preexec_fn=_comes_first if self.comes_first else _die_with_parent,  # noqa: PLW1509
            )
        finally:
            if output is not None:
                output.close()
        self.started_at = time.monotonic()


@dataclass
class Children:
    """`say` hears of each death and each new start."""

    say: Callable[[str], None]
    program: Sequence[str] = (sys.executable, "-m", "holdfast.faces.cli.main")
    end_limit_s: float = END_LIMIT_S
    children: list[Child] = field(default_factory=list)

    def start(self, name: str, *arguments: str) -> None:
        self.add(Child(name, [*self.program, *arguments]))

    def add(self, child: Child) -> None:
        self.children.append(child)
        self._start(child, time.monotonic())

    def look(self) -> None:
        """Start what died again, when its back-off is over. Call it often."""
        for child in self.children:
            self._look_at(child, time.monotonic())

    def _look_at(self, child: Child, now: float) -> None:
        if child.process is None:
            if now >= child.start_again_at:
                self._start(child, now)
            return
        code = child.process.poll()
        if code is None:
            return
        if now - child.started_at > CALM_S:
            child.wait_s = FIRST_WAIT_S
        child.process = None
        self.say(f"the {child.name} ended ({how_ended(code)}); starting it again")
        self._back_off(child, now)

    def _start(self, child: Child, now: float) -> None:
        """One that cannot be started (no memory for it, its file away) must not end the others."""
        try:
            child.start()
        except OSError as error:
            self.say(f"the {child.name} cannot be started ({error.strerror}); trying again")
            self._back_off(child, now)

    def _back_off(self, child: Child, now: float) -> None:
        child.deaths += 1
        child.start_again_at = now + child.wait_s
        child.wait_s = min(child.wait_s * 2, LONGEST_WAIT_S)

    def that_died(self, often: int) -> list[str]:
        """The names of those that died so often, or more."""
        return [child.name for child in self.children if child.deaths >= often]

    def stop(self) -> None:
        """End all in the order opposite to their start; what does not end in time is killed."""
        living = [child.process for child in reversed(self.children) if child.process]
        for process in living:
            process.terminate()
        self._wait(living)
        self.children.clear()

    def stop_one_by_one(self) -> None:
        """Likewise, each only after the one before has ended."""
        for child in reversed(self.children):
            if child.process is not None:
                child.process.terminate()
                self._wait([child.process])
        self.children.clear()

    def _wait(self, living: Sequence[subprocess.Popen[bytes]]) -> None:
        deadline = time.monotonic() + self.end_limit_s
        for process in living:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def how_ended(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
