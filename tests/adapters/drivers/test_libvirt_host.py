"""What a host offers, and its definitions, as libvirt itself says: by its own test driver.

covers: H15
"""

from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.drivers.libvirt_calls import Calls
from holdfast.adapters.drivers.libvirt_host import machines, memory_for_vms
from holdfast.adapters.drivers.vm_needs import NotXml
from holdfast.facts.definitions import HostSize, VmDefinition

UUID = "5a1c7a5e-0000-4000-8000-000000000011"
CAPABILITIES = """<capabilities>
  <host><cpu><arch>x86_64</arch></cpu></host>
  <guest><os_type>hvm</os_type><arch name='i686'><machine>isapc</machine></arch></guest>
  <guest><os_type>hvm</os_type><arch name='x86_64'>
    <machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine><machine>pc-q35-7.1</machine>
    <domain type='kvm'><machine canonical='pc-q35-7.2'>q35</machine></domain>
  </arch></guest>
</capabilities>"""


def xml_of(disk: Path) -> str:
    return f"""<domain type='test'><name>web</name><uuid>{UUID}</uuid>
  <memory unit='MiB'>128</memory><vcpu>2</vcpu><os><type arch='i686'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='{disk}'/><target dev='vda'/></disk>
    <graphics type='vnc' port='5901' passwd='secret'/>
  </devices></domain>"""


@pytest.mark.parametrize(
    ("total_mib", "left_mib"), [(512, 256), (2_048, 1_536), (16_384, 14_746), (0, 0)]
)
def test_a_host_keeps_some_of_its_memory(total_mib: int, left_mib: int) -> None:
    assert memory_for_vms(total_mib) == left_mib


def test_machine_types_are_known_by_both_of_their_names() -> None:
    assert machines(CAPABILITIES) == ["pc", "pc-i440fx-7.2", "pc-q35-7.1", "pc-q35-7.2", "q35"]
    assert machines("<capabilities/>") == []


def test_a_definition_goes_to_another_libvirt_whole(tmp_path: Path) -> None:
    disk = tmp_path / "web.img"
    disk.touch()
    here, there = Calls("test:///default"), Calls("test:///default")
    here.define(xml_of(disk))
    told = msgspec.convert(here.definition(UUID, [str(tmp_path)]), VmDefinition)
    assert (told.vm, told.name) == (UUID, "web")
    assert (told.needs.memory_mib, told.needs.vcpus, told.needs.obstacle) == (128, 2, "")
    assert "passwd='secret'" in told.xml, "it would start with its screen open to all"
    assert there.judge(told.xml, [str(tmp_path)]) == ""
    assert there.judge(told.xml, []) == f"its disk {disk} is on local storage"
    there.define(told.xml)
    assert there.definition(UUID, [str(tmp_path)])["xml"] == told.xml
    assert there.domain(UUID)["state"] == "shut off"
    assert there.domain(UUID)["memory_mib"] == 128
    disk.unlink()
    assert "is missing on this host" in there.judge(told.xml, [str(tmp_path)])
    with pytest.raises(NotXml):
        there.judge("<domain", [])


def test_a_size_is_what_libvirt_says() -> None:
    size = msgspec.convert(Calls("test:///default").size(), HostSize)
    assert size.memory_mib > 0
    assert size.cpus > 0
    assert size.networks == ("default",)
