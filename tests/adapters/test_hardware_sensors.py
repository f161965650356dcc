"""The sensors of hardware keep the contract, and say what they lack."""

import asyncio
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.drivers.hardware_memory import HardwareMemory, Remembered
from holdfast.adapters.drivers.hardware_words import TRACED
from holdfast.adapters.drivers.pstore import CrashRecord
from holdfast.adapters.drivers.trace_instance import FOLDERS, NoTracing, TraceInstance
from holdfast.adapters.sensors.board import BoardAsked
from holdfast.adapters.sensors.crash_records import CrashRecords
from holdfast.adapters.sensors.disk_health import DiskHealthAsked
from holdfast.adapters.sensors.hardware_errors import HardwareErrors
from holdfast.adapters.sensors.hardware_list import HardwareList
from holdfast.adapters.sensors.raids import Raids
from holdfast.facts.hardware import (
    DiskHealth,
    HardwareListed,
    KernelCrashed,
    MachineCheck,
    MemoryFailure,
    Part,
    PartKind,
    RaidState,
    Reading,
)
from holdfast.facts.observations import Observation, UnknownSeen
from holdfast.facts.settings_hardware import Board, Hardware
from holdfast.ports.sensor import Sensor
from tests.adapters.contract_sensor import LIMIT_S, SensorContract, end
from tests.recordings.hardware_records import FOLDER, Record, read_records_of

CPU = Part(kind=PartKind.CPU, id="0", name="CPU 0")


def recorded(name: str, source: str) -> list[Record]:
    return [one for one in read_records_of(FOLDER / f"{name}.records") if one.source == source]


def crash(name: str, text: str, age_days: float) -> CrashRecord:
    written_utc_ms = round(time.time() * 1_000 - age_days * 86_400_000)
    return CrashRecord(name=name, text=text, written_utc_ms=written_utc_ms)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def trace_tree(root: Path) -> Path:
    """A stand-in for tracefs: the instance's files are there before it is made."""
    instance = root / "instances" / "holdfast"
    for event in TRACED:
        (instance / "events/ras" / event).mkdir(parents=True)
        (instance / "events/ras" / event / "enable").write_text("0")
    os.mkfifo(instance / "trace_pipe")
    return root


async def watch(
    sensor: Sensor, is_enough: Callable[[list[Observation]], bool]
) -> list[Observation]:
    seen: list[Observation] = []
    task = asyncio.create_task(sensor.run(seen.append))
    try:
        async with asyncio.timeout(LIMIT_S):
            while not is_enough(seen):
                assert not task.done()
                await asyncio.sleep(0.01)
    finally:
        await end(task)
    return seen


class TestHardwareErrors(SensorContract):
    @pytest.fixture(autouse=True)
    def _tree(self, tmp_path: Path) -> None:
        self.tree = trace_tree(tmp_path)
        self.interval = tmp_path / "check_interval"
        self.interval.write_text("300\n")

    def make(self) -> HardwareErrors:
        return HardwareErrors(
            lambda: TraceInstance("holdfast", TRACED, (self.tree,)),
            edac=self.tree,
            check_interval=self.interval,
        )

    async def see_something(self) -> None:
        self.say(recorded("memory_corrected", "trace")[0].text)

    def say(self, *lines: str) -> None:
        pipe = os.open(self.tree / "instances/holdfast/trace_pipe", os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, "".join(f"{line}\n" for line in lines).encode())
        os.close(pipe)

    def test_what_a_trace_event_tells_is_not_taken_from_the_log_too(self) -> None:
        async def story() -> None:
            sensor = self.make()
            records = read_records_of(FOLDER / "memory_poisoned.records")

            def is_enough(seen: list[Observation]) -> bool:
                if not seen and sensor.state.startswith("reads"):
                    for one in records:
                        if one.source == "log":
                            sensor.hear_line(one.text)
                    self.say(*(one.text for one in records if one.source == "trace"))
                return any(isinstance(one, MemoryFailure) for one in seen)

            seen = await watch(sensor, is_enough)
            assert len([one for one in seen if isinstance(one, MemoryFailure)]) == 1

        asyncio.run(story())

    def test_without_a_trace_the_log_is_enough(self) -> None:
        def no_tracing() -> TraceInstance:
            raise NoTracing("it is not mounted")

        async def story() -> None:
            sensor = HardwareErrors(no_tracing, check_interval=self.interval)

            def is_enough(seen: list[Observation]) -> bool:
                if not seen and sensor.state.startswith("reads"):
                    for one in recorded("memory_poisoned", "log"):
                        sensor.hear_line(one.text)
                return bool(seen)

            seen = await watch(sensor, is_enough)
            assert any(isinstance(one, MemoryFailure) for one in seen)
            assert "log only: it is not mounted" in sensor.state

        asyncio.run(story())

    def test_a_machine_check_of_nobody_is_told_and_loud(self) -> None:
        async def story() -> None:
            sensor = self.make()
            [line] = recorded("machine_check_of_an_unknown_kind", "trace")

            def is_enough(seen: list[Observation]) -> bool:
                if not seen and sensor.state.startswith("reads"):
                    self.say(line.text)
                return len(seen) >= 2

            seen = await watch(sensor, is_enough)
            assert [type(one) for one in seen[:2]] == [UnknownSeen, MachineCheck]

        asyncio.run(story())

    def test_a_storm_of_corrected_errors_is_not_told_one_by_one(self) -> None:
        """A fatal one in its midst is."""

        async def story() -> None:
            sensor = self.make()
            line = recorded("pcie_corrected", "trace")[0].text
            [fatal] = recorded("pcie_fatal", "trace")

            def is_enough(seen: list[Observation]) -> bool:
                if not seen and sensor.state.startswith("reads"):
                    self.say(*[line] * 200, fatal.text)
                return any(getattr(one, "severity", "") == "fatal" for one in seen)

            seen = await watch(sensor, is_enough)
            assert 20 <= len(seen) <= 62  # It may fall into three seconds.

        asyncio.run(story())

    def test_the_kernel_looks_each_half_minute_only_while_it_runs(self) -> None:
        async def story() -> None:
            task = asyncio.create_task(self.make().run(lambda _: None))
            await asyncio.sleep(0.05)
            assert self.interval.read_text() == "30"
            await end(task)
            assert self.interval.read_text() == "300"

        asyncio.run(story())


@pytest.mark.skipif(
    not any((one / "instances").is_dir() for one in FOLDERS), reason="no tracefs on this machine"
)
def test_a_real_trace_buffer_is_made_and_taken_away() -> None:
    trace = TraceInstance(f"holdfast-test-{os.getpid()}", TRACED)
    try:
        assert trace.on
        assert trace.lines() == []
        assert trace.lost() == 0
    finally:
        trace.close()
    assert not trace.folder.exists()


class TestDiskHealth(SensorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        [said, *_] = [one for one in recorded("nvme_warns", "smartctl") if one.about[0] == "nvme0"]
        (tmp_path / "said").write_text(said.text)
        self.program = script(tmp_path / "smartctl", f"cat {tmp_path}/said; exit 8")

    def make(self) -> DiskHealthAsked:
        return self.asking(self.program)

    def asking(self, program: str, one_disk_s: float = 5.0) -> DiskHealthAsked:
        return DiskHealthAsked(1.0, [program], lambda: {"nvme0": "NV001"}, one_disk_s)

    async def see_something(self) -> None:
        """It asks by itself."""

    def test_without_smartctl_it_says_so_and_stays(self) -> None:
        async def story() -> None:
            sensor = self.asking(str(self.folder / "none"))
            await watch(sensor, lambda _: "smartctl is not here" in sensor.state)

        asyncio.run(story())

    def test_a_disk_that_does_not_answer_is_given_up_and_the_next_is_asked(self) -> None:
        hangs = f"case $* in */dev/slow) sleep 60;; *) cat {self.folder}/said;; esac"
        program = script(self.folder / "hangs", hangs)

        async def story() -> None:
            disks = {"slow": "S1", "nvme0": "NV001"}
            sensor = DiskHealthAsked(1.0, [program], lambda: disks, 1.0)
            seen = await watch(sensor, lambda seen: any(isinstance(s, DiskHealth) for s in seen))
            assert isinstance(seen[0], DiskHealth)
            assert seen[0].name == "nvme0"

        asyncio.run(story())


class TestRaids(SensorContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "mdstat"
        self.path.write_text(recorded("raid_degraded_and_rebuilt", "mdstat")[0].text)

    def make(self) -> Raids:
        return Raids(self.path, period_s=0.1)

    async def see_something(self) -> None:
        """It looks by itself."""

    def test_a_raid_that_comes_later_is_found(self) -> None:
        text = self.path.read_text()
        self.path.unlink()

        async def story() -> None:
            sensor = self.make()

            def is_enough(seen: list[Observation]) -> bool:
                if sensor.state == "there is no software RAID" and not self.path.exists():
                    self.path.write_text(text)
                return any(isinstance(one, RaidState) for one in seen)

            await watch(sensor, is_enough)

        asyncio.run(story())


class TestBoard(SensorContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        (tmp_path / "said").write_text(recorded("board_fails_and_is_mended", "sdr")[0].text)
        log = f'echo "$*" >> {tmp_path}/asked'
        self.program = script(tmp_path / "ipmitool", f"{log}; cat {tmp_path}/said")

    def make(self) -> BoardAsked:
        return BoardAsked(self.over_lan(), [self.program], [])

    def over_lan(self) -> Hardware:
        secret = str(self.folder / "secret")
        return Hardware(
            board=Board.IPMI, address="10.0.0.9:9101", user="u", secret_file=secret, period_s=1
        )

    async def see_something(self) -> None:
        """It asks by itself."""

    def test_the_password_is_given_as_a_file(self) -> None:
        (self.folder / "secret").write_text("let-me-see")

        async def story() -> None:
            await watch(self.make(), lambda seen: any(isinstance(s, Reading) for s in seen))

        asyncio.run(story())
        asked = (self.folder / "asked").read_text().splitlines()[0]
        assert "let-me-see" not in asked
        assert asked.startswith("-I lanplus -C 3 -H 10.0.0.9 -p 9101 -U u -f ")

    @pytest.mark.parametrize(
        ("settings", "why"),
        [
            (Hardware(), "no IPMI device"),
            (Hardware(board=Board.NONE), "the settings say so"),
            (Hardware(board=Board.REDFISH, secret_file="/nowhere"), "its secret cannot be read"),
        ],
    )
    def test_what_it_lacks_is_said_and_it_stays(self, settings: Hardware, why: str) -> None:
        async def story() -> None:
            sensor = BoardAsked(settings, [self.program], [])
            await watch(sensor, lambda _: why in sensor.state)

        asyncio.run(story())

    def test_a_board_that_hangs_is_given_up(self) -> None:
        program = script(self.folder / "hangs", "sleep 60")

        async def story() -> None:
            sensor = BoardAsked(self.over_lan(), [program], [], limit_s=1.0)
            await watch(sensor, lambda _: "no answer within 1 s" in sensor.state)

        asyncio.run(story())


class TestHardwareList(SensorContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "hardware.json"

    def make(self) -> HardwareList:
        return HardwareList(HardwareMemory(self.path), 0.1, lambda: ((CPU,), 1_024))

    async def see_something(self) -> None:
        """It looks by itself."""

    def test_what_was_there_before_is_told_first(self) -> None:
        async def story() -> None:
            await watch(self.make(), lambda seen: bool(seen) and self.path.exists())
            gone = HardwareList(HardwareMemory(self.path), 0.1, lambda: ((), 1_024))
            before, now, *_ = await watch(gone, lambda seen: len(seen) >= 2)
            assert isinstance(before, HardwareListed)
            assert (before.is_of_before, before.parts) == (True, (CPU,))
            assert isinstance(now, HardwareListed)
            assert not now.parts

        asyncio.run(story())

    def test_a_damaged_file_is_begun_anew_and_said(self) -> None:
        self.path.write_text("{")
        memory = HardwareMemory(self.path)
        assert memory.known == Remembered()
        assert "begun anew" in memory.trouble

    def test_a_list_that_cannot_be_kept_is_told_all_the_same(self) -> None:
        async def story() -> None:
            memory = HardwareMemory(self.path / "no-folder" / "x")
            sensor = HardwareList(memory, 0.1, lambda: ((CPU,), 1))
            await watch(sensor, lambda seen: len(seen) >= 2 and "cannot be kept" in sensor.state)

        asyncio.run(story())


class TestCrashRecords(SensorContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "hardware.json"
        self.records = [
            crash("dmesg-erst-2", "Oops#1 Part2", age_days=1),
            crash("dmesg-erst-1", "Kernel panic - not syncing", age_days=1),
            crash("console-ramoops-0", "a console", age_days=0),
            crash("dmesg-erst-0", "Kernel panic of last year", age_days=300),
        ]

    def make(self) -> CrashRecords:
        return CrashRecords(HardwareMemory(self.path), lambda: self.records)

    async def see_something(self) -> None:
        """It looks by itself."""

    def test_a_crash_is_told_once_also_by_the_next_agent(self) -> None:
        async def story() -> None:
            seen = await watch(self.make(), lambda seen: bool(seen) and self.path.exists())
            [crash] = seen
            assert isinstance(crash, KernelCrashed)
            assert crash.record == "dmesg-erst-1"
            assert len(msgspec.json.decode(self.path.read_bytes())["crashes"]) == 3
            again = self.make()
            assert not await watch(again, lambda _: again.state == "3 crash records are here")

        asyncio.run(story())

    def test_what_is_old_when_it_is_first_seen_is_history(self) -> None:
        self.records = [crash("dmesg-erst-0", "Kernel panic of last year", age_days=300)]

        async def story() -> None:
            assert not await watch(self.make(), lambda _: self.path.exists())

        asyncio.run(story())
