"""Disks made anew from images, by qemu-img: once for each generation of a VM. Runs in a worker.

Beside each stands a small mark that says for which VM and generation it was made, and which file
that is. A file without its mark is somebody else's, and is never touched.
"""

import contextlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import msgspec
from msgspec import Struct

from holdfast.adapters.drivers import places
from holdfast.facts.definitions import Rebuild, RebuiltDisk

PROGRAM = "qemu-img"
MAKE_LIMIT_S = 55.0  # Less than whoever waits for the worker has patience.
MODE = 0o600  # libvirt gives it to the user of QEMU.
MOST_SAID = 200


class NotMade(Exception):
    """The text says why, and what to do."""


class Mark(Struct, frozen=True, kw_only=True):
    """Of a file that was made here; `inode` tells it from one that took its place."""

    vm: str
    generation: int
    image: str
    inode: int


def obstacle(vm: str, disk: RebuiltDisk) -> str:
    """Why it could not be made here, or empty. Changes nothing."""
    try:
        _check(vm, disk)
    except (NotMade, OSError, ValueError) as error:
        return f"its disk {disk.name} cannot be made anew here: {error}"
    return ""


def make(vm: str, rebuild: Rebuild) -> None:
    """Raises NotMade. What was made for this generation is left as it is: it may be in use."""
    for disk in rebuild.disks:
        try:
            known = _mark_of(disk.path)
            if known is None or (known.vm, known.generation) != (vm, rebuild.generation):
                _check(vm, disk)
                _put_aside(disk.path, known)
                _make(vm, rebuild.generation, disk)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise NotMade(f"its disk {disk.name} could not be made anew: {error}") from None


def _check(vm: str, disk: RebuiltDisk) -> None:
    """Raises NotMade, OSError, ValueError."""
    path, folder = Path(disk.path), Path(disk.path).parent
    if not path.is_absolute():
        raise NotMade(f"{disk.path} is no whole path")
    if not folder.is_dir():
        raise NotMade(f"there is no folder {folder} on this host: make it")
    if os.path.lexists(path):
        known = _mark_of(disk.path)
        if known is None or known.vm != vm:
            raise NotMade(
                f"there is a file {path} already, which was not made for it: look whether anybody"
                " needs it, and move it away"
            )
    if not disk.image or not os.path.exists(disk.image):
        raise NotMade(f"its image {disk.image} is missing on this host")
    size_bytes = _size(disk)
    left_bytes = shutil.disk_usage(folder).free
    if left_bytes < size_bytes:
        text = f"{folder} has {left_bytes >> 20} MiB left, and it may grow to {size_bytes >> 20}"
        raise NotMade(f"{text}: make room there")
    if disk.format and shutil.which(PROGRAM) is None:
        raise NotMade(f"there is no {PROGRAM} on this host: install it (qemu-utils)")


def _size(disk: RebuiltDisk) -> int:
    """What it may take of its folder. Raises NotMade for an image that does not fit into it."""
    is_qcow2 = places.has_qcow2_header(disk.image)
    if not disk.format:
        return os.stat(disk.image).st_size
    in_image = places.size(disk.image, is_qcow2=is_qcow2)
    if not disk.size_bytes:
        return in_image
    if in_image > disk.size_bytes:
        text = f"its image {disk.image} is larger ({in_image >> 20} MiB) than the disk was"
        raise NotMade(f"{text} ({disk.size_bytes >> 20} MiB): name another one")
    return disk.size_bytes


def _mark_of(path: str) -> Mark | None:
    """None also for one that speaks of another file than the one that is there now."""
    try:
        mark = msgspec.json.decode(_mark_file(path).read_bytes(), type=Mark)
        found = os.lstat(path)
    except (OSError, msgspec.MsgspecError):
        return None
    return mark if stat.S_ISREG(found.st_mode) and found.st_ino == mark.inode else None


def _mark_file(path: str) -> Path:
    return Path(f"{path}.holdfast")


def _put_aside(path: str, known: Mark | None) -> None:
    """One that was made for an earlier generation: nobody deletes what a guest once wrote."""
    if known is not None:
        os.rename(path, f"{path}.generation-{known.generation}")


def _make(vm: str, generation: int, disk: RebuiltDisk) -> None:
    """Whole under another name first: what is at its path is never half made."""
    new = f"{disk.path}.holdfast-disk"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    if not disk.format:
        shutil.copyfile(disk.image, new)
    elif disk.format == "raw":
        _run("convert", "-f", _kind(disk.image), "-O", "raw", disk.image, new)
        if disk.size_bytes:
            _run("resize", "-q", "-f", "raw", new, str(disk.size_bytes))
    else:
        below = ["-b", disk.image, "-F", _kind(disk.image)]
        size = [str(disk.size_bytes)] if disk.size_bytes else []
        _run("create", "-q", "-f", disk.format, *below, new, *size)
    os.chmod(new, MODE)
    inode = _keep(new)
    mark = Mark(vm=vm, generation=generation, image=disk.image, inode=inode)
    file = _mark_file(disk.path)
    half = file.with_name(f"{file.name}-mark")
    half.write_bytes(msgspec.json.encode(mark))
    _keep(str(half))
    os.rename(half, file)
    os.rename(new, disk.path)
    _keep(str(file.parent))


def _kind(image: str) -> str:
    return "qcow2" if places.has_qcow2_header(image) else "raw"


def _run(*argv: str) -> None:
    """Raises NotMade, SubprocessError."""
    done = subprocess.run(
        [PROGRAM, *argv],
        capture_output=True,
        text=True,
        timeout=MAKE_LIMIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = done.stderr.strip()[-MOST_SAID:]
        raise NotMade(f"{PROGRAM} {argv[0]}: {said or f'exit {done.returncode}'}")


def _keep(path: str) -> int:
    """Bring a file or folder to the disk; returns its inode."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)
