"""Real QEMU processes come, are killed, crash and end; the sensor says so at the first sign."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from holdfast.adapters.drivers import pidfds
from holdfast.adapters.drivers.process_connector import ConnectorAway, ProcessConnector
from holdfast.adapters.drivers.qemu_proc import choose_permanent
from holdfast.adapters.sensors.qemu_processes import TICK_S, Choice, QemuProcesses
from holdfast.facts.observations import (
    CoreDumpBegan,
    Observation,
    QemuProcessGone,
    QemuThreadEnded,
    VmAppeared,
)
from tests.adapters.qemu_stand_in import QemuStandIn, qemu

LIMIT_S = 10.0
OF_A_LIFE = (VmAppeared, QemuThreadEnded, QemuProcessGone, CoreDumpBegan)
Seen = TypeVar("Seen", bound=Observation)
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


class Eyes:
    """A sensor at work, and what it saw."""

    def __init__(self, run_dir: Path, mechanism: Choice, tick_s: float) -> None:
        self.seen: list[Observation] = []
        self.sensor = QemuProcesses("boot", run_dir, mechanism, scans=False, tick_s=tick_s)

    async def wait_for(self, kind: type[Seen], vm: str) -> Seen:
        deadline = time.monotonic() + LIMIT_S
        while True:
            for seen in self.of(vm):
                if isinstance(seen, kind):
                    return seen
            assert time.monotonic() < deadline, f"no {kind} in {self.seen}"
            await asyncio.sleep(0.005)

    def of(self, vm: str) -> list[Observation]:
        return [
            seen for seen in self.seen if isinstance(seen, OF_A_LIFE) and seen.incarnation.vm == vm
        ]


@asynccontextmanager
async def looking(
    run_dir: Path, mechanism: Choice = "auto", tick_s: float = TICK_S
) -> AsyncIterator[Eyes]:
    eyes = Eyes(run_dir, mechanism, tick_s)
    task = asyncio.create_task(eyes.sensor.run(eyes.seen.append))
    try:
        yield eyes
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        eyes.sensor.close()


def has_connector() -> bool:
    try:
        ProcessConnector().close()
    except ConnectorAway:
        return False
    return True


needs_threads = pytest.mark.skipif(
    not pidfds.probe_status(), reason="this kernel tells no exit status of threads (Linux 6.15)"
)
needs_connector = pytest.mark.skipif(
    not has_connector(), reason="the process connector speaks to root of the first host only"
)
MECHANISMS = [
    pytest.param("threads", marks=needs_threads),
    pytest.param("connector", marks=needs_connector),
    "process",
]


@pytest.fixture
def vm(tmp_path: Path) -> Iterator[QemuStandIn]:
    with qemu("web", tmp_path) as made:
        yield made


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_killed_vm_is_told_with_its_signal(
    vm: QemuStandIn, tmp_path: Path, mechanism: Choice
) -> None:
    async def story() -> None:
        async with looking(tmp_path, mechanism) as eyes:
            appeared = await eyes.wait_for(VmAppeared, vm.vm)
            assert appeared.found
            assert (appeared.name, appeared.incarnation.pid) == ("web", vm.pid)
            assert eyes.sensor.watched_by(vm.vm) == mechanism
            assert eyes.sensor.runs(vm.vm) == appeared.incarnation
            vm.kill()
            gone = await eyes.wait_for(QemuProcessGone, vm.vm)
            signs = [s for s in eyes.of(vm.vm) if isinstance(s, QemuThreadEnded)]
            if mechanism == "process":
                assert signs == []
            else:
                assert {s.status for s in signs} == {signal.SIGKILL}
                assert eyes.seen.index(signs[0]) < eyes.seen.index(gone)
                assert gone.status == signal.SIGKILL
            assert eyes.sensor.runs(vm.vm) is None
            assert eyes.sensor.watched_by(vm.vm) == ""

    asyncio.run(story())


@pytest.mark.parametrize("mechanism", MECHANISMS[:2])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGSEGV, signal.SIGSEGV), (signal.SIGTERM, 0)]
)
def test_a_crash_is_told_from_a_clean_end(
    vm: QemuStandIn, tmp_path: Path, mechanism: Choice, number: int, status: int
) -> None:
    async def story() -> None:
        async with looking(tmp_path, mechanism) as eyes:
            await eyes.wait_for(VmAppeared, vm.vm)
            vm.kill(number)
            await eyes.wait_for(QemuProcessGone, vm.vm)
            signs = [s.status for s in eyes.of(vm.vm) if isinstance(s, QemuThreadEnded)]
            assert signs
            assert {(s or 0) & 0x7F for s in signs} == {status}

    asyncio.run(story())


def test_a_vm_that_starts_later_is_found_without_a_hint_and_watched_whole(tmp_path: Path) -> None:
    async def story() -> None:
        async with looking(tmp_path, "threads" if pidfds.probe_status() else "auto") as eyes:
            await asyncio.sleep(0.2)
            with qemu("late", tmp_path, vcpus=4) as vm:
                appeared = await eyes.wait_for(VmAppeared, vm.vm)
                assert not appeared.found
                await asyncio.sleep(0.5)  # Its threads come one after the other.
                vm.kill()
                sign = await eyes.wait_for(QemuThreadEnded, vm.vm)
                assert sign.status == signal.SIGKILL

    asyncio.run(story())


def test_other_processes_with_pid_files_are_no_vms(tmp_path: Path) -> None:
    (tmp_path / "driver.pid").write_text(f"{os.getpid()}\n")
    (tmp_path / "gone.pid").write_text("999999999\n")
    (tmp_path / "empty.pid").write_text("")

    async def story() -> None:
        async with looking(tmp_path) as eyes:
            await asyncio.sleep(0.3)
            assert eyes.seen == []

    asyncio.run(story())


def test_what_died_between_the_look_and_the_run_is_told(vm: QemuStandIn, tmp_path: Path) -> None:
    """The agent looks first, reads its memory, and only then begins to listen."""
    seen: list[Observation] = []

    async def story() -> None:
        sensor = QemuProcesses("boot", tmp_path, scans=False)
        sensor.look(seen.append)
        vm.kill()
        vm.reap()
        task = asyncio.create_task(sensor.run(seen.append))
        deadline = time.monotonic() + LIMIT_S
        while not any(isinstance(s, QemuProcessGone) for s in seen):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        sensor.close()

    asyncio.run(story())
    assert isinstance(seen[0], VmAppeared)


@needs_threads
def test_fds_are_few_and_given_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with looking(tmp_path, "threads") as eyes:
            before = len(os.listdir("/proc/self/fd"))
            with qemu("wide", tmp_path, vcpus=16) as vm:
                await eyes.wait_for(VmAppeared, vm.vm)
                await asyncio.sleep(0.3)
                # One for the pipe of the stand-in, which is none of the sensor's.
                assert 4 <= len(os.listdir("/proc/self/fd")) - before <= 9
                vm.kill()
                await eyes.wait_for(QemuProcessGone, vm.vm)
            assert len(os.listdir("/proc/self/fd")) <= before

    asyncio.run(story())


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", [*MECHANISMS, "auto"])
def test_a_core_dump_is_told_while_it_is_written(tmp_path: Path, mechanism: Choice) -> None:
    """For as long as that takes no thread ends."""
    if "/" in CORE_PATTERN.read_text() or CORE_PATTERN.read_text().startswith("|"):
        pytest.skip("cores do not go into the process's own folder here")

    async def story() -> None:
        with qemu("big", tmp_path, memory_mib=768, core_dir=tmp_path) as vm:
            async with looking(tmp_path, mechanism, tick_s=0.02) as eyes:
                await eyes.wait_for(VmAppeared, vm.vm)
                vm.kill(signal.SIGSEGV)
                began = await eyes.wait_for(CoreDumpBegan, vm.vm)
                gone = await eyes.wait_for(QemuProcessGone, vm.vm)
                signs = [s for s in eyes.of(vm.vm) if isinstance(s, QemuThreadEnded)]
                assert eyes.seen.index(began) < eyes.seen.index(gone)
                assert all(began.at < sign.at for sign in signs)

    asyncio.run(story())


def test_permanent_threads_of_every_kind_are_chosen() -> None:
    names = {10: "qemu-system-x86", 11: "call_rcu", 12: "IO mon_iothread", 13: "worker"}
    names |= {20 + n: f"CPU {n}/KVM" for n in range(16)} | {
        50: "IO iothread1",
        60: "live_migration",
    }
    chosen = choose_permanent(names, 10, 6)
    assert len(chosen) == 6
    assert {10, 11, 12, 20, 35} <= set(chosen)
    assert not {13, 60} & set(chosen)


def test_unnamed_threads_are_chosen_by_age() -> None:
    names = dict.fromkeys(range(10, 30), "qemu-system-x86")
    assert choose_permanent(names, 10, 7)[:3] == [10, 11, 12]
