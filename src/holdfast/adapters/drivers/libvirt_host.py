"""What this host offers to VMs, as libvirt and the kernel say. Runs in a worker."""

import contextlib
import subprocess
import xml.etree.ElementTree as ET
from typing import Any

import libvirt

from holdfast.adapters.drivers import places
from holdfast.adapters.drivers.vm_disks import Place

RESERVE_MIB, RESERVE_PART = 512, 10  # Kept for the host: a tenth of its memory, at least so much.
OVS_LIMIT_S = 2.0
SECRET_KINDS = {
    "volume": libvirt.VIR_SECRET_USAGE_TYPE_VOLUME,
    "ceph": libvirt.VIR_SECRET_USAGE_TYPE_CEPH,
    "iscsi": libvirt.VIR_SECRET_USAGE_TYPE_ISCSI,
    "tls": libvirt.VIR_SECRET_USAGE_TYPE_TLS,
    "vtpm": libvirt.VIR_SECRET_USAGE_TYPE_VTPM,
}


class HostView:
    """What the judge of a definition asks (vm_needs.Here)."""

    def __init__(self, connection: Any, shared_paths: list[str]) -> None:
        self._connection, self._shared_paths = connection, shared_paths

    def place(self, path: str) -> Place:
        try:
            return places.place(path, self._shared_paths)
        except OSError:
            return Place.UNSEEN

    def backing(self, path: str) -> list[str]:
        return places.backing(path)

    def size(self, path: str, *, is_qcow2: bool) -> int:
        return places.size(path, is_qcow2=is_qcow2)

    def has_device(self, name: str) -> bool:
        return places.has_device(name)

    def has_secret(self, uuid: str, kind: str, usage: str) -> bool:
        try:
            if uuid:
                self._connection.secretLookupByUUIDString(uuid)
            else:
                self._connection.secretLookupByUsage(SECRET_KINDS.get(kind, 0), usage)
        except libvirt.libvirtError:
            return False
        return True


def size(connection: Any) -> dict[str, Any]:
    total_mib, cpus = connection.getInfo()[1:3]
    active = libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE
    return {
        "memory_mib": memory_for_vms(total_mib),
        "cpus": cpus,
        "bridges": sorted({*places.bridges(), *_ovs_bridges()}),
        "networks": sorted(one.name() for one in connection.listAllNetworks(active)),
        "machines": machines(connection.getCapabilities()),
    }


def memory_for_vms(total_mib: int) -> int:
    """What is left when the host has its own; never less than half."""
    reserve_mib = max(RESERVE_MIB, total_mib // RESERVE_PART)
    return max(total_mib - reserve_mib, total_mib // 2)


def machines(capabilities: str) -> list[str]:
    """QEMU's machine types of the host's own kind of processor, with their short names."""
    root = ET.fromstring(capabilities)
    own = root.findtext("host/cpu/arch", "")
    found = {
        name
        for arch in root.findall("guest/arch")
        if arch.get("name") == own
        for machine in arch.iter("machine")
        for name in ((machine.text or "").strip(), machine.get("canonical", ""))
        if name
    }
    return sorted(found)


def _ovs_bridges() -> list[str]:
    """A bridge of Open vSwitch has a network device of its own name, and of this type."""
    argv = ["ip", "-o", "link", "show", "type", "openvswitch"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            argv, capture_output=True, text=True, timeout=OVS_LIMIT_S, check=False
        ).stdout
        return [line.split(":")[1].strip() for line in said.splitlines() if ":" in line]
    return []
