"""What a program of ours has before the guests that it watches: processor time, and open files."""

import contextlib
import os
import resource
from pathlib import Path

AHEAD = -10  # Nice value: before guests and ordinary work, behind what is real-time.
_AUTOGROUP = Path("/proc/self/autogroup")


def come_first() -> None:
    """Let this program run before the guests it watches, where that is permitted. Threads and
    processes made later inherit it."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, AHEAD)
    lead_session()


def lead_session() -> None:
    """Where this program leads a session, let all of that come first.

    Kernels with autogroup weigh sessions against each other, and niceness counts only within one
    (sched(7)). Each QEMU leads a session of its own: all of our programs on a host together would
    have the weight of one VM. Nobody else's session is touched: in a terminal it is the shell's.
    """
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # Not every kernel has it.
            _AUTOGROUP.write_text(str(AHEAD))


def fall_back(pid: int) -> None:
    """Somebody else's program, run by us, has no claim to that."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, 0)


def open_many_files() -> None:
    """A thousand links are more files than a program may usually open: take what is permitted."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
