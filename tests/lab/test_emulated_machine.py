"""An emulated host boots, is saved, goes on from there, and its hardware breaks for its kernel."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.lab.commands import LabError
from holdfast.lab.emulated import memory
from holdfast.lab.emulated.image import HostImage, build_host_image
from holdfast.lab.emulated.machine import Machine
from holdfast.lab.hosts import Lab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]
LAB = f"emulated-{os.getpid()}"
LIMIT_S = 30.0
BAD_ADDRESS = 0x1800_0000


@pytest.fixture(scope="module")
def image() -> HostImage:
    return build_host_image()


@pytest.fixture(scope="module")
def saved(image: HostImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("emulated") / "memory"
    with Machine(image, LAB) as machine:
        machine.channel.run(["sh", "-c", "echo before > /run/mark"])
        memory.watch_closely(machine)
        machine.save(path)
        machine.channel.run(["sh", "-c", "echo after > /run/mark"])
    yield path
    path.unlink()
    Lab.take_down(LAB)


@pytest.fixture
def machine(image: HostImage, saved: Path) -> Iterator[Machine]:
    with Machine(image, LAB, snapshot=saved) as machine:
        yield machine


def wait_kernel(machine: Machine, words: str) -> str:
    deadline, said = time.monotonic() + LIMIT_S, ""
    while time.monotonic() < deadline:
        said = machine.channel.run(["dmesg"]).out
        if words in said:
            return said
        time.sleep(0.2)
    raise AssertionError(f"the machine's kernel did not say {words!r}: {said[-2_000:]}")


def test_it_goes_on_from_where_it_was_saved_with_the_right_time(machine: Machine) -> None:
    assert machine.channel.run(["cat", "/run/mark"]).out == "before\n"
    assert abs(float(machine.channel.run(["date", "+%s.%N"]).out) - time.time()) < 5


def test_what_it_writes_is_not_on_the_disk(image: HostImage, machine: Machine) -> None:
    before = image.disk.stat().st_mtime_ns
    machine.channel.run(["sh", "-c", "echo x > /etc/written; sync"])
    assert image.disk.stat().st_mtime_ns == before


def test_a_command_that_fails_says_why(machine: Machine) -> None:
    with pytest.raises(LabError, match="No such file"):
        machine.channel.run(["cat", "/nowhere"])
    with pytest.raises(LabError, match="TimeoutExpired"):
        machine.channel.run(["sleep", "30"], limit_s=1)


def test_a_corrected_error_is_heard_by_its_kernel(machine: Machine) -> None:
    memory.correct_error(machine, BAD_ADDRESS)
    wait_kernel(machine, "Machine check events logged")


def test_poisoned_memory_is_taken_out_of_use(machine: Machine) -> None:
    memory.poison(machine, BAD_ADDRESS)
    said = wait_kernel(machine, "recovery action for")
    assert f"Memory failure: {BAD_ADDRESS >> 12:#x}" in said


def test_nothing_is_left_of_it(image: HostImage, saved: Path) -> None:
    with Machine(image, LAB, snapshot=saved) as machine:
        folder, pid = machine.folder, machine.pid
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
