"""Where the files of VMs are: on storage that other hosts have too, or on this host alone.

Looked at, in a worker: a look at a file on a network file system can hang.
"""

import os
import stat
import struct
from pathlib import Path

from holdfast.adapters.drivers.vm_disks import LOCAL_NAMES, Place

SHARED_KINDS = frozenset(
    "nfs nfs4 ceph glusterfs ocfs2 gfs2 lustre cifs smb3"
    " fuse.glusterfs fuse.ceph fuse.cephfs".split()
)
QCOW2 = b"QFI\xfb"
HEADER = struct.Struct(">4sIQI")  # Magic, version, and where the name of the file below is.
SIZE = struct.Struct(">24sQ")  # What the guest sees is told after the name below.
LONGEST_CHAIN = 64
LONGEST_NAME = 1_023  # As QEMU has it.
MOUNTS = Path("/proc/self/mountinfo")
NETWORK_DEVICES = Path("/sys/class/net")


def place(path: str, shared_paths: list[str], mounts: Path = MOUNTS) -> Place:
    """Of a file, folder, device or socket. Raises OSError for what cannot be looked at."""
    real = os.path.realpath(path)
    try:
        mode = os.stat(real).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Place.MISSING
    folders = {folder for one in shared_paths for folder in (one, os.path.realpath(one))}
    if any(_is_below(one, folder) for folder in folders for one in (path, real)):
        return Place.SHARED
    is_file = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return Place.SHARED if is_file and _is_on_shared_mount(real, mounts) else Place.LOCAL


def backing(path: str) -> list[str]:
    """The images below a qcow2 image. Raises OSError, and ValueError for one without an end."""
    found: list[str] = []
    while below := _backing_of(path):
        if len(found) == LONGEST_CHAIN:
            raise ValueError(
                f"more than {LONGEST_CHAIN} images rest on each other below {found[0]}"
            )
        path = below if below.startswith("/") else os.path.join(os.path.dirname(path), below)
        found.append(path)
    return found


def size(path: str, *, is_qcow2: bool) -> int:
    """In bytes, as a guest sees the image. Raises OSError, and ValueError for what is no file.

    What the header says counts only of what is known to be qcow2: a guest can write any header
    into a raw disk.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is no file")
    if not is_qcow2:
        return os.stat(path).st_size
    with Path(path).open("rb") as file:
        raw = file.read(SIZE.size)
    if len(raw) < SIZE.size or not raw.startswith(QCOW2):
        raise ValueError(f"{path} is no qcow2 image")
    return int(SIZE.unpack(raw)[1])


def has_qcow2_header(path: str) -> bool:
    """Only of what no guest writes to. Raises OSError."""
    with Path(path).open("rb") as file:
        return file.read(len(QCOW2)) == QCOW2


def has_device(name: str) -> bool:
    return bool(name) and "/" not in name and (NETWORK_DEVICES / name).exists()


def bridges() -> list[str]:
    """The kernel's own. Raises OSError."""
    return sorted(one.name for one in NETWORK_DEVICES.iterdir() if (one / "bridge").is_dir())


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _is_on_shared_mount(real: str, mounts: Path) -> bool:
    """What is mounted last at the deepest place counts."""
    deepest, kind, source = "", "", ""
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = _plain(before.split()[4])
        if _is_below(real, point) and len(point) >= len(deepest):
            deepest, (kind, source) = point, after.split()[:2]
    is_own = source.lstrip("/").startswith(LOCAL_NAMES)  # This host serves it to itself.
    return kind in SHARED_KINDS and not is_own


def _plain(point: str) -> str:
    """Mount points are written with octal escapes for spaces and such."""
    return (
        point.encode().decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")
    )


def _backing_of(path: str) -> str:
    """The name in the header; empty for an image that rests on none, or is no qcow2."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(HEADER.size)
            if len(raw) < HEADER.size:
                return ""
            magic, _version, at, length = HEADER.unpack(raw)
            if magic != QCOW2 or not at or not 0 < length <= LONGEST_NAME:
                return ""
            file.seek(at)
            name = file.read(length).decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""  # That it is missing is said of the path itself.
    return name.removeprefix("file:")
