"""A VM's QEMU process is ended by a signal: KILL, SEGV and ABRT are crashes, TERM is a request."""

import os
import signal
import time

from holdfast.lab.guests import Guest


def kill_qemu(guest: Guest, number: signal.Signals = signal.SIGKILL) -> int:
    """Send the signal to the guest's QEMU; returns the ns of the instant just before."""
    pid = guest.qemu_pid()
    injected_ns = time.monotonic_ns()
    os.kill(pid, number)
    return injected_ns
