"""The disk and the kernel of an emulated host: the distribution's packages, put together.

They are unpacked aside; nothing of it is installed on this machine. Made once, and kept by what
decides it: our own text, the packages' versions and the kernel's.
"""

import fcntl
import hashlib
import re
import shutil
import sysconfig
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.lab.commands import LabError, run_command
from holdfast.lab.cpio import CpioArchive
from holdfast.lab.guest_image import DEFAULT_CACHE
from holdfast.lab.guest_kernel import (
    name_generic_kernel_packages,
    order_modules,
    read_kernel,
    read_module,
)
from holdfast.lab.host import QEMU_CONF
from holdfast.lab.packages_aside import list_closure, unpack_packages

PACKAGES = (
    # What every system has, so that nothing names it.
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "hostname"),
    *("libc-bin", "mount", "sed"),
    *("busybox-static", "ethtool", "iproute2", "iputils-ping", "kmod", "pciutils", "procps"),
    *("ipmitool", "mdadm", "nvme-cli", "smartmontools", "util-linux", "udev"),
    *("libvirt-clients", "libvirt-daemon-driver-qemu", "libvirt-daemon-system"),
    *("python3", "python3-libvirt", "qemu-system-x86", "qemu-utils"),
)
# What the first file system needs to mount the disk, and the channel to us.
EARLY_DRIVERS = (
    *("virtio_pci", "virtio_blk", "virtio_console"),
    *("crc32c_generic", "ext4", "overlay"),
)
INSIDE = Path(__file__).with_name("inside")  # Programs that run in the machine.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # All are links into /usr by now.
LEFT_OUT = (
    *(
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/info",
        "usr/share/iso-codes",
    ),
    *("usr/share/i18n", "usr/lib/x86_64-linux-gnu/gconv", "usr/share/icons", "usr/share/perl"),
)
LIBRARIES = "opt/holdfast/libraries"  # What the project's own Python environment holds.
MAKING = "making-emulated-"
DISK_MIB = 1_800
MAKING_LIMIT_S = 300


@dataclass(frozen=True)
class HostImage:
    """Files to boot an emulated host from; the disk is never written to."""

    folder: Path

    @property
    def kernel(self) -> Path:
        """The distribution's kernel, unpacked."""
        return self.folder / "kernel"

    @property
    def initramfs(self) -> Path:
        """What mounts the disk, with a layer in memory above it."""
        return self.folder / "initramfs"

    @property
    def disk(self) -> Path:
        """The system: ext4, read only."""
        return self.folder / "disk.ext4"


def build_host_image(cache: Path = DEFAULT_CACHE) -> HostImage:
    """Return the image from the cache, made first where it is missing.

    The first time downloads some 170 MB of packages and takes about a minute. Safe to call from
    several processes at once. Raises LabError when a package cannot be had.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "emulated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = [*name_generic_kernel_packages(), *list_closure(PACKAGES)]
        folder = cache / f"emulated-{_content_key(packages)}"
        if not folder.exists():
            # Also what a maker left that was killed: nobody else makes one while we hold the lock.
            for old in (*cache.glob("emulated-*"), *cache.glob(f"{MAKING}*")):
                shutil.rmtree(old, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=MAKING, dir=cache) as work:
                _make_image(Path(work), packages).rename(folder)
    return HostImage(folder)


def _content_key(packages: list[str]) -> str:
    digest = hashlib.sha256()
    for source in (Path(__file__), *sorted(path for path in INSIDE.iterdir() if path.is_file())):
        digest.update(source.read_bytes())
    digest.update(_list_libraries().encode())
    digest.update("\n".join(packages).encode())
    return digest.hexdigest()[:16]


def _libraries() -> Path:
    return Path(sysconfig.get_path("purelib"))


def _list_libraries() -> str:
    return " ".join(sorted(path.name for path in _libraries().glob("*.dist-info")))


def _make_image(work: Path, packages: list[str]) -> Path:
    root = unpack_packages(packages, work / "packages")
    image = work / "image"
    image.mkdir()
    [kernel] = sorted((root / "boot").glob("vmlinuz-*"))
    version = kernel.name.removeprefix("vmlinuz-")
    (image / "kernel").write_bytes(read_kernel(kernel))
    _write_initramfs(image / "initramfs", root, version)
    _put_together(root, version)
    run_command(
        [
            *("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum"),
            *("-E", "lazy_itable_init=0", "-d", str(root)),
            *(str(image / "disk.ext4"), f"{DISK_MIB}M"),
        ],
        timeout_s=MAKING_LIMIT_S,
    )
    return image


def _write_initramfs(path: Path, root: Path, version: str) -> None:
    archive = CpioArchive()
    for folder in ("/proc", "/sys", "/dev", "/disk", "/layer", "/root"):
        archive.add_folder(folder)
    busybox = next(
        file for file in (root / "bin/busybox", root / "usr/bin/busybox") if file.exists()
    )
    archive.add_file("/bin/busybox", busybox.read_bytes(), 0o755)
    archive.add_link("/bin/sh", "busybox")
    modules = order_modules(root / "lib/modules" / version, EARLY_DRIVERS)
    for number, module in enumerate(modules):
        name = f"{number:02d}-{module.name.partition('.ko')[0]}.ko"
        archive.add_file(f"/modules/{name}", read_module(module))
    archive.add_file("/init", (INSIDE / "early").read_bytes(), 0o755)
    archive.write(path)


def _put_together(root: Path, version: str) -> None:
    """What the packages' own scripts would have done, as far as it is needed."""
    for name in MERGED:
        merge_into_usr(root, name)
    for folder in LEFT_OUT:
        shutil.rmtree(root / folder, ignore_errors=True)
    shutil.rmtree(root / "boot", ignore_errors=True)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    with (root / "etc/passwd").open("a") as users:
        users.write("libvirt-qemu:x:64055:110::/var/lib/libvirt:/usr/sbin/nologin\n")
    with (root / "etc/group").open("a") as groups:
        groups.write("kvm:x:108:\nlibvirt:x:109:\nlibvirt-qemu:x:110:\n")
    for name, place in (("run", "run"), ("lock", "run/lock")):
        shutil.rmtree(root / "var" / name, ignore_errors=True)
        (root / "var" / name).symlink_to(f"/{place}")
    (root / "etc/libvirt/qemu.conf").write_text(QEMU_CONF)
    (root / "etc/hostname").write_text("emulated\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost emulated\n")
    (root / "etc/fstab").write_text("")
    (root / "etc/machine-id").write_text("e" * 32 + "\n")
    run_command(["chroot", str(root), "/sbin/depmod", version], timeout_s=MAKING_LIMIT_S)
    lab = root / "opt/holdfast/lab"
    shutil.copytree(INSIDE, lab, ignore=shutil.ignore_patterns("__pycache__"))
    for program in lab.iterdir():
        program.chmod(0o755)
    (root / "etc/inittab").write_text(
        "::sysinit:/opt/holdfast/lab/start\n"
        "::respawn:/usr/bin/python3 -S -E /opt/holdfast/lab/channel.py\n"
    )
    shutil.copytree(_libraries(), root / LIBRARIES, ignore=_needless)
    for place in ("/usr/lib/python3.11", "/usr/lib/python3", f"/{LIBRARIES}"):
        compile_in(root, place)


def compile_in(root: Path, place: str) -> None:
    """Compile Python there once, on real processors: an emulated one takes minutes for it."""
    words = ("-q", "-j", "0", "--invalidation-mode", "unchecked-hash")
    with suppress(LabError):  # What is no Python of this version is left as it is.
        run_command(
            ["chroot", str(root), "python3", "-m", "compileall", *words, place],
            timeout_s=MAKING_LIMIT_S,
        )


def _needless(folder: str, names: list[str]) -> set[str]:
    """What only makes or tests the project."""
    tools = r"(pip|ruff|mypy|pytest|hypothesis|_pytest|mypyc|xdist|setuptools|pygments)\b.*"
    return (
        {name for name in names if re.match(tools, name)} if folder == str(_libraries()) else set()
    )


def merge_into_usr(root: Path, name: str) -> None:
    """Move what packages brought for /NAME into /usr/NAME, and leave a link."""
    place, inside = root / name, root / "usr" / name
    if place.is_symlink():
        return
    inside.mkdir(parents=True, exist_ok=True)
    if place.exists():
        run_command(["cp", "-a", "--link", "-T", str(place), str(inside)], timeout_s=MAKING_LIMIT_S)
        shutil.rmtree(place)
    place.symlink_to(f"usr/{name}")
