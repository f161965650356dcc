"""What is left on this host of a VM that ended: processes, cgroup, locks on its disks, taps.

Looked at, never inferred: whoever was away when the VM ended can still look. Runs in a worker,
since a look at a disk can hang.
"""

import contextlib
import errno
import fcntl
import os
import re
import struct
from pathlib import Path

from holdfast.adapters.drivers import pidfds, qemu_proc

_OWN_CGROUP = re.compile(r".*?/(?:machine-qemu[^/]*\.scope|[^/]*\.libvirt-qemu|qemu-\d+-[^/]*)")
_CGROUP_MOUNTS = {"cgroup", "cgroup2"}
_MACHINES = ("machine.slice/machine-qemu*.scope", "machine/qemu-*.libvirt-qemu")
# It is gone; or it holds threads, of processes that its parent names.
_NO_PROCESSES = {errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP}
_NAME_KEPT = 40  # libvirt cuts the whole at 64, the VM's number and its own words included.
_FLOCK = struct.Struct("@hhqqi4x")
_QEMU_LOCKS_AT, _QEMU_LOCKS = 100, 200  # QEMU locks single bytes between 100 and 300.


class StillThere(Exception):
    """Something of the VM is still there; the text says what."""


def look(
    vm: str,
    name: str,
    pid: int,
    started_ticks: int,
    cgroup: str | None,
    disks: list[str] | None,
    taps: list[str] | None,
    is_copy: bool = False,
) -> list[str]:
    """What was looked at, in words; None is what nobody knows. Raises StillThere with the first
    thing found, or that could not be looked at. A pid of 0: the life is of an earlier boot. The
    disks of a copy are in use by the host that holds the VM."""
    return [
        _no_process(vm, pid, started_ticks),
        _no_cgroup_of(vm, name) if cgroup is None else _empty_cgroup(cgroup),
        *(["its disks are another host's by now"] if is_copy else _free_disks(disks)),
        _free_taps(taps),
    ]


def read_own_cgroup(pid: int) -> str | None:
    """The path of the cgroup that a VM has for itself, or empty where it shares one; None when
    the process is gone."""
    text = qemu_proc.read_bytes(f"/proc/{pid}/cgroup").decode(errors="replace")
    for line in text.splitlines():
        match = _OWN_CGROUP.match(line.partition(":")[2].partition(":")[2])
        if match:
            return match.group(0)
    return "" if text else None


def read_taps(pid: int) -> list[str] | None:
    """The network taps that a process has open; None when the process is gone."""
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return None
    found = []
    for fd in fds:
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{fd}") != "/dev/net/tun":
                continue
            info = qemu_proc.read_bytes(f"/proc/{pid}/fdinfo/{fd}").decode(errors="replace")
            found += re.findall(r"^iff:\s*(\S+)$", info, flags=re.MULTILINE)
    return sorted(set(found))


def _no_process(vm: str, pid: int, started_ticks: int) -> str:
    """Also a process without a command line any more: it may still hold the disks while its
    memory is freed."""
    if pid and qemu_proc.read_ticks(pid) == started_ticks and not _is_dead(pid):
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
    for root in _cgroup_roots():
        if _pids_in(root / cgroup.lstrip("/")):
            raise StillThere(f"its cgroup {cgroup} still holds a process")
    return "its cgroup is empty"


def _no_cgroup_of(vm: str, name: str) -> str:
    """Nobody saw where it ran: look where libvirt puts a VM of this name. A process there that
    runs another VM is of another VM: libvirt leaves letters of a name out."""
    wanted = _machine_name(name)
    for root in _cgroup_roots():
        for place in _MACHINES:
            for folder in root.glob(place):
                if _machine_in(folder.name) != wanted:
                    continue
                pids = _pids_in(folder)
                runs = {process.vm for process in qemu_proc.scan(pids)}
                if pids and (not runs or vm in runs):
                    raise StillThere(f"a cgroup of its name, {folder}, still holds a process")
    return "its cgroup is not known, and none of its name holds a process"


def _machine_name(name: str) -> str:
    """What libvirt makes of a VM's name for its cgroup: it is cut, and some letters go."""
    return re.sub(r"[^A-Za-z0-9.-]", "", name)[:_NAME_KEPT]


def _machine_in(folder: str) -> str:
    plain = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), folder)
    match = re.fullmatch(r"(?:machine-)?qemu-\d+-(.*)\.(?:scope|libvirt-qemu)", plain)
    return _machine_name(match[1]) if match else ""


def _cgroup_roots() -> list[Path]:
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [Path(place) for _, place, kind, *_ in mounts if kind in _CGROUP_MOUNTS]


def _pids_in(folder: Path) -> list[int]:
    """The processes in a cgroup and in all below it; those of a gone one are none."""
    found: list[int] = []
    for procs in (folder / "cgroup.procs", *folder.rglob("cgroup.procs")):
        try:
            found += [int(pid) for pid in procs.read_text().split()]
        except OSError as error:
            if error.errno not in _NO_PROCESSES:
                why = f"{procs}: {error.strerror}"
                raise StillThere(f"its cgroup could not be looked at: {why}") from None
    return found


def _free_disks(disks: list[str] | None) -> list[str]:
    """QEMU locks the images that it uses: a lock that is held means that somebody has it open."""
    if disks is None:
        return ["its disks are not known (libvirt does not know it any more)"]
    local = [disk for disk in disks if disk.startswith("/")]
    gone = [disk for disk in local if not _is_free(disk)]
    network = [disk for disk in disks if disk not in local]
    shown = []
    if len(gone) < len(local):
        shown.append(f"nobody uses its disks ({len(local) - len(gone)} looked at)")
    if gone:
        shown.append(f"disks that do not exist: {', '.join(gone)}")
    if network:
        shown.append(f"network disks, not looked at: {', '.join(network)}")
    return shown or ["it has no disks that it writes"]


def _is_free(disk: str) -> bool:
    """False when there is no such disk. What cannot be looked at is not free."""
    try:
        fd = os.open(disk, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StillThere(f"its disk could not be looked at: {disk}: {error.strerror}") from None
    try:
        if _is_locked(fd):
            raise StillThere(f"its disk {disk} is still in use")
    except OSError as error:
        raise StillThere(f"its disk could not be looked at: {disk}: {error.strerror}") from None
    finally:
        os.close(fd)
    return True


def _is_locked(fd: int) -> bool:
    ask = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _QEMU_LOCKS_AT, _QEMU_LOCKS, 0)
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, ask)
    kind: int = _FLOCK.unpack(answer)[0]
    return kind != fcntl.F_UNLCK


def _free_taps(taps: list[str] | None) -> str:
    """A tap that stays (somebody made it for the VM) has no carrier while nobody has it open."""
    if taps is None:
        return "its taps are not known (the agent did not see it run)"
    for tap in taps:
        folder = Path("/sys/class/net") / tap
        if not (folder / "tun_flags").exists():
            continue
        with contextlib.suppress(OSError):  # Its carrier cannot be read while it is down.
            if (folder / "carrier").read_text().strip() == "1":
                raise StillThere(f"its network tap {tap} is still open")
    return "its taps are free" if taps else "it had no taps"
