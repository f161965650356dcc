"""The local proof: no process with this uuid, its cgroup empty, its disks and taps free, this boot.

Looked at, never inferred: whoever is away when a VM ends can still make it.
"""

import os
import time
from pathlib import Path

from holdfast.adapters.drivers import qemu_proc
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof
from holdfast.ports.hypervisor import CallFailed, Domain

CGROUP_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
OWN_CGROUP_MARKS = ("machine-qemu", "qemu-", ".libvirt-qemu")


def prove(life: Incarnation, boot: str, domain: Domain | None, cgroup: str) -> LocalProof:
    """Raises CallFailed with the first thing of the VM that is still there."""
    pids = qemu_proc.find_all(life.vm)
    if pids:
        raise CallFailed(f"process {pids[0]} still runs it")
    shown = ["no process with its uuid", _cgroup_is_empty(cgroup)]
    if domain is not None:
        shown.append(_disks_are_free(domain))
        shown.append(_taps_are_free(domain))
    return LocalProof(
        vm=life.vm, boot=boot, incarnation=life.key, shown=tuple(shown), at=time.monotonic_ns()
    )


def read_own_cgroup(pid: int) -> str:
    """The path of the cgroup that a VM has for itself, or empty where it shares one."""
    text = qemu_proc.read_bytes(f"/proc/{pid}/cgroup").decode(errors="replace")
    for line in text.splitlines():
        path = line.split(":", 2)[2] if line.count(":") >= 2 else ""
        for index, part in enumerate(path.split("/")):
            if any(mark in part for mark in OWN_CGROUP_MARKS):
                return "/".join(path.split("/")[: index + 1])
    return ""


def _cgroup_is_empty(cgroup: str) -> str:
    if not cgroup:
        return "it had no cgroup of its own"
    for root in CGROUP_ROOTS:
        folder = root / cgroup.lstrip("/")
        for path in (folder / "cgroup.events",):
            try:
                events = path.read_text()
            except OSError:
                continue
            if "populated 1" in events:
                raise CallFailed(f"its cgroup {cgroup} still holds a process")
    return "its cgroup is empty"


def _disks_are_free(domain: Domain) -> str:
    """QEMU locks the images it writes: a lock that is still held means a writer."""
    files = {}
    for disk in domain.disks:
        try:
            stat = os.stat(disk)
        except OSError:
            continue  # Not a local file: nothing of this host can be looked at.
        files[f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"] = disk
    if not files:
        return "it has no local disk files"
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if len(words) > 5 and words[5] in files:
            raise CallFailed(f"its disk {files[words[5]]} is still locked by process {words[4]}")
    return "nobody locks its disks"


def _taps_are_free(domain: Domain) -> str:
    for tap in domain.taps:
        carrier = Path(f"/sys/class/net/{tap}/carrier")
        try:
            if tap.startswith("vnet") and carrier.read_text().strip() == "1":
                raise CallFailed(f"its network tap {tap} is still open")
        except OSError:
            continue
    return "its taps are gone or free"
