"""What a VM needs of a host, and what ties it to this one: judged from libvirt's XML of it.

Pure: what is on the disks of this host is asked of `Here`. What Holdfast does not know it does not
take for movable: an obstacle that is said is better than a VM that starts without its disk.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element

from holdfast.adapters.drivers import vm_disks
from holdfast.adapters.drivers.cpu_xml import read_cpu
from holdfast.adapters.drivers.vm_disks import Here, Place, Remade, network_tie, path_tie
from holdfast.facts.cpus import missing
from holdfast.facts.definitions import DiskKind, HostSize, VmNeeds

LARGEST_XML = 256 << 10
QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
MIB_OF = {
    "b": 1 / (1 << 20),
    "bytes": 1 / (1 << 20),
    "KB": 1_000 / (1 << 20),
    "k": 1 / 1_024,
    "KiB": 1 / 1_024,
    "MB": 1_000_000 / (1 << 20),
    "M": 1.0,
    "MiB": 1.0,
    "GB": 1e9 / (1 << 20),
    "G": 1_024.0,
    "GiB": 1_024.0,
    "TB": 1e12 / (1 << 20),
    "T": 1_048_576.0,
    "TiB": 1_048_576.0,
}


class NotXml(ValueError):
    """What should be a VM's definition is none; the text says why."""


def parse(xml: str) -> Element:
    """Raises NotXml."""
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        raise NotXml(f"its definition is no XML: {error}") from None
    if root.tag != "domain":
        raise NotXml(f"its definition is no domain but a {root.tag}")
    return root


def read_needs(xml: str, here: Here, running: str = "") -> VmNeeds:
    """Raises NotXml. `obstacle` says what is local to this host, or missing on it; `running` is the
    XML of it as it runs."""
    root = parse(xml)
    kind, size = root.find("os/type"), len(xml.encode())
    disks = tuple(vm_disks.read(root, here))
    remakeable = {one.path for one in disks if one.kind is DiskKind.REMAKEABLE}
    return VmNeeds(
        memory_mib=memory_mib(root),
        vcpus=_number(root.findtext("vcpu")) or 1,
        bridges=_sources(root, "bridge", "bridge"),
        networks=_sources(root, "network", "network"),
        machine=kind.get("machine", "") if kind is not None else "",
        obstacle=_obstacle(root, here, size),
        rest=_obstacle(root, Remade(here, remakeable), size),
        disks=disks,
        cpu=read_cpu(root),
        live=read_cpu(parse(running)) if running else None,
    )


def misfit(needs: VmNeeds, size: HostSize) -> str:
    """The first thing that a host of this size does not offer, as a sentence; or empty."""
    bridges = [one for one in needs.bridges if one not in size.bridges]
    networks = [one for one in needs.networks if one not in size.networks]
    processor = missing(needs.cpu, size.processors)
    has_machine = not size.machines or not needs.machine or needs.machine in size.machines
    found = (
        (needs.obstacle, needs.obstacle),
        (bridges, f"there is no bridge {''.join(bridges[:1])} on this host"),
        (networks, f"libvirt's network {''.join(networks[:1])} does not run on this host"),
        (not has_machine, f"QEMU on this host has no machine type {needs.machine}"),
        (processor, f"this host has no {processor}"),
        (
            needs.memory_mib > size.memory_mib,
            f"it needs {needs.memory_mib} MiB of memory; this host has {size.memory_mib} for VMs",
        ),
    )
    return next((text for is_wrong, text in found if is_wrong), "")


def _obstacle(root: Element, here: Here, size: int) -> str:
    if size > LARGEST_XML:
        return f"its definition is larger than {LARGEST_XML >> 10} KiB"
    found = (text for judge in _JUDGES for text in judge(root, here))
    return next((text for text in found if text), "")


def _needed(what: str, path: str, here: Here) -> str:
    """A file that comes with the host, like firmware: it is read only."""
    is_missing = path and here.place(path) is Place.MISSING
    return f"{what} {path} is missing on this host" if is_missing else ""


def _firmware(root: Element, here: Here) -> Iterator[str]:
    for tag, what in (
        ("loader", "its firmware"),
        ("kernel", "its kernel"),
        ("initrd", "its initrd"),
    ):
        yield _needed(what, (root.findtext(f"os/{tag}") or "").strip(), here)
    loader, nvram, system = root.find("os/loader"), root.find("os/nvram"), root.find("os")
    if nvram is not None:
        source = nvram.find("source")
        if nvram.get("type") == "network" and source is not None:
            yield network_tie("its UEFI variables", source, here)
            return
        inside = (source.get("file") or source.get("dev") or "") if source is not None else ""
        yield path_tie("its UEFI variables", (nvram.text or "").strip() or inside, here)
        return
    is_uefi = (loader is not None and loader.get("type") == "pflash") or (
        system is not None and system.get("firmware") == "efi"
    )
    is_stateless = loader is not None and loader.get("stateless") == "yes"
    if is_uefi and not is_stateless:
        yield "its UEFI variables are in a file of this host"


def _tpms(root: Element, here: Here) -> Iterator[str]:
    for backend in root.findall("devices/tpm/backend"):
        source = backend.find("source")
        path = source.get("path", "") if source is not None else ""
        if backend.get("type") != "emulator":
            yield f"its TPM is a device of this host ({backend.get('type')})"
        elif path:
            yield path_tie("the state of its virtual TPM", path, here)
        else:
            yield "the state of its virtual TPM is on this host"


def _devices(root: Element, here: Here) -> Iterator[str]:
    for device in root.findall("devices/hostdev"):
        yield f"it has a {device.get('type', '')} device of this host".replace("  ", " ")
    for device in root.findall("devices/shmem"):
        yield f"it shares memory with something on this host ({device.get('name', 'shmem')})"
    for device in root.findall("devices/filesystem"):
        source = device.find("source")
        path = (source.get("dir") or source.get("socket") or "") if source is not None else ""
        yield path_tie("the folder that it shares with its host:", path, here)
    for source in root.findall("devices/memory/source/path"):
        yield path_tie("its memory device", (source.text or "").strip(), here)
    for device in root.findall("devices/input"):
        if device.get("type") in ("passthrough", "evdev"):
            yield "it has an input device of this host"
    if root.find(f"{QEMU}commandline") is not None:
        yield "it has QEMU arguments of its own, which Holdfast cannot judge"


_CHARACTER_DEVICES = ("serial", "parallel", "console", "channel", "smartcard", "redirdev")


def _character_devices(root: Element, _here: Here) -> Iterator[str]:
    for tag in _CHARACTER_DEVICES:
        for device in root.findall(f"devices/{tag}"):
            source, kind = device.find("source"), device.get("type")
            path = source.get("path", "") if source is not None else ""
            joins = kind == "unix" and source is not None and source.get("mode") == "connect"
            if kind in ("dev", "pipe") or joins:
                yield f"its {tag} device uses {path or 'a device'} of this host"


_EASY_INTERFACES = ("bridge", "network", "ethernet", "user", "server", "client", "mcast", "udp")


def _interfaces(root: Element, here: Here) -> Iterator[str]:
    for interface in root.findall("devices/interface"):
        kind, source = interface.get("type", ""), interface.find("source")
        script = interface.find("script")
        if script is not None:
            yield _needed("its network script", script.get("path", ""), here)
        if kind == "direct":
            name = source.get("dev", "") if source is not None else ""
            yield "" if here.has_device(name) else f"there is no network device {name} on this host"
        elif kind == "vhostuser":
            path = source.get("path", "") if source is not None else ""
            yield f"its network interface is a vhost-user socket of this host ({path})"
        elif kind == "hostdev":
            yield "its network interface is a device of this host (SR-IOV)"
        elif kind not in _EASY_INTERFACES:
            yield f"its network interface is of kind {kind}, which is of this host alone"


def _secrets(root: Element, here: Here) -> Iterator[str]:
    for secret in root.iter("secret"):
        uuid, kind, usage = (secret.get(key, "") for key in ("uuid", "type", "usage"))
        if (uuid or usage) and not here.has_secret(uuid, kind, usage):
            yield f"libvirt on this host has no secret {uuid or usage}, which it needs"


_JUDGES: tuple[Callable[[Element, Here], Iterator[str]], ...] = (
    vm_disks.ties,
    _firmware,
    _tpms,
    _devices,
    _interfaces,
    _character_devices,
    _secrets,
)


def memory_mib(root: Element) -> int:
    """Libvirt's maximum, rounded to whole MiB."""
    memory = root.find("memory")
    if memory is None:
        return 0
    return round(_number(memory.text) * MIB_OF.get(memory.get("unit", "KiB"), 1 / 1_024))


def _sources(root: Element, kind: str, key: str) -> tuple[str, ...]:
    found = root.findall(f"devices/interface[@type='{kind}']/source")
    return tuple(sorted({name for one in found if (name := one.get(key, ""))}))


def _number(text: str | None) -> int:
    plain = (text or "").strip()
    return int(plain) if plain.isdigit() else 0
