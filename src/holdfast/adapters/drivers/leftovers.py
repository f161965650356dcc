"""What is left on this host of a VM that ended: processes, cgroup, locks on its disks, taps.

Looked at, never inferred: whoever was away when the VM ended can still look. Runs in a worker,
since a look at a disk can hang.
"""

import contextlib
import fcntl
import os
import re
import struct
from pathlib import Path

from holdfast.adapters.drivers import pidfds, qemu_proc

_OWN_CGROUP = re.compile(r".*?/(?:machine-qemu[^/]*\.scope|[^/]*\.libvirt-qemu|qemu-\d+-[^/]*)")
_CGROUP_MOUNTS = {"cgroup", "cgroup2"}
_FLOCK = struct.Struct("@hhqqi4x")
_QEMU_LOCKS_AT, _QEMU_LOCKS = 100, 200  # QEMU locks single bytes between 100 and 300.


class StillThere(Exception):
    """Something of the VM is still there; the text says what."""


def look(
    vm: str, pid: int, started_ticks: int, cgroup: str, disks: list[str], taps: list[str]
) -> list[str]:
    """What was looked at, in words. Raises StillThere with the first thing found."""
    return [
        _no_process(vm, pid, started_ticks),
        _empty_cgroup(cgroup),
        _free_disks(disks),
        _free_taps(taps),
    ]


def read_own_cgroup(pid: int) -> str:
    """The path of the cgroup that a VM has for itself, or empty where it shares one."""
    text = qemu_proc.read_bytes(f"/proc/{pid}/cgroup").decode(errors="replace")
    for line in text.splitlines():
        match = _OWN_CGROUP.match(line.partition(":")[2].partition(":")[2])
        if match:
            return match.group(0)
    return ""


def read_taps(pid: int) -> list[str]:
    """The network taps that a process has open."""
    found = []
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{fd}") != "/dev/net/tun":
                    continue
                info = qemu_proc.read_bytes(f"/proc/{pid}/fdinfo/{fd}").decode(errors="replace")
                found += re.findall(r"^iff:\s*(\S+)$", info, flags=re.MULTILINE)
    return sorted(set(found))


def _no_process(vm: str, pid: int, started_ticks: int) -> str:
    """Also a process without a command line any more: it may still hold the disks while its
    memory is freed."""
    if qemu_proc.read_ticks(pid) == started_ticks and not _is_dead(pid):
        raise StillThere(f"its process {pid} is not gone yet")
    others = qemu_proc.find_all(vm)
    others = [other for other in others if not _is_dead(other)]
    if others:
        raise StillThere(f"process {others[0]} runs it")
    return "no process with its uuid"


def _is_dead(pid: int) -> bool:
    """Whether all its threads have ended, though nobody may have reaped it."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return pidfds.has_ended(fd)
    finally:
        os.close(fd)


def _empty_cgroup(cgroup: str) -> str:
    if not cgroup:
        return "it had no cgroup of its own"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        folder = Path(place) / cgroup.lstrip("/")
        if kind in _CGROUP_MOUNTS and folder.is_dir() and _is_populated(folder):
            raise StillThere(f"its cgroup {cgroup} still holds a process")
    return "its cgroup is empty"


def _is_populated(folder: Path) -> bool:
    """Version 2 says so itself, for all below; in version 1 each folder below is looked at."""
    with contextlib.suppress(OSError):
        return "populated 1" in (folder / "cgroup.events").read_text()
    for procs in (folder / "cgroup.procs", *folder.rglob("cgroup.procs")):
        with contextlib.suppress(FileNotFoundError):
            if procs.read_text().strip():
                return True
    return False


def _free_disks(disks: list[str]) -> str:
    """QEMU locks the images that it uses: a lock that is held means that somebody has it open."""
    looked = 0
    for disk in disks:
        try:
            fd = os.open(disk, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue  # It is of another host, or gone: libvirt will say so at the start.
        try:
            if _is_locked(fd):
                raise StillThere(f"its disk {disk} is still in use")
            looked += 1
        finally:
            os.close(fd)
    return f"nobody uses its disks ({looked} looked at)" if looked else "it has no local disks"


def _is_locked(fd: int) -> bool:
    ask = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _QEMU_LOCKS_AT, _QEMU_LOCKS, 0)
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, ask)
    kind: int = _FLOCK.unpack(answer)[0]
    return kind != fcntl.F_UNLCK


def _free_taps(taps: list[str]) -> str:
    """A tap that stays (somebody made it for the VM) has no carrier while nobody has it open."""
    for tap in taps:
        folder = Path("/sys/class/net") / tap
        if not (folder / "tun_flags").exists():
            continue
        with contextlib.suppress(OSError):  # Its carrier cannot be read while it is down.
            if (folder / "carrier").read_text().strip() == "1":
                raise StillThere(f"its network tap {tap} is still open")
    return "its taps are free" if taps else "it had no taps that we know of"
