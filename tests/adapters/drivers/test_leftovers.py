"""What is left of a VM is found by looking: processes, also such as are ending, and disks."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.adapters.drivers import leftovers, qemu_proc
from holdfast.adapters.drivers.leftovers import StillThere, look, read_own_cgroup
from tests.adapters.qemu_stand_in import qemu


def look_for(
    vm: str, pid: int = 0, ticks: int = 0, disks: tuple[Path | str, ...] = ()
) -> list[str]:
    return look(vm, "web", pid, ticks, "", [str(disk) for disk in disks], [])


@contextmanager
def cgroup(place: str) -> Iterator[Path]:
    """A cgroup as libvirt makes one, of this place below the root."""
    roots = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")]
    root = next((root for root in roots if (root / "cgroup.procs").exists()), None)
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no writable cgroup hierarchy here")
    folder = root / place
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        for one in made:
            one.rmdir()


@contextmanager
def sleeper() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_a_vm_is_gone_only_when_no_process_runs_it() -> None:
    with qemu("web") as vm:
        ticks = qemu_proc.read_ticks(vm.pid)
        assert ticks is not None
        with pytest.raises(StillThere, match=f"process {vm.pid} is not gone"):
            look_for(vm.vm, vm.pid, ticks)
        with pytest.raises(StillThere, match=f"process {vm.pid} runs it"):
            look_for(vm.vm, 1, 1)
        vm.kill()
        os.waitid(os.P_PID, vm.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{vm.pid}").exists(), "dead, and nobody has reaped it"
        assert "no process with its uuid" in look_for(vm.vm, vm.pid, ticks)


def test_a_process_whose_first_thread_ended_still_counts() -> None:
    """Its command line is empty then, as it is while a big memory is freed."""
    program = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print(flush=True)\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"
    )
    uuid = "5a1c7a5e-0000-4000-8000-00000000000f"
    argv = ["qemu-like", "-c", program, "-uuid", uuid]
    with subprocess.Popen(argv, executable=sys.executable, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            deadline = time.monotonic() + 10
            while qemu_proc.read_state(process.pid) != "Z":
                assert time.monotonic() < deadline
                time.sleep(0.001)
            assert qemu_proc.read_bytes(f"/proc/{process.pid}/cmdline") == b""
            with pytest.raises(StillThere, match=f"process {process.pid} runs it"):
                look_for(uuid)
            ticks = qemu_proc.read_ticks(process.pid)
            assert ticks is not None
            with pytest.raises(StillThere, match="is not gone yet"):
                look_for("another", process.pid, ticks)
        finally:
            process.send_signal(signal.SIGKILL)


def test_a_disk_in_use_is_named(tmp_path: Path) -> None:
    disk, missing = tmp_path / "disk.raw", tmp_path / "missing.raw"
    disk.write_bytes(bytes(4_096))
    shown = look_for("vm", disks=(disk, missing))
    assert "nobody uses its disks (1 looked at)" in shown
    assert f"disks that do not exist: {missing}" in shown
    with disk.open("r+b") as file:
        lock = struct.pack("@hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 103, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        with pytest.raises(StillThere, match=str(disk)):
            look_for("vm", disks=(disk,))


def test_a_disk_that_cannot_be_looked_at_refuses(tmp_path: Path) -> None:
    """Root may open all files, so here a loop of links and a file for a folder stand for EIO."""
    loop, file = tmp_path / "loop", tmp_path / "file"
    loop.symlink_to(loop)
    file.touch()
    for disk in (loop, file / "disk"):
        with pytest.raises(StillThere, match=f"could not be looked at: {disk}"):
            look_for("vm", disks=(disk,))


def test_network_disks_are_named_and_no_one_says_they_are_free(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.touch()
    shown = look_for("vm", disks=("rbd:pool/image", disk))
    assert "network disks, not looked at: rbd:pool/image" in shown
    assert "nobody uses its disks (1 looked at)" in shown
    assert not any("looked at)" in text for text in look_for("vm", disks=("nbd:export",)))


def test_a_life_of_an_earlier_boot_is_not_taken_for_who_has_its_pid_now() -> None:
    assert "no process with its uuid" in look_for("vm", 0, qemu_proc.read_ticks(os.getpid()) or 0)


def test_none_and_unknown_are_told_apart() -> None:
    none = look("vm", "web", 0, 0, "", [], [])
    assert none == [
        "no process with its uuid",
        "it had no cgroup of its own",
        "it has no disks that it writes",
        "it had no taps",
    ]
    unknown = look("vm", "web", 0, 0, None, None, None)
    assert unknown[0] == none[0]
    assert all("not known" in text for text in unknown[1:])


def test_what_a_process_had_that_is_gone_is_unknown() -> None:
    with sleeper() as pid:
        assert (leftovers.read_own_cgroup(pid), leftovers.read_taps(pid)) == ("", [])
    assert (leftovers.read_own_cgroup(pid), leftovers.read_taps(pid)) == (None, None)


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        ("<disk type='file'><source file='/d.raw'/></disk>", ["/d.raw"]),
        ("<disk type='block'><source dev='/dev/vg/d'/></disk>", ["/dev/vg/d"]),
        ("<disk type='network'><source protocol='rbd' name='p/i'/></disk>", ["rbd:p/i"]),
        ("<disk type='network'><source protocol='nfs' name='/d'/></disk>", ["nfs:/d"]),
        ("<disk type='volume'><source pool='p' volume='v'/></disk>", ["volume:p/v"]),
        ("<disk type='file' device='cdrom'/>", []),
        ("<disk type='file'><source file='/shared'/><shareable/></disk>", []),
    ],
)
def test_a_disk_of_the_network_is_told_from_a_path(text: str, disk: list[str]) -> None:
    libvirt_calls = pytest.importorskip("holdfast.adapters.drivers.libvirt_calls")
    root = ET.fromstring(f"<domain><devices>{text}</devices></domain>")
    assert libvirt_calls._disks(root) == disk


@pytest.mark.parametrize(
    ("line", "own"),
    [
        (
            "0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator",
            "/machine.slice/machine-qemu\\x2d1\\x2dweb.scope",
        ),
        ("3:cpuset:/machine/qemu-1-web.libvirt-qemu/emulator", "/machine/qemu-1-web.libvirt-qemu"),
        ("0::/system.slice/libvirtd.service", ""),
        ("0::/", ""),
    ],
)
def test_a_cgroup_of_its_own_is_told_from_a_shared_one(line: str, own: str) -> None:
    match = leftovers._OWN_CGROUP.match(line.partition(":")[2].partition(":")[2])
    assert (match.group(0) if match else "") == own


def test_this_process_has_no_cgroup_of_a_vm() -> None:
    assert read_own_cgroup(os.getpid()) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="making a cgroup needs root")
def test_a_cgroup_with_a_process_refuses() -> None:
    name = f"/qemu-{os.getpid()}-test"
    with cgroup(name[1:]) as folder, sleeper() as pid:
        assert "its cgroup is empty" in look("vm", "web", 0, 0, name, [], [])
        (folder / "cgroup.procs").write_text(str(pid))
        with pytest.raises(StillThere, match="cgroup"):
            look("vm", "web", 0, 0, name, [], [])
        (folder.parent / "cgroup.procs").write_text(str(pid))


@pytest.mark.skipif(os.geteuid() != 0, reason="making a cgroup needs root")
@pytest.mark.parametrize(
    "place",
    [
        "machine/qemu-7-a-b{pid}.libvirt-qemu/emulator",
        "machine.slice/machine-qemu\\x2d7\\x2da\\x2db{pid}.scope/libvirt",
    ],
)
def test_a_cgroup_that_nobody_saw_is_found_by_the_name(place: str) -> None:
    name = f"a-b{os.getpid()}"
    with cgroup(place.format(pid=os.getpid())) as folder, qemu("other") as other:
        with sleeper() as pid:
            (folder / "cgroup.procs").write_text(str(pid))
            with pytest.raises(StillThere, match="a cgroup of its name"):
                look("vm", name, 0, 0, None, [], [])
            look("vm", f"b{os.getpid()}", 0, 0, None, [], [])
            look("vm", "web", 0, 0, None, [], [])
        other_vm = look("vm", name, 0, 0, None, [], [])
        (folder / "cgroup.procs").write_text(str(other.pid))
        assert look("vm", name, 0, 0, None, [], []) == other_vm, "it is of another VM"
        (folder.parents[1] / "cgroup.procs").write_text(str(other.pid))
