"""A lab comes up in seconds, loses power like real hosts do, and leaves no trace."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.lab.commands import LabError
from holdfast.lab.hosts import DISK_FOLDER, STATE_FOLDER, Lab
from holdfast.lab.namespaces import find_marked_processes, read_start_ticks
from holdfast.lab.problem_makers.host_power_cut import cut_power
from holdfast.lab.problem_makers.libvirtd_frozen import freeze_libvirtd, thaw_libvirtd
from holdfast.lab.problem_makers.libvirtd_killed import (
    LIBVIRTD_PID_FILE,
    kill_libvirtd,
    restart_libvirtd,
)

pytestmark = pytest.mark.lab
NAME = f"hosts-{os.getpid()}"
LIBVIRT = ["virsh", "--connect", "qemu:///system", "version"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab.up(2, name=NAME)
    yield made
    made.down()


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while read_start_ticks(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    return read_start_ticks(pid) is None


def list_machine_traces() -> tuple[list[str], list[str]]:
    """The machine's own mounts and network devices, which no lab may touch."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(mounts), sorted(path.name for path in Path("/sys/class/net").iterdir())


def test_a_lab_leaves_no_trace() -> None:
    name = f"trace-{os.getpid()}"
    before = list_machine_traces()
    lab = Lab.up(3, name=name)
    try:
        assert [status.is_powered_on for status in lab.status()] == [True] * 3
        assert list_machine_traces() == before
        pids = [host.pid1 for host in lab.hosts]
        pids += [host.read_pid(LIBVIRTD_PID_FILE) for host in lab.hosts]
        assert (DISK_FOLDER / f"holdfast-lab-{name}").is_dir()
    finally:
        lab.down()
    assert all(is_gone(pid) for pid in pids)
    assert find_marked_processes(name) == []
    assert not (STATE_FOLDER / name).exists()
    assert not (DISK_FOLDER / f"holdfast-lab-{name}").exists()
    assert name not in Lab.list_names()
    assert list_machine_traces() == before


def test_a_lab_whose_maker_crashed_is_found_and_taken_away() -> None:
    name = f"crash-{os.getpid()}"
    lab = Lab.up(1, name=name)
    pid1 = lab.hosts[0].pid1
    # As after a crash between the start of a host and its record.
    (STATE_FOLDER / name / "h1.pid").unlink()
    (STATE_FOLDER / name / "wire.pid").unlink()
    (STATE_FOLDER / name / "lab.json").unlink()
    assert name in Lab.list_names()
    Lab.take_down(name)
    assert is_gone(pid1)
    assert name not in Lab.list_names()
    assert not (DISK_FOLDER / f"holdfast-lab-{name}").exists()


def test_a_start_that_fails_takes_itself_away(tmp_path: Path) -> None:
    name = f"fails-{os.getpid()}"
    disks = tmp_path / "disks"
    lab = Lab.up(1, name=name, disks=disks)
    lab.hosts[0].power_cut()
    # A host that finds no folder to mount cannot boot.
    (disks / "h1/var/lib/holdfast").rmdir()
    (disks / "h1/var/lib/holdfast").write_text("not a folder")
    with pytest.raises(LabError, match="did not start"):
        lab.hosts[0].power_on()
    lab.down()
    assert find_marked_processes(name) == []
    assert not disks.exists()


def test_two_labs_of_one_name_are_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match=f"is up: `holdfast lab down --name {NAME}` takes"):
        Lab.up(1, name=NAME)
    assert all(host.is_powered_on for host in lab.hosts)


def test_hosts_see_themselves_and_reach_each_other(lab: Lab) -> None:
    first, second = lab.hosts
    assert first.run(["hostname"]).stdout.strip() == "h1"
    assert first.run(["sh", "-c", "echo $$ > /run/mine; ls /run"]).stdout.split().count("mine") == 1
    assert "mine" not in second.run(["ls", "/run"]).stdout
    listed = second.run(["virsh", "--connect", f"qemu+tcp://{first.address}/system", "hostname"])
    assert listed.stdout.strip() == "h1"


def test_a_command_dies_with_the_process_that_waits_for_it(lab: Lab) -> None:
    host = lab.hosts[0]
    process = host.popen(["sh", "-c", "echo $$ > /run/sleeper; exec sleep 600"])
    deadline = time.monotonic() + 10
    while not host.path("/run/sleeper").exists() or not host.path("/run/sleeper").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    sleeper = host.read_pid("/run/sleeper")
    process.kill()
    process.wait()
    assert is_gone(sleeper)


def test_a_command_that_overruns_is_ended_and_named(lab: Lab) -> None:
    with pytest.raises(LabError, match=r"`sleep 60` ran over 0\.2 s"):
        lab.hosts[0].run(["sleep", "60"], timeout_s=0.2)


def test_a_power_cut_kills_everything_at_once_and_empties_run(lab: Lab) -> None:
    host = lab.hosts[1]
    host.run(["mkdir", "/run/holdfast"])
    host.path("/run/holdfast/boot").write_text("a word")
    host.path("/var/lib/holdfast/kept").write_text("on disk")
    pids = [host.pid1, host.read_pid(LIBVIRTD_PID_FILE), host.read_pid("/run/virtlogd.pid")]
    stray = host.popen(["sleep", "600"])
    cut_power(host)
    assert not host.is_powered_on
    assert all(read_start_ticks(pid) is None for pid in pids)
    assert stray.wait(timeout=10) != 0
    with pytest.raises(LabError, match="has no power"):
        host.run(["true"])
    host.power_on()
    assert not host.path("/run/holdfast").exists()
    assert host.path("/var/lib/holdfast/kept").read_text() == "on disk"
    host.run(LIBVIRT)


def test_libvirtd_is_killed_frozen_and_restarted_without_the_host(lab: Lab) -> None:
    host = lab.hosts[0]
    pid1 = host.pid1
    kill_libvirtd(host)
    assert host.run(LIBVIRT, check=False).returncode != 0
    host.start_libvirtd()
    host.run(LIBVIRT)

    freeze_libvirtd(host)
    with pytest.raises(LabError, match="ran over"):
        host.run(LIBVIRT, timeout_s=1)
    thaw_libvirtd(host)
    host.run(LIBVIRT)

    before = host.read_pid(LIBVIRTD_PID_FILE)
    restart_libvirtd(host)
    assert host.read_pid(LIBVIRTD_PID_FILE) != before
    assert host.pid1 == pid1


def test_no_lab_process_is_left_without_a_mark(lab: Lab) -> None:
    """`holdfast lab down --all` finds leftovers by the mark, even those that lost their record."""
    marked = {holder.pid for holder in find_marked_processes(NAME)}
    for host in lab.hosts:
        assert host.pid1 in marked
        assert host.read_pid(LIBVIRTD_PID_FILE) in marked


def test_a_name_that_is_no_lab_name_is_refused() -> None:
    with pytest.raises(LabError, match="lower-case"):
        Lab.up(1, name="../etc")


def test_finding_a_lab_from_another_process(lab: Lab) -> None:
    words = f"from holdfast.lab.hosts import Lab; print(Lab.find({NAME!r}).host('h2').pid1)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.stdout.strip() == str(lab.host("h2").pid1), done.stderr
    with pytest.raises(LabError, match="it has h1, h2"):
        lab.host("h9")


def test_the_lab_tests_of_a_file_share_a_worker(request: pytest.FixtureRequest) -> None:
    """Else each worker would make the file's lab anew, and all would break hosts at once."""
    is_alone = "PYTEST_XDIST_WORKER" not in os.environ
    assert is_alone or request.node.nodeid.endswith("@test_lab_hosts")
