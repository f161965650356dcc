"""Every sensor, and the fake, keeps the contract of its port."""

import asyncio
import os
import pkgutil
from pathlib import Path

import pytest

from holdfast.adapters import sensors
from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.sensors.guarded_processes import GuardedProcesses
from holdfast.adapters.sensors.guest_agent import GuestAgent
from holdfast.adapters.sensors.kernel_log import KernelLog
from holdfast.adapters.sensors.libvirt_events import LibvirtEvents
from holdfast.adapters.sensors.links import Links
from holdfast.adapters.sensors.open_vswitch import OpenVswitch
from holdfast.adapters.sensors.qemu_processes import QemuProcesses
from holdfast.adapters.sensors.vcpus import Vcpus
from holdfast.adapters.sensors.vswitch_flows import VswitchFlows
from holdfast.adapters.simulated.sensor import SensorInMemory
from holdfast.facts.guards import ProcessGuard
from holdfast.facts.instants import Instant
from holdfast.facts.observations import UnknownSeen
from holdfast.facts.subjects import Incarnation
from holdfast.ports.sensor import Sensor
from tests.adapters import test_hardware_menders, test_hardware_sensors
from tests.adapters.contract_sensor import SensorContract
from tests.adapters.switch_stand_in import SwitchStandIn

NOWHERE = "qemu:///system?socket=/nowhere"


class TestSensorInMemory(SensorContract):
    def make(self) -> Sensor:
        self.sensor = SensorInMemory()
        return self.sensor

    async def see_something(self) -> None:
        self.sensor.give(UnknownSeen(at=Instant(1), what="odd"))

    def test_a_defect_ends_it_and_can_be_seen(self) -> None:
        self.make()
        self.sensor.defect = OSError("gone")
        with pytest.raises(OSError, match="gone"):
            asyncio.run(self.sensor.run(lambda _: None))


class TestLibvirtEvents(SensorContract):
    def make(self) -> Sensor:
        return LibvirtEvents(NOWHERE)

    async def see_something(self) -> None:
        """That there is no libvirt is something that it sees."""


class TestVcpus(SensorContract):
    def make(self) -> Sensor:
        life = Incarnation(vm="vm-1", boot="b", pid=os.getpid(), started_ticks=1)
        return Vcpus(lambda: [life], lambda _: [os.getpid()], lambda _: False)

    async def see_something(self) -> None:
        """It measures us: we run."""


class TestGuestAgent(SensorContract):
    def make(self) -> Sensor:
        life = Incarnation(vm="vm-1", boot="b", pid=1, started_ticks=1)
        self.sensor = GuestAgent(LibvirtClient(NOWHERE), lambda: {"vm-1": life})
        return self.sensor

    async def see_something(self) -> None:
        self.sensor.channel_changed("vm-1", connected=True)
        self.sensor.channel_changed("vm-1", connected=False)


class TestGuardedProcesses(SensorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.pid_file = tmp_path / "pid"

    def make(self) -> Sensor:
        guard = ProcessGuard(name="us", pid_file=str(self.pid_file))
        return GuardedProcesses([guard], self.pid_file.parent)

    async def see_something(self) -> None:
        self.pid_file.write_text(str(os.getpid()))


class TestQemuProcesses(SensorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> Sensor:
        return QemuProcesses("boot", self.folder, "threads", scans=False)


class TestKernelLog(SensorContract):
    @pytest.fixture(autouse=True)
    def _log(self) -> None:
        self.reads, self.writes = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)

    def make(self) -> Sensor:
        return KernelLog(lambda: os.dup(self.reads))


class TestLinks(SensorContract):
    def make(self) -> Sensor:
        return Links()

    async def see_something(self) -> None:
        """What is there at the beginning is said."""


class _OfSwitch(SensorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    async def see_something(self) -> None:
        async with SwitchStandIn(self.folder).serving():
            await asyncio.sleep(1.5)


class TestOpenVswitch(_OfSwitch):
    def make(self) -> Sensor:
        return OpenVswitch(self.folder / "db.sock")


class TestVswitchFlows(_OfSwitch):
    def make(self) -> Sensor:
        return VswitchFlows(lambda: ["br"], folder=self.folder)


def test_no_sensor_is_left_out() -> None:
    names = [*globals(), *dir(test_hardware_sensors), *dir(test_hardware_menders)]
    here = {name.removeprefix("Test") for name in names if name.startswith("Test")}
    plugins = {
        "".join(word.title() for word in one.name.split("_"))
        for one in pkgutil.iter_modules(sensors.__path__)
    }
    assert plugins <= here
