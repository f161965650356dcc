"""What a VM is made of, so that another host can start it; and what a host has room for."""

from enum import StrEnum

from msgspec import Struct

from holdfast.facts.cpus import CpuNeeds, HostCpu


class VmNeeds(Struct, frozen=True, kw_only=True):
    """What a host must offer to run the VM. Memory in MiB, as libvirt's maximum says.

    `obstacle` is the first thing that keeps the VM from running on any other host (a local disk,
    a vTPM, a PCI device), as a sentence, or empty. `cpu` is what its definition asks for, `live`
    what it was given when it started: it keeps that while it moves.
    """

    memory_mib: int
    vcpus: int
    bridges: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # libvirt's own, by name.
    machine: str = ""  # QEMU's machine type.
    obstacle: str = ""
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
