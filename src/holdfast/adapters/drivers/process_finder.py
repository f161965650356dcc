"""Finds a guarded process: by its unit, its pid file, its control group, or its program."""

import contextlib
import glob
import os
import time
from pathlib import Path
from typing import NamedTuple

from holdfast.adapters.drivers.qemu_proc import list_pids, read_bytes, read_pid_file, read_ticks
from holdfast.adapters.drivers.systemd_units import ask_units, word_of
from holdfast.facts.guards import ProcessGuard

CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = ("", "unified")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
CLOCK_SLACK_S = 2.0  # The wall clock may be slewed meanwhile; numbers are not used again so soon.


class Found(NamedTuple):
    """`pid` is 0 where it does not run: then `word` and `reason` say why, as far as is known."""

    pid: int = 0
    word: str = ""
    reason: str = ""


async def find_process(guard: ProcessGuard, mark: Path, cgroups: Path = CGROUPS) -> Found:
    """`mark` is there while somebody stopped it on purpose."""
    units = await ask_units(guard.units)
    if units:
        running = next((unit for unit in units if unit.pid), None)
        return Found(running.pid) if running else Found(0, *word_of(units[0]))
    pid = _by_pid_file(guard) or _by_cgroup(guard, cgroups) or _by_program(guard)
    if pid:
        return Found(pid)
    if mark.exists():
        return Found(0, "on purpose", f"{mark} says that somebody stopped it")
    if guard.units and units is None and not _has_other_way(guard):
        return Found(0, "", "systemd does not say")
    return Found(0, "absent", "there is no such process")


def _has_other_way(guard: ProcessGuard) -> bool:
    return bool(guard.pid_file or guard.cgroup or guard.program)


def _by_pid_file(guard: ProcessGuard) -> int:
    pid = read_living_pid(Path(guard.pid_file)) if guard.pid_file else 0
    if not pid:
        return 0
    argv = _argv(pid)
    return pid if argv and (not guard.program or _is_of(guard, argv)) else 0


def read_living_pid(path: Path) -> int:
    """The process that wrote this pid file, or for which it was written; 0 where it lives no more.
    A process that began later has only got its number since."""
    pid = read_pid_file(path)
    ticks = read_ticks(pid) if pid else None
    if not pid or ticks is None:
        return 0
    with contextlib.suppress(FileNotFoundError):
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / TICKS_A_SECOND
        if time.time() - age_s <= path.stat().st_mtime + CLOCK_SLACK_S:
            return pid
    return 0


def _by_cgroup(guard: ProcessGuard, cgroups: Path) -> int:
    """The first process of the group: that of a container's own first process."""
    if not guard.cgroup:
        return 0
    for root in UNIFIED:
        for group in sorted(glob.glob(str(cgroups / root / guard.cgroup))):
            pids = [int(one) for one in read_bytes(f"{group}/cgroup.procs").split()]
            fit = [pid for pid in sorted(pids) if not guard.program or _is_of(guard, _argv(pid))]
            if fit:
                return fit[0]
    return 0


def _by_program(guard: ProcessGuard) -> int:
    if not guard.program or guard.cgroup or guard.pid_file:
        return 0
    own = os.getpid()
    fit = (pid for pid in sorted(list_pids()) if pid != own and _is_of(guard, _argv(pid)))
    return next(fit, 0)


def _argv(pid: int) -> list[str]:
    """Empty for one that is gone, or has ended and is not reaped."""
    text = read_bytes(f"/proc/{pid}/cmdline").decode(errors="replace").rstrip("\0")
    return text.split("\0") if text else []


def _is_of(guard: ProcessGuard, argv: list[str]) -> bool:
    """The program itself, or a script that its interpreter runs."""
    wanted, is_path = guard.program, "/" in guard.program
    named = [word if is_path else os.path.basename(word) for word in argv[:2] if word]
    return wanted in named and all(word in argv for word in guard.args)
