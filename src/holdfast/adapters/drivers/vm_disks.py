"""Where the disks of a VM are: everywhere, or on this host alone, and which could be made anew.

Pure: judged from libvirt's XML of it; what is on this host is asked of `Here`.
"""

from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Protocol
from xml.etree.ElementTree import Element

from holdfast.facts.definitions import DiskKind, VmDisk

LOCAL_NAMES = ("localhost", "127.", "::1", "[::1]")
NVRAM = "nvram"
READ_ONLY = ("cdrom", "floppy")
FORMATS = ("qcow2", "raw")


class Place(StrEnum):
    SHARED = "shared"  # Other hosts have it, too.
    LOCAL = "local"
    MISSING = "missing"
    UNSEEN = "unseen"  # It could not be looked at.


class Here(Protocol):
    """What this host knows of the things that a VM's definition names."""

    def place(self, path: str) -> Place: ...

    def backing(self, path: str) -> list[str]:
        """The files that a qcow2 image rests on, as its headers name them. Raises OSError,
        ValueError."""
        ...

    def size(self, path: str, *, is_qcow2: bool) -> int:
        """Of the file of a disk in bytes, as a guest sees it. Raises OSError, ValueError."""
        ...

    def has_device(self, name: str) -> bool:
        """Whether there is a network device of this name."""
        ...

    def has_secret(self, uuid: str, kind: str, usage: str) -> bool:
        """Whether libvirt has the secret, by uuid or by its kind and usage."""
        ...


class Remade:
    """A host as it would be if these files were made anew on any other one, too."""

    def __init__(self, here: Here, paths: Collection[str]) -> None:
        self._here, self._paths = here, paths
        self.size, self.has_device, self.has_secret = here.size, here.has_device, here.has_secret

    def place(self, path: str) -> Place:
        return Place.SHARED if path in self._paths else self._here.place(path)

    def backing(self, path: str) -> list[str]:
        return [] if path in self._paths else self._here.backing(path)


def read(root: Element, here: Here) -> Iterator[VmDisk]:
    """Every disk that is not an empty drive, and the file of its UEFI variables."""
    for disk in root.findall("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        if source is None:
            continue
        name = target.get("dev", "") if target is not None else ""
        yield _classified(name, disk, source.get("file", ""), here)
    nvram = root.find("os/nvram")
    path = (nvram.text or "").strip() if nvram is not None else ""
    if nvram is not None and path:
        yield _variables(path, nvram.get("template", ""), here)


def _classified(name: str, disk: Element, path: str, here: Here) -> VmDisk:
    tie, driver = _tie(disk, here), disk.find("driver")
    kind = driver.get("type", "raw") if driver is not None else "raw"
    if disk.get("device") in READ_ONLY or disk.find("readonly") is not None:
        return VmDisk(name=name, kind=DiskKind.READ_ONLY, path=path, obstacle=tie)
    if not tie:
        return VmDisk(name=name, kind=DiskKind.SHARED, path=path, format=kind)
    tied = VmDisk(name=name, kind=DiskKind.LOCAL, path=path, format=kind, obstacle=tie)
    return _remakeable(tied, disk, here) or tied


def _remakeable(tied: VmDisk, disk: Element, here: Here) -> VmDisk | None:
    """A plain file of this host alone; not one whose definition also says on what it rests, or
    that is encrypted: a new one would not fit it."""
    is_encrypted = next(disk.iter("encryption"), None) is not None
    is_bound = is_encrypted or disk.find("backingStore") is not None
    is_plain = disk.get("type", "file") == "file" and tied.format in FORMATS
    if is_bound or not is_plain or not tied.name or here.place(tied.path) is not Place.LOCAL:
        return None
    is_qcow2 = tied.format == "qcow2"
    try:
        size_bytes = here.size(tied.path, is_qcow2=is_qcow2)
        below = here.backing(tied.path)[:1] if is_qcow2 else []
    except (OSError, ValueError):
        return None
    return VmDisk(
        name=tied.name,
        kind=DiskKind.REMAKEABLE,
        path=tied.path,
        format=tied.format,
        size_bytes=size_bytes,
        image=next((one for one in below if here.place(one) is Place.SHARED), ""),
        obstacle=tied.obstacle,
    )


def _variables(path: str, template: str, here: Here) -> VmDisk:
    tie = path_tie("its UEFI variables", path, here)
    if not tie:
        return VmDisk(name=NVRAM, kind=DiskKind.SHARED, path=path)
    is_here = here.place(path) is Place.LOCAL
    kind = DiskKind.REMAKEABLE if template and is_here else DiskKind.LOCAL
    return VmDisk(name=NVRAM, kind=kind, path=path, image=template, obstacle=tie)


def ties(root: Element, here: Here) -> Iterator[str]:
    """What ties each disk to this host, as a sentence or empty."""
    for disk in root.findall("devices/disk"):
        yield _tie(disk, here)


def _tie(disk: Element, here: Here) -> str:
    """Of a disk, or of one that it rests on, which has the same shape."""
    what = {"cdrom": "its CD image", "floppy": "its floppy image"}.get(
        disk.get("device", "disk"), "its disk"
    )
    kind, source = disk.get("type", "file"), disk.find("source")
    if source is None or (kind == "file" and not source.get("file")):
        return ""  # An empty drive.
    match kind:
        case "file" | "block" | "dir":
            path = source.get({"block": "dev"}.get(kind, kind), "")
            text = path_tie(what, path, here) or _resting_on(disk, path, here)
        case "network":
            text = network_tie(what, source, here)
        case "volume":
            pool, volume = source.get("pool", ""), source.get("volume", "")
            text = f"{what} is volume {volume} of pool {pool}, which may be of this host alone"
        case _:
            text = f"{what} is of kind {kind}, which is of this host alone"
    behind = disk.find("backingStore")
    if text or behind is None or not behind.get("type"):
        return text
    return _tie(behind, here)


def _resting_on(disk: Element, path: str, here: Here) -> str:
    """Only of what is qcow2 by its definition: a guest can write any header into a raw disk."""
    kinds = [
        one.get("type") for one in (disk.find("driver"), disk.find("format")) if one is not None
    ]
    if "qcow2" not in kinds:
        return ""
    try:
        below = here.backing(path)
    except (OSError, ValueError) as error:
        return f"what its disk {path} rests on could not be read: {error}"
    found = (path_tie("the image below its disk", one, here) for one in below)
    return next((text for text in found if text), "")


def network_tie(what: str, source: Element, here: Here) -> str:
    for host in source.findall("host"):
        if host.get("transport") == "unix":
            return path_tie(f"{what} is behind a socket:", host.get("socket", ""), here)
        if host.get("name", "").startswith(LOCAL_NAMES):
            return f"{what} is served by this host itself ({host.get('name')})"
    return ""


def path_tie(what: str, path: str, here: Here) -> str:
    if not path:
        return f"{what} has no path that Holdfast can read"
    match here.place(path):
        case Place.SHARED:
            return ""
        case Place.MISSING:
            return f"{what} {path} is missing on this host"
        case Place.LOCAL:
            return f"{what} {path} is on local storage"
        case Place.UNSEEN:
            return f"{what} {path} could not be looked at"
