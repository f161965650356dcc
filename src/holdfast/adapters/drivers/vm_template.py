"""A VM made from a template: libvirt's XML with a name, a uuid, addresses and disks of its own.

Pure. The same number of the same group always makes the same VM.
"""

import hashlib
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from msgspec import structs

from holdfast.adapters.drivers.vm_disks import FORMATS, NVRAM, READ_ONLY, Place
from holdfast.adapters.drivers.vm_needs import NotXml, parse, read_needs
from holdfast.facts.definitions import DiskKind, VmDefinition, VmDisk

SPACE = uuid.UUID("5c0e4e3a-6d0b-4c11-9e5d-0d6f3f0e7a51")
MAC_PREFIX = "52:54:00"
NVRAM_FILE = "/var/lib/libvirt/qemu/nvram/VARS.fd"  # Where libvirt keeps them.
NAMED_AFTER = [
    f"{device}/{part}" for device in ("serial", "console", "channel") for part in ("log", "source")
]
TIE = "its disks are made on the host that starts it"


class NotTemplate(ValueError):
    """The text says why no VMs can be made of it, and what to do."""


class Anywhere:
    """A host of which nothing is known: whether all that a VM needs is there, each host judges."""

    def place(self, path: str) -> Place:  # noqa: ARG002
        return Place.SHARED

    def backing(self, path: str) -> list[str]:  # noqa: ARG002
        return []

    def size(self, path: str, *, is_qcow2: bool) -> int:  # noqa: ARG002
        return 0

    def has_device(self, name: str) -> bool:  # noqa: ARG002
        return True

    def has_secret(self, uuid: str, kind: str, usage: str) -> bool:  # noqa: ARG002
        return True


def vm_of(store: str, group: str, number: int) -> tuple[str, str]:
    """The uuid and the name of an instance: another site's are others."""
    return str(uuid.uuid5(SPACE, f"{store}/{group}/{number}")), f"{group}-{number}"


def make(xml: str, images: Mapping[str, str], vm: str, name: str) -> VmDefinition:
    """Raises NotTemplate."""
    try:
        root = parse(xml)
        _rename(root, vm, name)
        _give_addresses(root, vm)
        disks = tuple(_own_disks(root, images, name))
        needs = read_needs(ET.tostring(root, encoding="unicode"), Anywhere())
    except NotXml as error:
        raise NotTemplate(f"{error}: use what virsh dumpxml --inactive prints") from None
    unused = sorted(set(images) - {one.name for one in disks})
    if unused:
        raise NotTemplate(f"the template has no disk {unused[0]}: name one that it has")
    if needs.obstacle:
        raise NotTemplate(f"{needs.obstacle}: take that out of the template")
    if not needs.memory_mib:
        raise NotTemplate("the template does not say how much memory a VM has: add <memory>")
    tie = TIE if disks else ""
    return VmDefinition(
        vm=vm,
        name=name,
        xml=ET.tostring(root, encoding="unicode"),
        needs=structs.replace(needs, obstacle=tie, disks=disks),
    )


def _rename(root: Element, vm: str, name: str) -> None:
    """What is called after the template is called after the VM."""
    old = (root.findtext("name") or "").strip()
    for tag, text in (("name", name), ("uuid", vm)):
        found = root.find(tag)
        if found is None:
            found = ET.SubElement(root, tag)
        found.text = text
    named = [one for tag in NAMED_AFTER for one in root.iterfind(f"devices/{tag}")]
    for one in named if old else ():
        for key in ("file", "path"):
            if old in one.get(key, ""):
                one.set(key, one.get(key, "").replace(old, name))


def _give_addresses(root: Element, vm: str) -> None:
    for place, interface in enumerate(root.findall("devices/interface")):
        mac = interface.find("mac")
        if mac is None:
            mac = ET.SubElement(interface, "mac")
        made = hashlib.sha256(f"{vm}/{place}".encode()).digest()[:3]
        mac.set("address", ":".join([MAC_PREFIX, *(f"{byte:02x}" for byte in made)]))


def _own_disks(root: Element, images: Mapping[str, str], name: str) -> Iterator[VmDisk]:
    """Raises NotTemplate for one that all VMs would write to."""
    for disk in root.findall("devices/disk"):
        source, target = disk.find("source"), disk.find("target")
        is_read = disk.get("device") in READ_ONLY or disk.find("readonly") is not None
        if source is None or is_read:
            continue
        dev = target.get("dev", "") if target is not None else ""
        image, file = images.get(dev, ""), source.get("file", "")
        if not dev or not image or disk.get("type") != "file" or not file:
            text = f"every VM would write to the disk {dev or '(without a name)'} of the template"
            raise NotTemplate(f"{text}: give it an image, with --image {dev or 'vda'}=FILE")
        driver = disk.find("driver")
        kind = driver.get("type", "raw") if driver is not None else "raw"
        if kind not in FORMATS or next(disk.iter("encryption"), None) is not None:
            raise NotTemplate(f"its disk {dev} is {kind}, or encrypted: use plain qcow2 or raw")
        for behind in disk.findall("backingStore"):
            disk.remove(behind)
        path = str(PurePosixPath(file).parent / f"{name}.{dev}.{kind}")
        source.set("file", path)
        yield _disk(dev, path, kind, image)
    nvram = root.find("os/nvram")
    if nvram is not None:
        yield _variables(nvram, images, name)


def _variables(nvram: Element, images: Mapping[str, str], name: str) -> VmDisk:
    """Raises NotTemplate."""
    image = images.get(NVRAM) or nvram.get("template", "")
    if not image:
        raise NotTemplate("its UEFI variables have no template: --image nvram=FILE")
    folder = PurePosixPath((nvram.text or "").strip() or NVRAM_FILE).parent
    path = str(folder / f"{name}_VARS.fd")
    nvram.text = path
    return _disk(NVRAM, path, "", image)


def _disk(name: str, path: str, kind: str, image: str) -> VmDisk:
    return VmDisk(
        name=name, kind=DiskKind.REMAKEABLE, path=path, format=kind, image=image, obstacle=TIE
    )
