"""A real QEMU's vCPUs are measured: halted, spinning, frozen by a signal."""

import asyncio
import os
import signal
import time
from contextlib import suppress

import pytest

from holdfast.adapters.drivers import qemu_proc
from holdfast.adapters.sensors.vcpus import Vcpus
from holdfast.facts.observations import Observation, VcpusMeasured
from holdfast.facts.subjects import Incarnation
from tests.adapters.qemu_stand_in import QemuStandIn, qemu

LIMIT_S = 10.0


def life_of(vm: QemuStandIn) -> Incarnation:
    ticks = qemu_proc.read_ticks(vm.pid)
    assert ticks is not None
    return Incarnation(vm=vm.vm, boot="boot", pid=vm.pid, started_ticks=ticks)


def measure(life: Incarnation, threads: list[int], *, is_paused: bool = False) -> VcpusMeasured:
    seen: list[Observation] = []

    async def story() -> None:
        sensor = Vcpus(lambda: [life], lambda _: threads, lambda _: is_paused)
        task = asyncio.create_task(sensor.run(seen.append))
        deadline = time.monotonic() + LIMIT_S
        while not seen:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert isinstance(seen[0], VcpusMeasured)
    return seen[0]


def vcpus_of(vm: QemuStandIn) -> list[int]:
    return [tid for tid, name in vm.threads().items() if qemu_proc.is_vcpu(name)]


def is_frozen(pid: int, tid: int) -> bool:
    stat = qemu_proc.read_bytes(f"/proc/{pid}/task/{tid}/stat")
    return stat.rpartition(b")")[2].split()[0] == b"T"


def wait_settled(pid: int, tids: list[int]) -> None:
    """A new thread has some turns of its own before it waits for its first guest code."""
    last, since = b"", time.monotonic()
    deadline = since + 20
    while time.monotonic() - since < 1.0:
        assert time.monotonic() < deadline, "the threads of a halted QEMU do not come to rest"
        turns = b"".join(qemu_proc.read_bytes(f"/proc/{pid}/task/{t}/schedstat") for t in tids)
        if turns != last:
            last, since = turns, time.monotonic()
        time.sleep(0.05)


@pytest.mark.slow
def test_vcpus_that_never_ran_have_no_turns() -> None:
    with qemu("halted", vcpus=2) as vm:
        wait_settled(life_of(vm).pid, vcpus_of(vm))
        found = measure(life_of(vm), vcpus_of(vm), is_paused=True)
    assert (found.vcpus, found.turns, found.ran_ms) == (2, 0, 0.0)
    assert 900 < found.window_ms < 5_000
    assert found.is_paused
    assert not found.is_stopped


@pytest.mark.slow
def test_a_thread_that_spins_is_told_from_one_that_waits() -> None:
    """What is measured is the kernel's account, so that any busy thread serves."""
    pid = os.fork()
    if pid == 0:
        while True:
            pass
    try:
        life = Incarnation(vm="spins", boot="boot", pid=pid, started_ticks=0)
        found = measure(life, [pid])
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert found.ran_ms + found.waited_ms > 0.9 * found.window_ms
    assert found.ran_ms > 0


@pytest.mark.slow
def test_a_qemu_frozen_by_a_signal_is_named() -> None:
    with qemu("frozen", vcpus=1) as vm:
        vm.kill(signal.SIGSTOP)
        deadline = time.monotonic() + LIMIT_S
        while not all(is_frozen(vm.pid, tid) for tid in vm.threads()):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        found = measure(life_of(vm), vcpus_of(vm))
        vm.kill(signal.SIGCONT)
    assert found.is_stopped
    assert found.turns == 0
