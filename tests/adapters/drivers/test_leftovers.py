"""What is left of a VM is found by looking: processes, also such as are ending, and disks."""

import fcntl
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.adapters.drivers import leftovers, qemu_proc
from holdfast.adapters.drivers.leftovers import StillThere, look, read_own_cgroup
from tests.adapters.qemu_stand_in import qemu


def look_for(vm: str, pid: int = 0, ticks: int = 0, disks: tuple[Path, ...] = ()) -> list[str]:
    return look(vm, pid, ticks, "", [str(disk) for disk in disks], [])


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
    assert "nobody uses its disks (1 looked at)" in look_for("vm", disks=(disk, missing))
    with disk.open("r+b") as file:
        lock = struct.pack("@hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 103, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        with pytest.raises(StillThere, match=str(disk)):
            look_for("vm", disks=(disk,))


def test_what_was_not_there_to_be_looked_at_is_said() -> None:
    shown = look_for("vm")
    assert "it had no cgroup of its own" in shown
    assert "it has no local disks" in shown
    assert "it had no taps that we know of" in shown


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
    roots = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")]
    root = next((root for root in roots if (root / "cgroup.procs").exists()), None)
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no writable cgroup hierarchy here")
    name = f"/qemu-{os.getpid()}-test"
    folder = Path(f"{root}{name}")
    folder.mkdir()
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        assert "its cgroup is empty" in look("vm", 0, 0, name, [], [])
        (folder / "cgroup.procs").write_text(str(sleeper.pid))
        with pytest.raises(StillThere, match="cgroup"):
            look("vm", 0, 0, name, [], [])
    finally:
        sleeper.kill()
        sleeper.wait()
        folder.rmdir()
