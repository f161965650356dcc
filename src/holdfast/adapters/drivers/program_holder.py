"""Holds one foreign program: when it has ended, or ran too long, nothing that it began lives on.

A program of its own, with nothing but the standard library. What the program leaves behind becomes
a child of this one (that is what a subreaper is), also where it made itself a new session. It ends
with its parent, too.

    program_holder.py PARENT OUT LIMIT_S GRACE_S PROGRAM ARGS

The program reads our standard input, writes to the file OUT and to our standard error. To our
standard output goes one line when all is over: `code N`, or `overran`.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_WATCHED = {signal.SIGCHLD, signal.SIGTERM}
_CANNOT_START = 126  # As a shell says it.
_LOOK_AGAIN_S = 0.005

_libc = ctypes.CDLL(None)


def main() -> None:
    parent, out = int(sys.argv[1]), int(sys.argv[2])
    limit_s, grace_s = float(sys.argv[3]), float(sys.argv[4])
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        return
    program = start(sys.argv[5:], out)
    status = wait_end(program, time.monotonic() + limit_s)
    if status is None:
        # Those who want to leave in order may: they can close a session on the device.
        os.killpg(program, signal.SIGTERM)
        wait_end(program, time.monotonic() + grace_s)
    end_all()
    print("overran" if status is None else f"code {os.waitstatus_to_exitcode(status)}", flush=True)


def start(command: list[str], out: int) -> int:
    """Start the program at the head of a session of its own."""
    holder = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != holder:
            os._exit(_CANNOT_START)
        os.setsid()
        _weigh_session()
        os.dup2(out, 1)
        os.closerange(3, 1024)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"it cannot be started: {error.strerror}\n".encode())
    finally:
        os._exit(_CANNOT_START)


def _weigh_session() -> None:
    """A new session has no more weight than any guest: give it that of its first program, which is
    ours (holdfast.ports.priority has the whole story, and can not be loaded here)."""
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as file:
        file.write(str(os.getpriority(os.PRIO_PROCESS, 0)))


def wait_end(program: int, deadline: float) -> int | None:
    """Its wait status; None when the time is over, or somebody wants an end."""
    while True:
        seen = signal.sigtimedwait(_WATCHED, max(0.0, deadline - time.monotonic()))
        for pid, status in buried():
            if pid == program:
                return status
        if seen is None or seen.si_signo == signal.SIGTERM:
            return None


def buried() -> Iterator[tuple[int, int]]:
    """Every child that has ended by now, with its wait status."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, status


def end_all() -> None:
    """Kill children until there are none: those of a child that ended become our own."""
    while True:
        for _ in buried():
            pass
        left = list(children())
        if not left:
            return
        for pid in left:
            # Nobody but us buries it: the number is still its own. It may have another's rights.
            with contextlib.suppress(PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_S)


def children() -> Iterator[int]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue  # It ended while we looked.
        if int(fields[1]) == os.getpid():
            yield int(name)


if __name__ == "__main__":
    main()
