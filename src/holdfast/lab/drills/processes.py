"""Processes of a program and of its workers: found, weighed and ended by pid, never by name."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from holdfast.lab.namespaces import Holder, read_start_ticks

POLL_S = 0.01
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def list_children(pid: int) -> list[int]:
    """Children of every thread of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def list_tree(pid: int) -> list[Holder]:
    """The process and all that it started, itself first, without those that ended meanwhile."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop(0)
        ticks = read_start_ticks(one)
        if ticks is not None:
            found.append(Holder(one, ticks))
            waiting += list_children(one)
    return found


def read_cpu_s(tree: Iterable[Holder]) -> float:
    """Processor seconds that these have used, with their children that ended."""
    ticks = 0
    for holder in tree:
        with suppress(OSError):
            stat = Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, stat[11:15]))
    return ticks / TICKS_PER_S


def read_pss_mib(tree: Iterable[Holder]) -> float:
    """Memory of these in MiB: what is shared with other processes counts in part (PSS)."""
    total_kib = 0
    for holder in tree:
        with suppress(OSError):
            for line in Path(f"/proc/{holder.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total_kib += int(line.split()[1])
    return total_kib / 1024


def signal_holder(holder: Holder, number: signal.Signals) -> None:
    """Send a signal to this very process, if it still lives."""
    if holder.is_alive():
        with suppress(ProcessLookupError):
            os.kill(holder.pid, number)


def wait_until_ended(tree: Iterable[Holder], limit_s: float) -> list[Holder]:
    """Wait until all of these have ended; returns those that did not."""
    deadline = time.monotonic() + limit_s
    living = [holder for holder in tree if holder.is_alive()]
    while living and time.monotonic() < deadline:
        time.sleep(POLL_S)
        living = [holder for holder in living if holder.is_alive()]
    return living
