"""Every mender of hardware keeps the contract of its port, and spares whom it must.

covers: H1
"""

import asyncio
import os
import struct
from pathlib import Path
from typing import ClassVar

import pytest

from holdfast.adapters.drivers.hardware_repairs import HWPOISON, Repairs
from holdfast.adapters.drivers.part_holders import cpu_holder, device_holder
from holdfast.adapters.drivers.qemu_proc import QemuProcess
from holdfast.adapters.menders.cpu import Cpu
from holdfast.adapters.menders.memory_page import MemoryPage
from holdfast.adapters.menders.pci_device import PciDevice
from holdfast.adapters.menders.raid import Raid
from holdfast.adapters.sensors.repaired_parts import RepairedParts
from holdfast.facts.hardware import (
    MEMORY,
    ONE_CPU,
    PAGE,
    PROCESSORS,
    CpuOffline,
    PageRetired,
    Part,
    PartKind,
    PcieAnswers,
    part_subject,
)
from holdfast.facts.observations import Observation
from holdfast.facts.subjects import Subject
from holdfast.ports.mender import Mender, MendFailed
from tests.adapters.contract_mender import MenderContract, asked
from tests.adapters.contract_sensor import SensorContract
from tests.agent.scene import wait_for

DEVICE = "0000:02:00.0"
RAID = "md0 : active raid1 sdb1[1](F) {spare}sda1[0]\n      31744 blocks [2/1] [U_]\n{more}"
REBUILDS = "      [=>..]  recovery = 11.1% (3584/31744) finish=0.2min\n"
WELL = '{"smart_status": {"passed": true}}'
ILL = '{"smart_status": {"passed": false}}'


NEVER = "nothing was repaired yet"


def subject(kind: PartKind, id: str) -> Subject:
    return part_subject(Part(kind=kind, id=id, name=id))


class HardwareHost:
    @pytest.fixture(autouse=True)
    def _host(self, tmp_path: Path) -> None:
        """A host in a folder."""
        self.folder, sys, proc = tmp_path, tmp_path / "sys", tmp_path / "proc"
        self.device = sys / "devices/pci0000:00" / DEVICE
        for folder in ("devices/system/memory", "devices/system/cpu/cpu3", "bus/pci/devices"):
            (sys / folder).mkdir(parents=True)
        (sys / "class/block/sdb/sdb1").mkdir(parents=True)
        (sys / "class/block/sdb/sdb1/partition").write_text("1")
        (sys / "class/block/sdb1").symlink_to(sys / "class/block/sdb/sdb1")
        self.device.mkdir(parents=True)
        (sys / "bus/pci/devices" / DEVICE).symlink_to(self.device)
        (self.device / "reset").write_text("")
        (self.device / "config").write_bytes(b"\x86\x80\x10\x20")
        (sys / "devices/system/cpu/cpu3/online").write_text("1\n")
        (sys / "devices/system/memory/soft_offline_page").write_text("")
        (proc / "net").mkdir(parents=True)
        (proc / "net/route").write_text("Iface\tDestination\neth0\t00000000\n")
        (proc / "kpageflags").write_bytes(bytes(24) + struct.pack("=Q", HWPOISON) + bytes(32))
        (tmp_path / "mdstat").write_text(RAID.format(spare="", more=REBUILDS))
        self.mdadm = tmp_path / "mdadm.said"
        self.program("mdadm", f'echo "$@" >> {self.mdadm}')
        self.program("smartctl", f"echo '{WELL}'")
        self.repairs = Repairs(
            sys=sys, proc=proc, mdadm=str(tmp_path / "mdadm"), mdstat=tmp_path / "mdstat"
        )

    def program(self, name: str, does: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (self.folder / name).chmod(0o755)

    def raid(self, spare: str = "", more: str = "") -> None:
        (self.folder / "mdstat").write_text(RAID.format(spare=spare, more=more))


class HardwareContract(HardwareHost, MenderContract):
    def refused(self, *args: str) -> str:
        with pytest.raises(MendFailed) as caught:
            asyncio.run(self.make().mend(self.asked(args, limit_ms=4_000)))
        return str(caught.value)

    def works(self) -> tuple[str, ...]:
        return ()


class TestMemoryPage(HardwareContract):
    subject = part_subject(MEMORY)
    evidence: ClassVar[dict[str, str]] = {PAGE: "0x3"}

    def make(self) -> Mender:
        return MemoryPage(self.repairs)

    def cannot(self) -> tuple[str, ...]:
        (self.folder / "proc/kpageflags").unlink()
        return ()

    def hangs(self) -> tuple[str, ...]:
        (self.folder / "proc/kpageflags").write_bytes(bytes(64))
        told = self.folder / "sys/devices/system/memory/soft_offline_page"
        told.unlink()
        os.mkfifo(told)
        return ()

    def test_without_a_page_nothing_is_tried(self) -> None:
        with pytest.raises(MendFailed, match="no page is known"):
            asyncio.run(self.make().mend(asked((), subject=self.subject)))


class TestRaid(HardwareContract):
    subject = subject(PartKind.ARRAY, "md0")

    def make(self) -> Mender:
        return Raid(self.repairs, [str(self.folder / "smartctl")])

    def works(self) -> tuple[str, ...]:
        return ("put-back",)

    def cannot(self) -> tuple[str, ...]:
        (self.folder / "mdstat").write_text("")
        return ("put-back",)

    def hangs(self) -> tuple[str, ...]:
        self.raid()
        self.program("smartctl", "sleep 60")
        return ("put-back",)

    def test_what_rebuilds_by_itself_is_left_alone(self) -> None:
        self.test_it_says_what_it_did()
        assert not self.mdadm.exists()

    def test_a_member_whose_disk_is_well_is_put_back(self) -> None:
        self.raid()
        rebuilds = self.folder / "rebuilds"
        rebuilds.write_text(RAID.format(spare="", more=REBUILDS))
        self.program("mdadm", f"cp {rebuilds} {self.folder}/mdstat")
        said = asyncio.run(self.make().mend(self.asked(("put-back",))))
        assert said == "md0 rebuilds onto sdb1"

    @pytest.mark.parametrize(
        ("says", "why"),
        [
            (f"echo '{ILL}'", "its disk sdb is not well: it says that it fails"),
            ("echo nothing", "nobody can say whether its disk sdb is well"),
        ],
    )
    def test_a_member_that_is_ill_or_silent_is_not(self, says: str, why: str) -> None:
        self.raid()
        self.program("smartctl", says)
        assert why in self.refused("put-back")
        assert not self.mdadm.exists()

    def test_a_spare_has_its_turn_first(self) -> None:
        self.raid(spare="sdc1[2](S) ")
        assert "the kernel puts that in first" in self.refused("put-back")
        assert "does not rebuild onto sdc1" in self.refused("spare")
        self.raid()
        assert self.refused("spare") == "md0 has no spare"
        assert not self.mdadm.exists()


class TestPciDevice(HardwareContract):
    subject = subject(PartKind.PCI, DEVICE)

    def make(self) -> Mender:
        return PciDevice(self.repairs)

    def works(self) -> tuple[str, ...]:
        return ("reset",)

    def cannot(self) -> tuple[str, ...]:
        (self.device / "reset").unlink()
        return ("reset",)

    def hangs(self) -> tuple[str, ...]:
        (self.device / "reset").unlink()
        os.mkfifo(self.device / "reset")
        return ("reset",)

    def behind(self, path: str, kind: str) -> None:
        (self.device / path).mkdir(parents=True)
        (self.device / path / "subsystem").symlink_to(f"../../class/{kind}")

    def spared(self) -> str:
        said = self.refused("reset")
        assert self.refused("rescan") == said
        assert (self.device / "reset").read_text() == ""
        assert not (self.device / "remove").exists()
        return said.removeprefix(f"{DEVICE} is left to a person: ")

    def test_one_that_a_vm_was_given_is_spared(self) -> None:
        (self.device / "driver").symlink_to("../drivers/vfio-pci")
        assert self.spared() == f"{DEVICE} is given to a VM (driver vfio-pci)"

    def test_one_whose_function_a_vm_was_given_is_spared(self) -> None:
        function = self.device.with_name("0000:02:10.0")
        function.mkdir()
        (function / "driver").symlink_to("../drivers/vfio-pci")
        (self.device / "virtfn0").symlink_to(function)
        assert self.spared() == "its function 0000:02:10.0 is given to a VM"

    def test_one_behind_it_is_seen_too(self) -> None:
        (self.device / "0000:03:00.0").mkdir()
        (self.device / "0000:03:00.0/driver").symlink_to("../drivers/vfio-pci")
        assert self.spared() == "0000:03:00.0 is given to a VM (driver vfio-pci)"

    def test_one_that_holds_a_disk_is_spared(self) -> None:
        self.behind("ata1/host0/block/sda", "block")
        assert self.spared() == "it holds the disk sda"

    def test_an_nvme_disk_is_spared(self) -> None:
        self.behind("nvme/nvme0", "nvme")
        assert self.spared() == "it holds the disk nvme0"

    def test_one_over_which_the_host_is_reached_is_spared(self) -> None:
        self.behind("net/eth0", "net")
        assert self.spared() == "eth0 carries an address of the host (eth0)"

    def test_one_below_a_bond_is_spared(self) -> None:
        self.behind("net/eth1", "net")
        for port, above in (("eth1", "bond0"), ("bond0", "eth0")):
            (self.repairs.sys / "class/net" / port).mkdir(parents=True)
            (self.repairs.sys / "class/net" / port / f"upper_{above}").write_text("")
        assert self.spared() == "eth1 carries an address of the host (eth0)"

    def test_one_in_a_switch_is_spared(self) -> None:
        self.behind("net/eth1", "net")
        (self.repairs.sys / "class/net/eth1").mkdir(parents=True)
        (self.repairs.sys / "class/net/eth1/upper_ovs-system").write_text("")
        assert "eth1 is in a virtual switch" in self.spared()

    def test_a_port_without_an_address_is_nobodys(self) -> None:
        self.behind("net/eth1", "net")
        assert device_holder(DEVICE, self.repairs.sys, self.repairs.proc) == ""

    def test_what_cannot_be_read_is_a_reason(self) -> None:
        (self.repairs.proc / "net/route").unlink()
        assert "cannot be read" in self.spared()

    def test_its_driver_begins_anew(self) -> None:
        """It gave the device up when that failed. The kernel's part is played."""
        driver = self.folder / "driver"
        driver.mkdir()
        (self.device / "driver").symlink_to(driver)
        failed = self.refused("reset")
        assert failed == f"its driver does not let go of {DEVICE}"
        assert (driver / "unbind").read_text() == DEVICE


class TestCpu(HardwareContract):
    subject = part_subject(PROCESSORS)
    evidence: ClassVar[dict[str, str]] = {ONE_CPU: "3"}

    def make(self) -> Mender:
        return Cpu(self.repairs)

    def cannot(self) -> tuple[str, ...]:
        self._online().unlink()
        return ()

    def hangs(self) -> tuple[str, ...]:
        self._online().unlink()
        os.mkfifo(self._online())
        return ()

    def test_of_several_none_is_taken(self) -> None:
        with pytest.raises(MendFailed, match="not known that one CPU alone errs"):
            asyncio.run(self.make().mend(asked((), subject=self.subject)))

    @pytest.mark.parametrize(
        ("allowed", "why"),
        [
            ("Cpus_allowed_list:\t3\n", "VM web may run on CPU 3 only"),
            ("Cpus_allowed_list:\t3,5\n", ""),
            ("Cpus_allowed_list:\t30\n", ""),
            ("Name:\tCPU 0/KVM\n", "VM web may run on CPU 3 only"),
        ],
    )
    def test_where_a_vm_may_run_counts(self, allowed: str, why: str) -> None:
        task = self.repairs.proc / "77/task/78"
        task.mkdir(parents=True)
        (task / "status").write_text(allowed)
        vms = [QemuProcess(vm="u", name="web", pid=77, started_ticks=1)]
        vms += [QemuProcess(vm="v", name="ended", pid=99, started_ticks=1)]
        assert cpu_holder(3, self.repairs.proc, iter(vms)) == why

    def _online(self) -> Path:
        return self.repairs.sys / "devices/system/cpu/cpu3/online"


class TestRepairedParts(HardwareHost, SensorContract):
    """What is told after a repair, on the same host in a folder."""

    def make(self) -> RepairedParts:
        self.sensor = RepairedParts(self.repairs)
        return self.sensor

    async def see_something(self) -> None:
        self.sensor.look_again(part_subject(MEMORY), {PAGE: "0x3"})

    def look(self, part: Subject, evidence: dict[str, str]) -> list[Observation]:
        async def story() -> list[Observation]:
            seen: list[Observation] = []
            sensor = self.make()
            sensor.look_again(part, evidence)
            run = asyncio.create_task(sensor.run(seen.append))
            await wait_for(lambda: sensor.state != NEVER, "a look")
            run.cancel()
            return seen

        return asyncio.run(story())

    def test_a_page_that_is_out_of_use(self) -> None:
        [seen] = self.look(part_subject(MEMORY), {PAGE: "0x3"})
        assert isinstance(seen, PageRetired)
        assert seen.page == "0x3"
        assert self.look(part_subject(MEMORY), {PAGE: "0x2"}) == []
        (self.repairs.proc / "kpageflags").unlink()
        assert self.look(part_subject(MEMORY), {PAGE: "0x3"}) == []

    def test_a_device_that_answers_and_has_a_driver(self) -> None:
        device = subject(PartKind.PCI, DEVICE)
        assert self.look(device, {}) == []
        (self.device / "driver").mkdir()
        [seen] = self.look(device, {})
        assert isinstance(seen, PcieAnswers)
        (self.device / "config").write_bytes(b"\xff\xff\xff\xff")
        assert self.look(device, {}) == []

    def test_a_cpu_that_is_offline(self) -> None:
        assert self.look(part_subject(PROCESSORS), {ONE_CPU: "3"}) == []
        (self.repairs.sys / "devices/system/cpu/cpu3/online").write_text("0\n")
        [seen] = self.look(part_subject(PROCESSORS), {ONE_CPU: "3"})
        assert isinstance(seen, CpuOffline)
