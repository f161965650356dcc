"""VMs made from a template: each has what is its own, and nothing that another one writes to.

covers: H9
"""

import xml.etree.ElementTree as ET

import pytest

from holdfast.adapters.drivers.vm_template import NotTemplate, make, vm_of
from holdfast.facts.definitions import DiskKind, VmDefinition

NAME, VM = "front-3", "5a1c7a5e-0000-4000-8000-000000000003"
IMAGES = {"vda": "/images/base.qcow2"}
DISK = """<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
  <source file='/vms/web.qcow2'/><backingStore/><target dev='vda' bus='virtio'/></disk>"""
NIC = (
    "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>"
)


def xml(devices: str = DISK, system: str = "") -> str:
    return f"""<domain type='kvm'><name>web</name><uuid>{VM[:-1]}9</uuid>
  <memory unit='MiB'>512</memory><vcpu>2</vcpu>
  <os><type machine='q35'>hvm</type>{system}</os><devices>{devices}</devices></domain>"""


def made(text: str, images: dict[str, str] | None = None, vm: str = VM) -> VmDefinition:
    return make(text, IMAGES if images is None else images, vm, NAME)


def test_it_has_a_name_a_uuid_and_a_disk_of_its_own() -> None:
    found = made(xml(DISK + NIC))
    root = ET.fromstring(found.xml)
    assert (found.vm, found.name) == (VM, NAME)
    assert (root.findtext("uuid"), root.findtext("name")) == (VM, NAME)
    path = "/vms/front-3.vda.qcow2"
    source = root.find("devices/disk/source")
    assert source is not None
    assert source.get("file") == path
    assert root.find("devices/disk/backingStore") is None, "it rests on the image"
    [disk] = found.needs.disks
    assert (disk.name, disk.path, disk.format, disk.image) == (
        "vda",
        path,
        "qcow2",
        IMAGES["vda"],
    )
    assert disk.kind is DiskKind.REMAKEABLE
    assert (found.needs.memory_mib, found.needs.vcpus, found.needs.bridges) == (512, 2, ("br0",))


def test_no_two_have_an_address_in_common_and_one_always_has_the_same() -> None:
    def addresses(vm: str) -> list[str]:
        root = ET.fromstring(made(xml(DISK + NIC + NIC.replace("<mac", "<x")), vm=vm).xml)
        return [one.get("address", "") for one in root.findall("devices/interface/mac")]

    first, second = addresses(VM), addresses(VM[:-1] + "4")
    assert len({*first, *second}) == 4
    assert all(one.startswith("52:54:00:") for one in first)
    assert addresses(VM) == first


def test_a_number_of_a_group_is_always_the_same_vm() -> None:
    assert vm_of("site", "front", 3) == vm_of("site", "front", 3)
    others = [vm_of("site", "front", 4), vm_of("site", "back", 3), vm_of("other", "front", 3)]
    assert len({vm for vm, _ in [vm_of("site", "front", 3), *others]}) == 4
    assert vm_of("site", "front", 3)[1] == "front-3"


def test_what_is_called_after_the_template_is_called_after_the_vm() -> None:
    text = xml(DISK + "<serial type='pty'><log file='/var/log/web-console.log'/></serial>")
    log = ET.fromstring(made(text).xml).find("devices/serial/log")
    assert log is not None
    assert log.get("file") == "/var/log/front-3-console.log"


def test_uefi_variables_are_its_own() -> None:
    found = made(xml(system="<nvram template='/usr/share/VARS.fd'>/nvram/web.fd</nvram>"))
    nvram = found.needs.disks[1]
    assert (nvram.name, nvram.path, nvram.image) == (
        "nvram",
        "/nvram/front-3_VARS.fd",
        "/usr/share/VARS.fd",
    )
    assert "/nvram/front-3_VARS.fd" in found.xml


def test_what_is_only_read_is_shared_by_all() -> None:
    cd = (
        """<disk type='file' device='cdrom'><source file='/iso/a.iso'/><target dev='sda'/></disk>"""
    )
    assert [one.name for one in made(xml(DISK + cd)).needs.disks] == ["vda"]


@pytest.mark.parametrize(
    ("text", "images", "why"),
    [
        ("<domain", None, "no XML: .*use what virsh dumpxml --inactive prints"),
        (xml(), {}, "every VM would write to the disk vda .*--image vda=FILE"),
        (xml(DISK.replace("'file'", "'block'")), None, "every VM would write to the disk vda"),
        (xml(DISK.replace("qcow2'/>", "vmdk'/>", 1)), None, "its disk vda is vmdk"),
        (xml(), {**IMAGES, "vdb": "/b"}, "the template has no disk vdb"),
        (xml(system="<nvram>/nvram/web.fd</nvram>"), None, "--image nvram=FILE"),
        (xml(DISK + "<hostdev type='pci'/>"), None, "pci device of this host: take that out"),
        (xml(DISK + "<tpm><backend type='emulator'/></tpm>"), None, "virtual TPM"),
        (xml().replace("<memory unit='MiB'>512</memory>", ""), None, "add <memory>"),
    ],
)
def test_what_no_vms_can_be_made_of_is_said(
    text: str, images: dict[str, str] | None, why: str
) -> None:
    with pytest.raises(NotTemplate, match=why):
        made(text, images)
