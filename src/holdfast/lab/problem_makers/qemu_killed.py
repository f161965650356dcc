"""A VM's QEMU process is ended by a signal: KILL, SEGV and ABRT are crashes, TERM is a request."""

import os
import resource
import signal
import time

from holdfast.lab.guests import Guest


def kill_qemu(
    guest: Guest, number: signal.Signals = signal.SIGKILL, *, dumps_core: bool = False
) -> int:
    """Send the signal to the guest's QEMU; returns the ns of the instant just before."""
    pid = guest.qemu_pid()
    _, most_bytes = resource.prlimit(pid, resource.RLIMIT_CORE)
    resource.prlimit(pid, resource.RLIMIT_CORE, (most_bytes if dumps_core else 0, most_bytes))
    injected_ns = time.monotonic_ns()
    os.kill(pid, number)
    return injected_ns


def kill_vm(pid: int) -> int:
    """Kill the VM whose QEMU has this pid; returns the ns of the instant just before."""
    injected_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    return injected_ns
