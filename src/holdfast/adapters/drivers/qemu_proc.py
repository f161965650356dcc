"""QEMU as the kernel shows it in /proc: which process is which VM, and what its threads are.

A process is known by its pid and its start time, since pids are used again. Only the
standard library is needed, since workers use this too.
"""

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_VCPU = re.compile(r"CPU \d+/|ALL CPUs/")
_START_TICKS_FIELD = 19  # Field 22 of /proc/PID/stat, counted from the state after the name.


class QemuProcess(NamedTuple):
    """A process that runs the VM with this uuid."""

    vm: str
    name: str
    pid: int
    started_ticks: int


def read_bytes(path: str) -> bytes:
    """The first 64 KiB of a file of /proc; empty where it is gone. Cheaper than `open()`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""
    try:
        return os.read(fd, 65_536)
    except (ProcessLookupError, PermissionError):
        return b""
    finally:
        os.close(fd)


def read_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is no such process."""
    fields = read_bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[_START_TICKS_FIELD]) if len(fields) > _START_TICKS_FIELD else None


def read_state(pid: int) -> str:
    """The kernel's letter for what the process does (R, S, T ...); empty when it is gone."""
    fields = read_bytes(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return fields[0].decode() if fields else ""


def read_process(pid: int) -> QemuProcess | None:
    """Which VM a process runs; None for any other process, and for one that is gone."""
    return _parse(pid, read_bytes(f"/proc/{pid}/cmdline"))


def _parse(pid: int, cmdline: bytes) -> QemuProcess | None:
    if b"\0-uuid\0" not in cmdline:
        return None
    argv = cmdline.split(b"\0")
    program = os.path.basename(argv[0])
    if b"qemu" not in program and b"kvm" not in program:
        return None
    vm = _option(argv, b"-uuid").lower()
    ticks = read_ticks(pid)
    if not vm or ticks is None:
        return None
    return QemuProcess(vm=vm, name=_guest_name(argv) or vm, pid=pid, started_ticks=ticks)


def _option(argv: list[bytes], option: bytes) -> str:
    try:
        return argv[argv.index(option) + 1].decode(errors="replace")
    except (ValueError, IndexError):
        return ""


def _guest_name(argv: list[bytes]) -> str:
    """The name in `-name guest=NAME,debug-threads=on`; QEMU writes a comma in it as two."""
    value = _option(argv, b"-name").replace(",,", "\0")
    for part in value.split(","):
        key, has_key, text = part.partition("=")
        if not has_key or key == "guest":
            return (text if has_key else key).replace("\0", ",")
    return ""


def list_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def scan(pids: list[int] | None = None) -> Iterator[QemuProcess]:
    """Every QEMU process with a uuid among these pids, by default of the whole host."""
    for pid in list_pids() if pids is None else pids:
        process = read_process(pid)
        if process is not None and is_of_this_host(pid):
            yield process


def is_of_this_host(pid: int) -> bool:
    """Whether it lives in our PID namespace: what runs in a container is no VM of this host's
    libvirt, though it is seen here too."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == _own_namespace()
    except OSError:
        return False


@functools.cache
def _own_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")


def find_all(vm: str) -> list[int]:
    """The pids of all that runs a VM now, also of one whose first thread has ended already."""
    found = [process.pid for process in scan() if process.vm == vm]
    for pid in list_pids():
        if read_state(pid) == "Z" and pid not in found and _outlives_its_leader(pid, vm):
            found.append(pid)
    return found


def _outlives_its_leader(pid: int, vm: str) -> bool:
    for tid in list_threads(pid):
        if tid != pid:
            process = _parse(pid, read_bytes(f"/proc/{pid}/task/{tid}/cmdline"))
            if process is not None and process.vm == vm:
                return True
    return False


def list_threads(pid: int) -> list[int]:
    """Thread ids, oldest first; empty when the process is gone."""
    try:
        return sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return []


def read_thread_name(pid: int, tid: int) -> str:
    return read_bytes(f"/proc/{pid}/task/{tid}/comm").decode(errors="replace").strip()


def is_vcpu(thread: str) -> bool:
    return _VCPU.match(thread) is not None


def open_status(pid: int) -> int:
    """A file to ask `is_dumping_core` of, as often as wanted; -1 when the process is gone."""
    try:
        return os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return -1


def is_dumping_core(status: int) -> bool:
    """Whether the kernel writes this process's core at the moment (Linux 4.15)."""
    try:
        return b"\nCoreDumping:\t1" in os.pread(status, 4_096, 0)
    except OSError:
        return False  # It is gone.


def choose_permanent(threads: dict[int, str], leader: int, most: int) -> list[int]:
    """Which threads tell of the end of the process: such as live as long as it does.

    Several kinds, since which one the kernel ends first cannot be known. Where threads have no
    names (QEMU without debug-threads), the oldest are taken.
    """
    vcpus = [tid for tid, name in threads.items() if is_vcpu(name)]
    others = [tid for tid, name in threads.items() if _is_other_permanent(name)]
    if not vcpus:
        others += [tid for tid in threads if tid != leader and tid not in others][: most - 2]
    spread = vcpus[:1] + vcpus[-1:] + vcpus[len(vcpus) // 2 :] + vcpus
    chosen = dict.fromkeys([leader, *spread[:2], *others[:3], *spread, *others])
    return list(chosen)[:most]


def _is_other_permanent(name: str) -> bool:
    return name in ("call_rcu", "IO mon_iothread") or name.startswith("IO iothread")


def read_pid_file(path: Path) -> int | None:
    """The pid in a pid file; None where there is no whole number in it (yet)."""
    text = read_bytes(str(path)).strip()
    return int(text) if text.isdigit() else None
