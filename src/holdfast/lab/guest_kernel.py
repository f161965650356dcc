"""The sample guest's kernel is one from /boot if it has every driver, else one unpacked aside."""

import gzip
import lzma
import re
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.lab.commands import LabError, run_command
from holdfast.lab.packages_aside import is_known_package, list_dependencies, unpack_packages

# What the guest must have, in the order to load it: the agent's channel, disk and network,
# panic and watchdog reporting, the power button. The cloud kernels lack i6300esb.
DRIVERS = (
    "virtio_pci",
    "virtio_console",
    "virtio_blk",
    "virtio_net",
    "pvpanic_mmio",
    "pvpanic_pci",
    "i6300esb",
    "button",
    "evdev",
)
# Debian's and Ubuntu's names for "the newest generic kernel".
GENERIC_KERNEL_PACKAGES = ("linux-image-amd64", "linux-image-generic")
# An ELF note "Xen", type 18, marks a kernel that QEMU can start without unpacking (PVH).
PVH_NOTE = re.compile(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0")


@dataclass(frozen=True)
class GuestKernel:
    """A bootable kernel and its driver files in loading order."""

    version: str
    image: Path
    modules: tuple[Path, ...]


def find_installed_kernel(root: Path = Path("/")) -> GuestKernel | None:
    """Find the newest readable kernel under `root` that has every driver, if there is one."""
    images = sorted((root / "boot").glob("vmlinuz-*"), key=_version_key, reverse=True)
    for image in images:
        kernel = _kernel_with_drivers(root, image)
        if kernel is not None:
            return kernel
    return None


def unpack_generic_kernel(folder: Path) -> GuestKernel:
    """Download the distribution's generic kernel and unpack it under `folder`."""
    packages = name_generic_kernel_packages()
    kernel = find_installed_kernel(unpack_packages(packages, folder))
    if kernel is None:
        raise LabError(f"{', '.join(packages)}: lacks one of {', '.join(DRIVERS)}")
    return kernel


def name_generic_kernel_packages() -> list[str]:
    """Name the packages that hold the generic kernel's image and its modules."""
    for generic in GENERIC_KERNEL_PACKAGES:
        for image in list_dependencies(generic):
            match = re.fullmatch(r"linux-image-(?:unsigned-)?(\d.*)", image)
            if match:
                version = match[1]
                # Debian ships image and modules together, Ubuntu apart.
                parts = [f"linux-modules-{version}", f"linux-modules-extra-{version}"]
                return [image, *filter(is_known_package, parts)]
    raise LabError(
        f"apt knows none of {', '.join(GENERIC_KERNEL_PACKAGES)}: run `apt-get update`"
        " (x86-64 Debian and Ubuntu are supported)"
    )


def read_module(path: Path) -> bytes:
    """Read a kernel module, decompressed."""
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return _unzstd(path.read_bytes())
    return path.read_bytes()


def read_kernel(image: Path) -> bytes:
    """Read a kernel in its fastest bootable form.

    Without KVM a kernel takes 4 s to decompress itself, so it is done here once, where it then
    can be started directly (PVH). Every other kernel is returned as it is.
    """
    packed = image.read_bytes()
    # The boot protocol (2.08 and newer) says where in a bzImage the packed kernel is.
    if packed[0x202:0x206] != b"HdrS":
        return packed
    start, size = struct.unpack_from("<II", packed, 0x248)
    start += ((packed[0x1F1] or 4) + 1) * 512
    plain = _unpack(packed[start : start + size])
    return plain if plain is not None and PVH_NOTE.search(plain) else packed


def _unpack(payload: bytes) -> bytes | None:
    # The last four bytes hold the unpacked size; they are not part of the stream.
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload[:-4])
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        return _unzstd(payload[:-4])
    return None


def _unzstd(packed: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="holdfast-zstd-") as work:
        source, plain = Path(work, "packed.zst"), Path(work, "plain")
        source.write_bytes(packed)
        run_command(["zstd", "-q", "-d", str(source), "-o", str(plain)], timeout_s=60)
        return plain.read_bytes()


def _kernel_with_drivers(root: Path, image: Path) -> GuestKernel | None:
    version = image.name.removeprefix("vmlinuz-")
    folders = [root / "lib/modules" / version, root / "usr/lib/modules" / version]
    folder = next((folder for folder in folders if (folder / "kernel").is_dir()), None)
    if folder is None:
        return None
    try:
        with image.open("rb"):
            modules = order_modules(folder, DRIVERS)
    except (LabError, PermissionError):
        return None
    return GuestKernel(version, image, tuple(modules))


def order_modules(folder: Path, wanted: Sequence[str]) -> list[Path]:
    """List the files of the wanted modules below `folder`, each after those it depends on.

    Dependencies are read from the modules themselves (`depends=` in .modinfo), since modules.dep
    only exists after depmod ran. Built-in modules need no file. Raises LabError on a missing one.
    """
    files = {
        _module_name(path): path for path in (folder / "kernel").rglob("*.ko*") if path.is_file()
    }
    builtin = {
        _module_name(Path(line)) for line in (folder / "modules.builtin").read_text().split()
    }
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in builtin or name in ordered:
            return
        if name not in files:
            raise LabError(f"kernel {folder.name} has no module {name}")
        match = re.search(rb"\0depends=([^\0]*)\0", read_module(files[name]))
        for dependency in match[1].decode().split(",") if match and match[1] else []:
            add(dependency.replace("-", "_"))
        ordered[name] = files[name]

    for name in wanted:
        add(name)
    return list(ordered.values())


def _module_name(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _version_key(image: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", image.name)]
