"""A host's libvirtd is frozen: its sockets accept, and nothing is ever answered."""

import os
import signal
import time

from holdfast.lab.hosts import Host
from holdfast.lab.problem_makers.libvirtd_killed import LIBVIRTD_PID_FILE


def freeze_libvirtd(host: Host) -> int:
    """Stop libvirtd with SIGSTOP; returns the ns of the instant just before."""
    pid = host.read_pid(LIBVIRTD_PID_FILE)
    injected_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGSTOP)
    return injected_ns


def thaw_libvirtd(host: Host) -> None:
    """Let libvirtd run on."""
    os.kill(host.read_pid(LIBVIRTD_PID_FILE), signal.SIGCONT)
