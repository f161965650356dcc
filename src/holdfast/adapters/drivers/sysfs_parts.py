"""The parts of this host that the kernel knows of now: processors, PCI devices and disks.

Source: Documentation/ABI/testing/sysfs-*. What is made, or comes and goes on purpose, is no part:
virtual functions, removable disks, disks of a storage network. A network port is its PCI device:
the port itself may move into a container, or belong to a user space driver.
"""

import re
from pathlib import Path

from holdfast.facts.hardware import Part, PartKind

SYS = Path("/sys")
MEMINFO = Path("/proc/meminfo")
_OF_A_NETWORK = re.compile(r"/session\d+/|/rport-|/devices/rbd/")
_PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
OF_GUESTS = ("vfio-pci", "pci-stub", "xen-pciback")  # Drivers that hold a device for a VM.


def list_parts(sys: Path = SYS) -> tuple[Part, ...]:
    """Blocks for some milliseconds: call it in a thread."""
    return (*_cpus(sys), *_pci(sys), *_disks(sys))


def memory_mib(meminfo: Path = MEMINFO) -> int:
    """What the kernel has; 0 where it does not say."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", _text(meminfo), re.MULTILINE)
    return int(found[1]) // 1024 if found else 0


def disk_names(sys: Path = SYS) -> dict[str, str]:
    """Disks with a health of their own: the kernel's name of the device, and what stays with it.

    Of an NVMe disk its controller: its namespaces may be many, or hidden behind several paths.
    """
    disks = [path for path in _folders(sys / "block") if _is_disk(path)]
    controllers = [
        one for one in _folders(sys / "class/nvme") if _text(one / "transport") == "pcie"
    ]
    return {
        **{path.name: serial_of(path) for path in disks},
        **{path.name: _text(path / "serial") or path.name for path in controllers},
    }


def disk_of(device: str, sys: Path = SYS) -> str:
    """The disk that a block device is (a part of), by the kernel's name; empty where it is gone."""
    try:
        path = (sys / "class/block" / device).resolve(strict=True)
    except OSError:
        return ""
    return path.parent.name if (path / "partition").exists() else path.name


def _cpus(sys: Path) -> list[Part]:
    """One is there as long as the kernel could switch it on."""
    present = _text(sys / "devices/system/cpu/present")
    return [
        Part(kind=PartKind.CPU, id=str(number), name=f"CPU {number}")
        for number in numbers_of(present)
    ]


def _pci(sys: Path) -> list[Part]:
    found = []
    for path in _folders(sys / "bus/pci/devices"):
        if not (path / "physfn").exists():
            what = ":".join(_text(path / one).removeprefix("0x") for one in ("vendor", "device"))
            found.append(Part(kind=PartKind.PCI, id=f"{path.name}/{what}", name=path.name))
    return found


def _disks(sys: Path) -> list[Part]:
    found: dict[str, Part] = {}
    for disk, serial in disk_names(sys).items():
        name = disk if serial == disk else f"{disk} ({serial})"
        device = _pci_of(sys, disk)
        found.setdefault(serial, Part(kind=PartKind.DISK, id=serial, name=name, device=device))
    return list(found.values())


def _pci_of(sys: Path, disk: str) -> str:
    places = (sys / "block" / disk, sys / "class/nvme" / disk)
    found = [_PCI.findall(str(place.resolve())) for place in places if place.exists()]
    return next((devices[-1] for devices in found if devices), "")


def is_given_away(part: Part, sys: Path = SYS) -> bool:
    """Whether a disk is not to be seen since its device is there and held for a VM."""
    try:
        driver = (sys / "bus/pci/devices" / part.device / "driver").readlink().name
    except OSError:
        return False
    return bool(part.device) and driver in OF_GUESTS


def serial_of(path: Path) -> str:
    """What stays with a disk; its name of now, where it says nothing of itself."""
    for place in ("device/serial", "serial"):
        if text := _text(path / place):
            return text
    try:
        # SCSI's and SATA's page 80h: four bytes, then the serial number. Source: SPC-4, 7.8.15.
        page = (path / "device/vpd_pg80").read_bytes()[4:].decode("ascii", "replace")
        if page.strip(" \0").isprintable() and page.strip(" \0"):
            return page.strip(" \0")
    except OSError:
        pass
    return next((text for one in ("wwid", "device/wwid") if (text := _text(path / one))), path.name)


def _is_disk(path: Path) -> bool:
    is_there = (path / "device").exists() and _text(path / "removable") != "1"
    if not is_there or path.name.startswith("nvme"):
        return False
    return _OF_A_NETWORK.search(f"{path.resolve()}/") is None


def numbers_of(text: str) -> list[int]:
    """`0-3,8` as numbers."""
    found: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        if first.isdigit():
            found.extend(range(int(first), int(last if last.isdigit() else first) + 1))
    return found


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(path.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
