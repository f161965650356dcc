"""Who would feel it if a PCI device were reset, or a CPU taken away: those are left to a person.

What cannot be read is taken for a reason. Source: Documentation/ABI/testing/sysfs-*, proc(5).
"""

import os
from collections.abc import Iterator
from pathlib import Path

from holdfast.adapters.drivers import qemu_proc
from holdfast.adapters.drivers.sysfs_parts import OF_GUESTS, numbers_of

DISKS = ("block", "nvme")  # Subsystems: of disks, and of NVMe's controllers.
SWITCH = "ovs-system"  # Which host's address goes through a switch, its ports do not say.
ROUTES = (("net/route", 0), ("net/ipv6_route", -1))
LOOPBACK = "lo"


def device_holder(device: str, sys: Path, proc: Path) -> str:
    """Why this PCI device, and all below it, must not be reset; or empty. Blocks for a while."""
    try:
        folder = (sys / "bus/pci/devices" / device).resolve(strict=True)
        return next(_of_device(folder, sys, proc), "")
    except OSError as error:
        return f"what uses {device} cannot be read: {error.strerror}"


def cpu_holder(cpu: int, proc: Path, vms: Iterator[qemu_proc.QemuProcess] | None = None) -> str:
    """Which running VM has a thread that may run on this CPU only; or empty."""
    for vm in qemu_proc.scan() if vms is None else vms:
        try:
            threads = sorted((proc / str(vm.pid) / "task").iterdir())
            alone = any(_is_alone(thread, cpu) for thread in threads)
        except FileNotFoundError:
            continue  # It ended meanwhile.
        except OSError as error:
            return f"where VM {vm.name} may run cannot be read: {error.strerror}"
        if alone:
            return f"VM {vm.name} may run on CPU {cpu} only"
    return ""


def _is_alone(thread: Path, cpu: int) -> bool:
    for line in (thread / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Cpus_allowed_list":
            return numbers_of(value.strip()) == [cpu]
    return True  # Nobody knows: as if it were.


def _of_device(folder: Path, sys: Path, proc: Path) -> Iterator[str]:
    routed = _routed(proc)
    for path in [folder, *_below(folder)]:
        driver, kind = _link(path / "driver"), _link(path / "subsystem")
        if driver in OF_GUESTS:
            yield f"{path.name} is given to a VM (driver {driver})"
        if kind in DISKS:
            yield f"it holds the disk {path.name}"
        if kind == "net":
            yield from _of_port(path.name, sys, routed)
    for function in sorted(folder.glob("virtfn*")):
        if _link(function / "driver") in OF_GUESTS:
            yield f"its function {function.resolve().name} is given to a VM"


def _link(path: Path) -> str:
    return os.path.basename(os.readlink(path)) if path.is_symlink() else ""


def _below(folder: Path) -> Iterator[Path]:
    """All folders of the device and of those behind it; links lead elsewhere."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, _ in os.walk(folder, onerror=fail):
        below = (Path(place) / name for name in folders)
        yield from (path for path in below if not path.is_symlink())


def _of_port(port: str, sys: Path, routed: set[str]) -> Iterator[str]:
    for one in sorted({port, *_above(port, sys)}):
        if one == SWITCH:
            yield f"{port} is in a virtual switch, and nobody knows which links of the host are"
        elif one in routed:
            yield f"{port} carries an address of the host ({one})"


def _above(port: str, sys: Path) -> Iterator[str]:
    """The bonds, bridges and VLANs on it, and those on them."""
    todo, known = [port], {port}
    while todo:
        for link in (sys / "class/net" / todo.pop()).glob("upper_*"):
            name = link.name.removeprefix("upper_")
            if name not in known:
                known.add(name)
                todo.append(name)
                yield name


def _routed(proc: Path) -> set[str]:
    """The interfaces over which the host itself reaches anybody."""
    found: set[str] = set()
    for name, column in ROUTES:
        file = proc / name
        if not file.exists() and name != ROUTES[0][0]:
            continue  # A host without IPv6.
        for line in file.read_text().splitlines():
            words = line.split()
            if words and words[column] not in ("Iface", LOOPBACK):
                found.add(words[column])
    return found
