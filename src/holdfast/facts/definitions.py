"""What a VM is made of, so that another host can start it; and what a host has room for."""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.cpus import CpuNeeds, HostCpu


class DiskKind(StrEnum):
    SHARED = "shared"  # Other hosts have it, too.
    READ_ONLY = "read-only"  # A CD, or a disk that its guest cannot write to.
    REMAKEABLE = "remakeable"  # A file of this host alone, which can be made anew from an image.
    LOCAL = "local"  # Of this host alone, and nothing else could take its place.


class VmDisk(Struct, frozen=True, kw_only=True):
    """A disk of a VM (or "nvram", the file of its UEFI variables), and where it is.

    `size_bytes` is as its guest sees it; `image` is the shared one that it rests on, or was copied
    from, if any; `obstacle` says what ties it to its host, or empty.
    """

    name: str
    kind: DiskKind
    path: str = ""
    format: str = ""
    size_bytes: int = 0
    image: str = ""
    obstacle: str = ""


class RebuiltDisk(Struct, frozen=True, kw_only=True):
    """What another host makes anew at `path`, from `image`: what was in the old one is lost. It is
    as large as its image where `size_bytes` is 0."""

    name: str
    path: str
    format: str
    size_bytes: int
    image: str


class Rebuild(Struct, frozen=True, kw_only=True):
    """The disks that were made anew for one generation of a VM: once, however often it starts."""

    generation: int
    disks: tuple[RebuiltDisk, ...]


class VmNeeds(Struct, frozen=True, kw_only=True):
    """What a host must offer to run the VM. Memory in MiB, as libvirt's maximum says.

    `obstacle` is the first thing that keeps the VM from running on any other host (a local disk,
    a vTPM, a PCI device), as a sentence, or empty. `rest` is the first one that is left when the
    disks which can be made anew are. `cpu` is what its definition asks for, `live` what it was
    given when it started: it keeps that while it moves.
    """

    memory_mib: int
    vcpus: int
    bridges: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # libvirt's own, by name.
    machine: str = ""  # QEMU's machine type.
    obstacle: str = ""
    rest: str = ""
    disks: tuple[VmDisk, ...] = ()  # None: its agent is of an earlier version, or it has none.
    cpu: CpuNeeds | None = None
    live: CpuNeeds | None = None  # None: it does not run.


class VmDefinition(Struct, frozen=True, kw_only=True):
    """libvirt's inactive XML of a VM, and what it needs. The store keeps it of protected VMs."""

    vm: str
    name: str
    xml: str
    needs: VmNeeds


class HostRole(StrEnum):
    """What a host is for, as its settings declare."""

    COMPUTE = "compute"  # It runs VMs: only such a host is given any.
    STORAGE = "storage"
    CONTROL = "control"


class HostSize(Struct, frozen=True, kw_only=True):
    """What a host offers to VMs. `memory_mib` is what may be given to VMs in all.

    `roles` is empty where an agent of an earlier version does not say it: it takes VMs.
    """

    memory_mib: int
    cpus: int
    bridges: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    roles: tuple[HostRole, ...] = ()
    machines: tuple[str, ...] = ()  # QEMU's machine types; empty: not known, and not compared.
    processors: tuple[HostCpu, ...] = ()  # One for each type of VM; empty: not known.
    trouble: str = ""  # Why it could start none just now, as its agent sees it, or empty.
