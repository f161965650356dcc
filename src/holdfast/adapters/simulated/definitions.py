"""What a simulated VM is made of, as libvirt would write it, and what a simulated host offers."""

import xml.etree.ElementTree as ET

from holdfast.adapters.drivers.cpu_xml import read_cpu
from holdfast.adapters.simulated.host import SimulatedHost
from holdfast.adapters.simulated.vm import MIB_PER_GB, SimulatedVm
from holdfast.facts.cpus import HostCpu
from holdfast.facts.definitions import DiskKind, HostSize, VmDefinition, VmDisk, VmNeeds

CPUS = 64
NETWORKS = ("default",)
TRAITS = ("has_agent", "is_mute", "obeys_term", "is_local")
TIE = "its disk is on its host"
PLAIN_MIB = 1_048_576  # Of a host that takes whatever is asked of it.


def xml_of(vm: SimulatedVm) -> str:
    """How its guest behaves goes with its disk; that is written beside it."""
    root = ET.Element("domain", type="kvm")
    ET.SubElement(root, "name").text = vm.name
    ET.SubElement(root, "uuid").text = vm.uuid
    ET.SubElement(root, "memory", unit="MiB").text = str(vm.memory_mib)
    ET.SubElement(root, "vcpu").text = "1"
    if vm.cpu_feature:
        cpu = ET.SubElement(root, "cpu", mode="host-model")
        ET.SubElement(cpu, "feature", policy="require", name=vm.cpu_feature)
    devices = ET.SubElement(root, "devices")
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "source", file=vm.writes_to)
    ET.SubElement(disk, "target", dev="vda")
    traits = {trait: str(int(getattr(vm, trait))) for trait in TRAITS}
    ET.SubElement(root, "guest", {"boot_ms": str(vm.boot_ms), **traits})
    return ET.tostring(root, encoding="unicode")


def vm_of(xml: str) -> SimulatedVm:
    """Raises ValueError."""
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        raise ValueError(f"libvirt cannot read this definition: {error}") from None
    guest, source = root.find("guest"), root.find("devices/disk/source")
    feature = root.find("cpu/feature")
    if guest is None or source is None:
        raise ValueError("this is no definition of a simulated VM")
    uuid, disk = root.findtext("uuid", ""), source.get("file", "")
    return SimulatedVm(
        name=root.findtext("name", ""),
        uuid=uuid,
        memory_gb=int(root.findtext("memory", "0")) / MIB_PER_GB,
        boot_ms=float(guest.get("boot_ms", "0")),
        disk="" if disk == uuid else disk,
        cpu_feature=feature.get("name", "") if feature is not None else "",
        has_agent=guest.get("has_agent") == "1",
        is_mute=guest.get("is_mute") == "1",
        obeys_term=guest.get("obeys_term") == "1",
        is_local=guest.get("is_local") == "1",
        has_disk=guest.get("is_local") != "1",
    )


def definition_of(vm: SimulatedVm) -> VmDefinition:
    tie = TIE if vm.is_local else ""
    disk = VmDisk(
        name="vda",
        kind=DiskKind.REMAKEABLE if vm.is_local else DiskKind.SHARED,
        path=f"/var/lib/{vm.writes_to}.qcow2",
        format="qcow2",
        size_bytes=1 << 30,
        obstacle=tie,
    )
    xml = xml_of(vm)
    needs = VmNeeds(
        memory_mib=vm.memory_mib,
        vcpus=1,
        networks=NETWORKS,
        obstacle=tie,
        disks=(disk,),
        cpu=read_cpu(ET.fromstring(xml)),
    )
    return VmDefinition(vm=vm.uuid, name=vm.name, xml=xml, needs=needs)


def size_of(host: SimulatedHost) -> HostSize:
    offered = HostCpu(kind="kvm", arch="x86_64", features=host.cpu_features)
    return HostSize(
        memory_mib=host.memory_mib or PLAIN_MIB,
        cpus=CPUS,
        networks=NETWORKS,
        processors=(offered,) if host.cpu_features else (),
    )
