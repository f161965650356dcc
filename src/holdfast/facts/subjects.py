"""What a fault can befall: a host, a VM, one of its disks, a process, or Holdfast itself."""

from enum import StrEnum

from msgspec import Struct


class SubjectKind(StrEnum):
    HOST = "host"
    VM = "vm"
    DISK = "disk"
    PORT = "port"
    PROCESS = "process"
    POOL = "pool"
    HOLDFAST = "holdfast"


class Subject(Struct, frozen=True, kw_only=True):
    """`id` never changes (a VM's uuid, a host's id); `name` is for people and may change."""

    kind: SubjectKind
    id: str
    name: str


class Incarnation(Struct, frozen=True, kw_only=True):
    """One life of a VM: one QEMU process, in one boot of one host.

    `started_ticks` is field 22 of /proc/PID/stat, which with the pid tells a process from
    another that later got the same pid. `boot` is the host's boot (see facts.boots).
    """

    vm: str
    boot: str
    pid: int
    started_ticks: int

    @property
    def key(self) -> str:
        return f"{self.vm}/{self.boot}/{self.pid}.{self.started_ticks}"


def host_subject(host: str, name: str) -> Subject:
    return Subject(kind=SubjectKind.HOST, id=host, name=name)


def vm_subject(uuid: str, name: str) -> Subject:
    return Subject(kind=SubjectKind.VM, id=uuid, name=name)
