"""A VM's QEMU process is frozen: its vCPUs do not run, and its monitor does not answer."""

import os
import signal
import time

from holdfast.lab.guests import Guest


def stop_qemu(guest: Guest) -> int:
    """Freeze the guest's QEMU; returns the ns of the instant just before."""
    pid = guest.qemu_pid()
    injected_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGSTOP)
    return injected_ns


def continue_qemu(guest: Guest) -> None:
    """Let the guest's QEMU run on."""
    os.kill(guest.qemu_pid(), signal.SIGCONT)
