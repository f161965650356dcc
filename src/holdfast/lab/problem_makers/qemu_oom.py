"""The kernel's out-of-memory killer ends a VM's QEMU process, inside a memory cgroup of its own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.lab.commands import LabError
from holdfast.lab.guests import Guest

CGROUPS = Path("/sys/fs/cgroup")
LIMIT_BYTES = 8 * 1024 * 1024
# The guest writes this much into its memory, which its QEMU process has not touched before.
FILL_MIB = 48
END_LIMIT_S = 10.0


@contextmanager
def small_memory_cgroup(guest: Guest) -> Iterator[None]:
    """Hold the guest's QEMU in a memory cgroup that allows a few more MB, until the block ends.

    Memory touched before stays accounted to the old cgroup, so nothing happens until the guest
    touches more. Raises LabError where this machine lets us make no memory cgroup.
    """
    group = _memory_root() / f"holdfast-lab-{guest.host.lab}-{guest.host.name}-{guest.name}"
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text(str(guest.qemu_pid()))
        _limit(group)
    except OSError as error:
        raise LabError(f"no memory cgroup can be made here: {error}") from error
    try:
        yield
    finally:
        _remove(group)


def fill_memory(guest: Guest) -> int:
    """Make the guest touch more memory than it is allowed; returns the ns just before."""
    return guest.begin(["/bin/dd", "if=/dev/zero", "of=/tmp/fill", "bs=1M", f"count={FILL_MIB}"])


def _memory_root() -> Path:
    for root in (CGROUPS / "memory", CGROUPS):
        if (root / "memory.limit_in_bytes").exists():
            return root
    if "memory" in (CGROUPS / "cgroup.subtree_control").read_text().split():
        return CGROUPS
    raise LabError("this machine has no memory cgroups")


def _limit(group: Path) -> None:
    old = group / "memory.limit_in_bytes"
    if old.exists():
        old.write_text(str(LIMIT_BYTES))
        (group / "memory.swappiness").write_text("0")
        return
    (group / "memory.max").write_text(str(LIMIT_BYTES))
    swap = group / "memory.swap.max"
    if swap.exists():
        swap.write_text("0")


def _remove(group: Path) -> None:
    """Remove the cgroup as soon as it is empty; a survivor is moved back first."""
    deadline = time.monotonic() + END_LIMIT_S
    while True:
        for pid in (group / "cgroup.procs").read_text().split():
            try:
                (group.parent / "cgroup.procs").write_text(pid)
            except ProcessLookupError:
                continue  # It died meanwhile, which is as good.
        try:
            group.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
