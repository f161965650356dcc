"""The sample guest is a stock kernel and a busybox initramfs that holds the QEMU guest agent."""

import fcntl
import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from holdfast.lab import guest_init
from holdfast.lab.commands import LabError, run_command
from holdfast.lab.cpio import CpioArchive
from holdfast.lab.guest_kernel import (
    GuestKernel,
    find_installed_kernel,
    read_kernel,
    read_module,
    unpack_generic_kernel,
)
from holdfast.lab.packages_aside import list_dependencies, unpack_packages

DEFAULT_CACHE = Path("/var/cache/holdfast")
# A change to any of these makes another image.
IMAGE_SOURCES = ("guest_image.py", "guest_init.py", "guest_kernel.py", "cpio.py")
GUEST_FOLDERS = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/log")


@dataclass(frozen=True)
class GuestImage:
    """Files to boot a sample guest from, and where its kernel came from."""

    kernel: Path
    initramfs: Path
    kernel_version: str
    kernel_source: str


def build_guest_image(cache: Path = DEFAULT_CACHE) -> GuestImage:
    """Return the guest image from the cache, made first where it is missing.

    The first time may download packages (some 70 MB) and takes 10 to 30 s. Safe to call from
    several processes at once. Raises LabError when a package cannot be had.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"guest-{_content_key()}"
    with (cache / "guest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as work:
                _make_image(Path(work)).rename(folder)
    about = json.loads((folder / "about.json").read_text())
    return GuestImage(
        kernel=folder / "kernel",
        initramfs=folder / "initramfs",
        kernel_version=about["kernel_version"],
        kernel_source=about["kernel_source"],
    )


def _content_key() -> str:
    """Everything that decides the image: our own text, the distribution, the kernels at hand."""
    digest = hashlib.sha256()
    for source in IMAGE_SOURCES:
        digest.update(Path(__file__).with_name(source).read_bytes())
    digest.update(Path("/etc/os-release").read_bytes())
    for image in sorted(Path("/boot").glob("vmlinuz-*")):
        facts = image.stat()
        digest.update(f"{image.name} {facts.st_size} {facts.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


def _make_image(work: Path) -> Path:
    image = work / "image"
    image.mkdir()
    kernel, source = _find_kernel(work / "kernel")
    agent_root = unpack_packages(["qemu-guest-agent", "busybox-static"], work / "programs")
    archive = CpioArchive()
    for folder in GUEST_FOLDERS:
        archive.add_folder(folder)
    _add_busybox(archive, _find_program(agent_root, "busybox"))
    _add_modules(archive, kernel)
    _add_program(archive, _find_program(agent_root, "qemu-ga"), "/usr/sbin/qemu-ga", work)
    _add_program(archive, _find_program(Path("/"), "chrt"), "/usr/bin/chrt", work)
    _add_scripts(archive)
    archive.write(image / "initramfs")
    (image / "kernel").write_bytes(read_kernel(kernel.image))
    (image / "about.json").write_text(
        json.dumps({"kernel_version": kernel.version, "kernel_source": source})
    )
    # libvirt may run QEMU as another user, which must be able to read the image.
    image.chmod(0o755)
    return image


def _find_kernel(work: Path) -> tuple[GuestKernel, str]:
    kernel = find_installed_kernel()
    if kernel is not None:
        return kernel, "/boot"
    return unpack_generic_kernel(work), "a package unpacked aside"


def _find_program(root: Path, name: str) -> Path:
    for folder in ("usr/sbin", "usr/bin", "sbin", "bin"):
        program = root / folder / name
        if program.is_file():
            return program
    raise LabError(f"there is no program {name} under {root}")


def _add_busybox(archive: CpioArchive, busybox: Path) -> None:
    archive.add_file("/bin/busybox", busybox.read_bytes(), 0o755)
    for applet in run_command([str(busybox), "--list"], timeout_s=10).split():
        archive.add_link(f"/bin/{applet}", "busybox")


def _add_modules(archive: CpioArchive, kernel: GuestKernel) -> None:
    names = []
    for path in kernel.modules:
        name = path.name.partition(".ko")[0] + ".ko"
        archive.add_file(f"/modules/{name}", read_module(path))
        names.append(name)
    archive.add_file("/modules/order", "\n".join([*names, ""]).encode())


def _add_program(archive: CpioArchive, program: Path, place: str, work: Path) -> None:
    archive.add_file(place, program.read_bytes(), 0o755)
    for soname, library in _list_libraries(program, work).items():
        archive.add_file(soname, library.read_bytes(), 0o755)


def _list_libraries(program: Path, work: Path) -> dict[str, Path]:
    """Map each shared library's place in the guest to its file on this machine."""
    text = run_command(["ldd", str(program)], timeout_s=20)
    if "not found" not in text:
        return _read_ldd(text)
    # The machine lacks one of its libraries: they too come from packages unpacked aside.
    root = unpack_packages(list_dependencies("qemu-guest-agent"), work / "libraries")
    places = sorted({str(path.parent) for path in root.rglob("*.so*")})
    env = {"LD_LIBRARY_PATH": ":".join(places), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    text = run_command(["ldd", str(program)], timeout_s=20, env=env)
    if "not found" in text:
        raise LabError(f"libraries of {program.name} cannot be had:\n{text}")
    return _read_ldd(text, aside=root)


def _read_ldd(text: str, aside: Path | None = None) -> dict[str, Path]:
    libraries = {}
    for match in re.finditer(r"(/\S+) \(0x", text):
        library = Path(match[1])
        inside = library
        if aside is not None and library.is_relative_to(aside):
            inside = Path("/") / library.relative_to(aside)
        libraries[str(inside)] = library
    return libraries


def _add_scripts(archive: CpioArchive) -> None:
    archive.add_file("/init", guest_init.INIT_SCRIPT.encode(), 0o755)
    archive.add_file("/sbin/shutdown", guest_init.SHUTDOWN_SCRIPT.encode(), 0o755)
    archive.add_file("/etc/acpi/PWRF/00000080", guest_init.SHUTDOWN_SCRIPT.encode(), 0o755)
    archive.add_file("/bin/starve", guest_init.STARVE_SCRIPT.encode(), 0o755)
    archive.add_file("/www/index.html", b"The sample guest answers.\n")
