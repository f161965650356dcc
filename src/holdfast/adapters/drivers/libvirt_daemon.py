"""Finds libvirt's daemon.

Its connection says only that it broke: whether somebody stopped the daemon or it died, and what it
does while it is silent, the kernel says of its process.
"""

from pathlib import Path

from holdfast.adapters.drivers.one_process import Daemon
from holdfast.adapters.drivers.qemu_proc import read_pid_file, read_thread_name

RUN = Path("/run")
NAMES = ("libvirtd", "virtqemud")
LOCAL_URI = "qemu:///system"  # Another one may lead to a daemon that writes its pid elsewhere.


def find_daemon(uri: str, run: Path = RUN) -> Daemon | None:
    """The daemon that answers at this address; None where that cannot be told for sure."""
    if uri != LOCAL_URI:
        return None
    found = [pid for name in NAMES if (pid := _pid_of(name, run)) is not None]
    if len(found) != 1:
        return None
    try:
        return Daemon(found[0])
    except OSError:
        return None


def _pid_of(name: str, run: Path) -> int | None:
    """A pid file outlives a daemon that was killed: the process must have the name."""
    pid = read_pid_file(run / f"{name}.pid")
    return pid if pid and read_thread_name(pid, pid) == name else None
