"""A host's libvirtd dies; its VMs run on, and its sockets refuse."""

import os
import signal
import time

from holdfast.lab.hosts import Host
from holdfast.lab.namespaces import Holder, wait_until_dead

LIBVIRTD_PID_FILE = "/run/libvirtd.pid"


def kill_libvirtd(host: Host) -> int:
    """Kill libvirtd and wait for its end; returns the ns of the instant just before."""
    daemon = Holder.of_pid(host.read_pid(LIBVIRTD_PID_FILE))
    injected_ns = time.monotonic_ns()
    os.kill(daemon.pid, signal.SIGKILL)
    wait_until_dead([daemon])
    return injected_ns


def restart_libvirtd(host: Host) -> int:
    """Restart libvirtd as an upgrade does: TERM, then anew; returns the ns just before."""
    daemon = Holder.of_pid(host.read_pid(LIBVIRTD_PID_FILE))
    injected_ns = time.monotonic_ns()
    os.kill(daemon.pid, signal.SIGTERM)
    wait_until_dead([daemon])
    host.start_libvirtd()
    return injected_ns
