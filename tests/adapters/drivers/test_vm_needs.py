"""What a VM needs, and what ties it to its host: many definitions, each with its one obstacle.

covers: H15
"""

import pytest

from holdfast.adapters.drivers.vm_disks import Place
from holdfast.adapters.drivers.vm_needs import LARGEST_XML, NotXml, misfit, read_needs
from holdfast.adapters.simulated.hypervisor import Disks
from holdfast.facts.cpus import CpuNeeds, HostCpu
from holdfast.facts.definitions import HostSize, VmNeeds

SHARED = "/srv/nfs/web.qcow2"
UUID = "5a1c7a5e-0000-4000-8000-000000000009"


def here() -> Disks:
    disks = Disks()
    disks.places = {
        "/var/lib/web.img": Place.LOCAL,
        "/dev/vg/web": Place.LOCAL,
        "/run/nbd.sock": Place.LOCAL,
        "/gone/web.img": Place.MISSING,
        "/odd/web.img": Place.UNSEEN,
        "/usr/share/gone.fd": Place.MISSING,
        "/var/lib/nvram.fd": Place.LOCAL,
        "/opt/gone-script": Place.MISSING,
    }
    disks.below = {
        "/srv/nfs/overlay.qcow2": ["/srv/nfs/base.qcow2", "/var/lib/web.img"],
        "/srv/nfs/half.qcow2": ["/gone/web.img"],
        "/srv/nfs/whole.qcow2": ["/srv/nfs/base.qcow2"],
        "/srv/nfs/raw.img": ["/var/lib/web.img"],
    }
    disks.devices, disks.secrets = {"eth1"}, {UUID, "ceph client.web"}
    return disks


def domain(devices: str = "", *, system: str = "", more: str = "") -> str:
    return f"""<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name><uuid>{UUID}</uuid>
  <memory unit='KiB'>2097152</memory><currentMemory unit='KiB'>1048576</currentMemory>
  <vcpu placement='static' current='1'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type>{system}</os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{devices}</devices>{more}
</domain>"""


def disk(source: str, kind: str = "file", device: str = "disk", driver: str = "raw") -> str:
    inside = f"<driver name='qemu' type='{driver}'/>{source}<target dev='vda' bus='virtio'/>"
    return f"<disk type='{kind}' device='{device}'>{inside}</disk>"


def file(path: str, device: str = "disk", driver: str = "raw") -> str:
    return disk(f"<source file='{path}'/>", "file", device, driver)


def rbd(inside: str = "<host name='10.0.0.5' port='6789'/>") -> str:
    return disk(f"<source protocol='rbd' name='vms/web'>{inside}</source>", "network")


def nic(kind: str, inside: str) -> str:
    return f"<interface type='{kind}'>{inside}<model type='virtio'/></interface>"


MOVABLE = {
    "nothing but itself": domain(),
    "a disk on shared storage": domain(file(SHARED)),
    "an image that rests on a shared one": domain(file("/srv/nfs/whole.qcow2", driver="qcow2")),
    "a raw disk into which a guest wrote a header": domain(file("/srv/nfs/raw.img")),
    "an empty CD drive": domain("<disk type='file' device='cdrom'><target dev='sda'/></disk>"),
    "a shared CD image": domain(file("/srv/nfs/a.iso", "cdrom")),
    "a ceph disk": domain(rbd()),
    "a ceph disk with a known secret": domain(
        disk(
            "<source protocol='rbd' name='vms/web'/>"
            f"<auth username='web'><secret type='ceph' uuid='{UUID}'/></auth>",
            "network",
        )
    ),
    "a secret that goes by its usage": domain(
        disk(
            "<source protocol='rbd' name='vms/web'/>"
            "<auth username='web'><secret type='ceph' usage='client.web'/></auth>",
            "network",
        )
    ),
    "an iSCSI disk": domain(
        disk("<source protocol='iscsi' name='iqn.a/1'><host name='san1'/></source>", "network")
    ),
    "an nbd disk over TCP": domain(
        disk("<source protocol='nbd' name='web'><host name='10.0.0.7'/></source>", "network")
    ),
    "easy networks": domain(
        nic("bridge", "<source bridge='br0'/>")
        + nic("network", "<source network='blue'/>")
        + nic("user", "")
        + nic("ethernet", "<target dev='tap-web'/>")
        + nic("direct", "<source dev='eth1' mode='bridge'/>")
    ),
    "firmware without variables": domain(
        system="<loader readonly='yes' type='pflash' stateless='yes'>/usr/share/ovmf.fd</loader>"
    ),
    "shared UEFI variables": domain(system="<nvram>/srv/nfs/web.fd</nvram>"),
    "UEFI variables in a shared source": domain(
        system="<nvram type='file'><source file='/srv/nfs/web.fd'/></nvram>"
    ),
    "UEFI variables on the network": domain(
        system="<nvram type='network'><source protocol='nbd' name='v'>"
        "<host name='10.0.0.7'/></source></nvram>"
    ),
    "a shared TPM": domain(
        "<tpm model='tpm-crb'><backend type='emulator'>"
        "<source type='dir' path='/srv/nfs/tpm'/></backend></tpm>"
    ),
    "a host's own processor": domain(more="<cpu mode='host-passthrough'/>"),
    "a console that is logged to a local file": domain(
        "<serial type='pty'><log file='/var/log/web.log'/></serial>"
        "<serial type='file'><source path='/var/log/web.txt'/></serial>"
    ),
    "a guest agent's channel": domain(
        "<channel type='unix'><source mode='bind' path='/run/a'/>"
        "<target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    ),
    "a shared folder on shared storage": domain(
        "<filesystem type='mount'><source dir='/srv/nfs/data'/><target dir='d'/></filesystem>"
    ),
    "the noise of a hardware generator": domain(
        "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
    ),
}

TIED = {
    "its disk /var/lib/web.img is on local storage": domain(file("/var/lib/web.img")),
    "its disk /gone/web.img is missing": domain(file("/gone/web.img")),
    "its disk /odd/web.img could not be looked at": domain(file("/odd/web.img")),
    "its CD image /var/lib/web.img is on local": domain(file("/var/lib/web.img", "cdrom")),
    "its floppy image /var/lib/web.img": domain(file("/var/lib/web.img", "floppy")),
    "its disk /dev/vg/web is on local storage": domain(
        disk("<source dev='/dev/vg/web'/>", "block")
    ),
    "its disk has no path": domain(disk("<source/>", "block")),
    "the image below its disk /var/lib/web.img is on local": domain(
        file("/srv/nfs/overlay.qcow2", driver="qcow2")
    ),
    "the image below its disk /gone/web.img is missing": domain(
        file("/srv/nfs/half.qcow2", driver="qcow2")
    ),
    "its disk /var/lib/web.img is on local": domain(
        "<disk type='file' device='disk'><driver type='qcow2'/><source file='/srv/nfs/a.qcow2'/>"
        "<backingStore type='file'><format type='raw'/><source file='/var/lib/web.img'/>"
        "</backingStore><target dev='vda'/></disk>"
    ),
    "its disk is behind a socket: /run/nbd.sock is on local": domain(
        disk(
            "<source protocol='nbd'><host transport='unix' socket='/run/nbd.sock'/></source>",
            "network",
        )
    ),
    "its disk is served by this host itself (127.0.0.1)": domain(
        disk("<source protocol='iscsi' name='i/1'><host name='127.0.0.1'/></source>", "network")
    ),
    "volume web of pool default": domain(disk("<source pool='default' volume='web'/>", "volume")),
    "its disk is of kind nvme": domain(
        disk("<source type='pci' namespace='1'><address/></source>", "nvme")
    ),
    "its disk is of kind vhostuser": domain(
        disk("<source type='unix' path='/run/spdk'/>", "vhostuser")
    ),
    "its UEFI variables /var/lib/nvram.fd is on local": domain(
        system="<loader type='pflash'>/usr/share/ovmf.fd</loader><nvram>/var/lib/nvram.fd</nvram>"
    ),
    "its UEFI variables are in a file of this host": domain(
        system="<loader type='pflash'>/usr/share/ovmf.fd</loader>"
    ),
    "its firmware /usr/share/gone.fd is missing": domain(
        system="<loader>/usr/share/gone.fd</loader>"
    ),
    "its kernel /usr/share/gone.fd is missing": domain(
        system="<kernel>/usr/share/gone.fd</kernel>"
    ),
    "the state of its virtual TPM is on this host": domain(
        "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
    ),
    "its TPM is a device of this host (passthrough)": domain(
        "<tpm><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"
    ),
    "it has a pci device of this host": domain(
        "<hostdev mode='subsystem' type='pci' managed='yes'><source/></hostdev>"
    ),
    "it has a usb device of this host": domain("<hostdev mode='subsystem' type='usb'/>"),
    "SR-IOV": domain(nic("hostdev", "<source><address type='pci'/></source>")),
    "vhost-user socket of this host (/run/ovs)": domain(
        nic("vhostuser", "<source type='unix' path='/run/ovs' mode='client'/>")
    ),
    "its network interface is of kind vdpa": domain(nic("vdpa", "<source dev='/dev/vhost'/>")),
    "no network device eth7": domain(nic("direct", "<source dev='eth7' mode='bridge'/>")),
    "its network script /opt/gone-script is missing": domain(
        nic("ethernet", "<script path='/opt/gone-script'/>")
    ),
    "it shares memory": domain("<shmem name='ivshmem'><model type='ivshmem-plain'/></shmem>"),
    "the folder that it shares with its host: /var/lib/web.img": domain(
        "<filesystem type='mount'><source dir='/var/lib/web.img'/><target dir='d'/></filesystem>"
    ),
    "its memory device /var/lib/web.img": domain(
        "<memory model='nvdimm'><source><path>/var/lib/web.img</path></source></memory>"
    ),
    "it has an input device": domain("<input type='evdev'><source dev='/dev/input/1'/></input>"),
    "its serial device uses /dev/ttyS0": domain(
        "<serial type='dev'><source path='/dev/ttyS0'/></serial>"
    ),
    "its channel device uses /run/peer": domain(
        "<channel type='unix'><source mode='connect' path='/run/peer'/></channel>"
    ),
    "no secret 11111111": domain(
        disk(
            "<source protocol='rbd' name='vms/web'/>"
            "<auth username='web'><secret type='ceph' uuid='11111111'/></auth>",
            "network",
        )
    ),
    "QEMU arguments of its own": domain(
        more="<qemu:commandline><qemu:arg value='-s'/></qemu:commandline>"
    ),
    "larger than 256 KiB": domain(more=f"<description>{'x' * LARGEST_XML}</description>"),
}


LOCAL = "/var/lib/web.qcow2"


def read(xml: str) -> VmNeeds:
    disks = here()
    disks.places[LOCAL] = disks.places["/var/lib/other.img"] = Place.LOCAL
    disks.sizes[LOCAL] = 5 << 30
    disks.below[LOCAL] = ["/srv/nfs/base.qcow2"]
    return read_needs(xml, disks)


def test_disks_are_told_apart() -> None:
    needs = read(
        domain(
            file(SHARED)
            + file(LOCAL, driver="qcow2")
            + file("/srv/nfs/a.iso", "cdrom")
            + disk("<source dev='/dev/vg/web'/>", "block")
            + rbd()
        )
    )
    kinds = [str(one.kind) for one in needs.disks]
    assert kinds == ["shared", "remakeable", "read-only", "local", "shared"]
    made = needs.disks[1]
    assert (made.name, made.path, made.format) == ("vda", LOCAL, "qcow2")
    assert (made.size_bytes, made.image) == (5 << 30, "/srv/nfs/base.qcow2")
    assert made.obstacle == needs.obstacle == f"its disk {LOCAL} is on local storage"
    assert needs.rest == "its disk /dev/vg/web is on local storage"


@pytest.mark.parametrize(
    ("devices", "system", "rest"),
    [
        (file(LOCAL, driver="qcow2"), "", ""),
        (file(LOCAL), "", ""),
        (file(LOCAL) + file("/var/lib/other.img"), "", ""),
        (file(LOCAL, driver="vmdk"), "", "its disk"),
        (file(LOCAL, "cdrom"), "", "its CD image"),
        (file(LOCAL).replace("<target", "<backingStore/><target"), "", "its disk"),
        (file(LOCAL).replace("<target", "<encryption/><target"), "", "its disk"),
        (file(LOCAL).replace("<target", "<readonly/><target"), "", "its disk"),
        (file(LOCAL).replace(" dev='vda'", ""), "", "its disk"),
        (file("/gone/web.img"), "", "its disk /gone/web.img is missing"),
        (file(LOCAL) + "<tpm><backend type='emulator'/></tpm>", "", "the state of its virtual TPM"),
        ("", "<nvram template='/srv/nfs/VARS.fd'>/var/lib/nvram.fd</nvram>", ""),
        ("", "<nvram>/var/lib/nvram.fd</nvram>", "its UEFI variables"),
        ("", "<nvram template='/srv/nfs/VARS.fd'>/gone/web.img</nvram>", "its UEFI variables"),
    ],
)
def test_what_is_left_when_local_files_are_made_anew(devices: str, system: str, rest: str) -> None:
    needs = read(domain(devices, system=system))
    assert needs.obstacle
    assert needs.rest.startswith(rest)
    assert bool(needs.rest) is bool(rest)


def test_uefi_variables_are_made_from_their_template() -> None:
    system = "<nvram template='/srv/nfs/VARS.fd'>/var/lib/nvram.fd</nvram>"
    [nvram] = read(domain(system=system)).disks
    assert (nvram.name, nvram.image, nvram.format) == ("nvram", "/srv/nfs/VARS.fd", "")


@pytest.mark.parametrize("what", MOVABLE)
def test_what_another_host_could_start_has_no_obstacle(what: str) -> None:
    assert read_needs(MOVABLE[what], here()).obstacle == ""


@pytest.mark.parametrize("said", TIED)
def test_what_ties_a_vm_to_its_host_is_said(said: str) -> None:
    assert said in read_needs(TIED[said], here()).obstacle


@pytest.mark.parametrize("said", TIED)
def test_an_obstacle_is_found_behind_what_is_none(said: str) -> None:
    """The first disk being movable says nothing of the second."""
    xml = TIED[said].replace("<emulator>", f"{file(SHARED)}{rbd()}<emulator>", 1)
    assert said in read_needs(xml, here()).obstacle


def test_needs_are_read_whole() -> None:
    needs = read_needs(
        domain(
            nic("bridge", "<source bridge='br1'/>")
            + nic("bridge", "<source bridge='br0'/>")
            + nic("bridge", "<source bridge='br1'/>")
            + nic("network", "<source network='blue'/>")
        ),
        here(),
    )
    assert needs == VmNeeds(
        memory_mib=2_048,
        vcpus=4,
        bridges=("br0", "br1"),
        networks=("blue",),
        machine="pc-q35-7.2",
        cpu=CpuNeeds(kind="kvm", arch="x86_64"),
    )


@pytest.mark.parametrize(
    ("memory", "mib"),
    [
        ("<memory>1048576</memory>", 1_024),
        ("<memory unit='GiB'>3</memory>", 3_072),
        ("<memory unit='MB'>1000</memory>", 954),
        ("<memory unit='bytes'>1073741824</memory>", 1_024),
        ("", 0),
    ],
)
def test_memory_has_many_units(memory: str, mib: int) -> None:
    assert read_needs(f"<domain>{memory}</domain>", here()).memory_mib == mib


@pytest.mark.parametrize("text", ["", "<domain>", "<network/>", "web"])
def test_what_is_no_definition_is_said(text: str) -> None:
    with pytest.raises(NotXml, match="its definition is no"):
        read_needs(text, here())


NEEDS = VmNeeds(
    memory_mib=2_048,
    vcpus=4,
    bridges=("br0",),
    networks=("blue",),
    machine="pc-q35-7.2",
    cpu=CpuNeeds(kind="kvm", arch="x86_64"),
)
SIZE = HostSize(
    memory_mib=4_096, cpus=8, bridges=("br0", "br1"), networks=("blue",), machines=("pc-q35-7.2",)
)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (SIZE, ""),
        (HostSize(memory_mib=4_096, cpus=8, bridges=("br0",), networks=("blue",)), ""),
        (HostSize(memory_mib=4_096, cpus=8, networks=("blue",)), "no bridge br0 on this host"),
        (HostSize(memory_mib=4_096, cpus=8, bridges=("br0",)), "network blue does not run"),
        (
            HostSize(
                memory_mib=4_096, cpus=8, bridges=("br0",), networks=("blue",), machines=("pc",)
            ),
            "no machine type pc-q35-7.2",
        ),
        (
            HostSize(
                memory_mib=4_096,
                cpus=8,
                bridges=("br0",),
                networks=("blue",),
                processors=(HostCpu(kind="qemu", arch="x86_64"),),
            ),
            "this host has no hardware virtualization (KVM)",
        ),
        (
            HostSize(memory_mib=1_024, cpus=8, bridges=("br0",), networks=("blue",)),
            "needs 2048 MiB of memory; this host has 1024 for VMs",
        ),
    ],
)
def test_what_a_host_lacks_is_said(size: HostSize, said: str) -> None:
    found = misfit(NEEDS, size)
    assert said in found
    assert bool(found) is bool(said)


def test_what_ties_it_to_its_host_comes_before_what_a_host_lacks() -> None:
    tied = read_needs(domain(file("/var/lib/web.img")), here())
    assert misfit(tied, HostSize(memory_mib=1, cpus=1)) == tied.obstacle
