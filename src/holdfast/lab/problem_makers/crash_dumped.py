"""A VM's QEMU process crashes and first dumps its core: for that long its death is not complete."""

import signal
from pathlib import Path

from holdfast.lab.commands import LabError
from holdfast.lab.guests import Guest
from holdfast.lab.problem_makers.qemu_killed import kill_qemu

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


def dump_core(guest: Guest) -> int:
    """Crash the guest's QEMU with a core dump; returns the ns of the instant just before.

    The core lies in the host's own `/`, in memory, and goes with remove_cores() or the host.
    How long it takes grows with the guest's memory if the plan says `is_memory_dumped`.
    Raises LabError where this machine gives cores to a program (apport ...).
    """
    pattern = CORE_PATTERN.read_text().strip()
    if "/" in pattern or pattern.startswith("|"):
        raise LabError(f"this machine's core pattern is `{pattern}`: cores would leave the host")
    return kill_qemu(guest, signal.SIGSEGV, dumps_core=True)


def is_dumping(pid: int) -> bool:
    """Tell whether the process dumps its core at this moment."""
    try:
        return "CoreDumping:\t1" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def remove_cores(guest: Guest) -> int:
    """Remove the cores on the guest's host; returns how many bytes they held."""
    cores = list(guest.host.path("/").glob("core*"))
    size = sum(core.stat().st_size for core in cores)
    for core in cores:
        core.unlink()
    return size
