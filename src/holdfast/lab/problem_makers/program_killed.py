"""One of Holdfast's own processes is killed, asked to end, or stopped for a while."""

import os
import signal
import time

from holdfast.lab.namespaces import Holder


def kill_program(holder: Holder) -> int:
    """Kill it without a word; returns the ns of the instant just before."""
    return _signal(holder, signal.SIGKILL)


def ask_to_end(holder: Holder) -> int:
    """Ask it to end, as a restart or an upgrade does; returns the ns just before."""
    return _signal(holder, signal.SIGTERM)


def stop_program(holder: Holder) -> int:
    """Let it not run; returns the ns of the instant just before."""
    return _signal(holder, signal.SIGSTOP)


def continue_program(holder: Holder) -> int:
    """Let it run on; returns the ns of the instant just before."""
    return _signal(holder, signal.SIGCONT)


def _signal(holder: Holder, number: signal.Signals) -> int:
    at_ns = time.monotonic_ns()
    if holder.is_alive():
        os.kill(holder.pid, number)
    return at_ns
