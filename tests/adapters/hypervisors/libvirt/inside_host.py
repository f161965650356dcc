"""Run inside a lab host by test_libvirt.py: the contract, and what only a real QEMU can show."""

import asyncio
import fcntl
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.adapters.drivers import qemu_proc
from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.hypervisors.libvirt import Libvirt
from holdfast.facts.subjects import Incarnation
from holdfast.ports.hypervisor import CallFailed, Hypervisor
from tests.adapters.contract_hypervisor import BOOT, HypervisorContract

URI = "qemu:///system"
NAME, UUID = "web", "5a1c7a5e-0000-4000-8000-000000000001"
DISK = Path("/var/lib/libvirt/holdfast-test.raw")
XML = f"""<domain type='qemu'>
  <name>{NAME}</name><uuid>{UUID}</uuid>
  <memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <on_crash>destroy</on_crash>
  <devices>
    <video><model type='vga'/></video>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{DISK}'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='ethernet'><target dev='tap-test'/><model type='virtio'/></interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <controller type='usb' model='none'/><memballoon model='none'/>
  </devices>
</domain>"""
LIMIT_S = 10.0


def virsh(*words: str) -> str:
    argv = ["virsh", "--quiet", "--connect", URI, *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout.strip()


@contextmanager
def another_user(disk: Path) -> Iterator[None]:
    """Somebody else has the disk open, as QEMU would."""
    with disk.open("r+b") as file:
        lock = struct.pack("@hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 201, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        yield


def wait_state(state: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while virsh("domstate", NAME) != state:
        assert time.monotonic() < deadline, f"libvirt never says {state}"
        time.sleep(0.02)


class TestLibvirt(HypervisorContract):
    vm, vm_name = UUID, NAME

    @pytest.fixture(autouse=True)
    def _defined(self, tmp_path: Path) -> Iterator[None]:
        DISK.write_bytes(bytes(1 << 20))
        definition = tmp_path / "web.xml"
        definition.write_text(XML)
        virsh("define", str(definition))
        yield
        virsh("destroy", NAME)
        virsh("undefine", NAME, "--managed-save")
        DISK.unlink()

    def make(self) -> Hypervisor:
        return Libvirt(LibvirtClient(URI), BOOT)

    def kill(self, life: Incarnation) -> None:
        os.kill(life.pid, signal.SIGKILL)
        wait_state("shut off")

    def test_what_only_the_running_vm_had_is_looked_at_after_its_end(self) -> None:
        async def story(hypervisor: Hypervisor) -> tuple[str, ...]:
            await hypervisor.domains()
            life = await hypervisor.start(self.vm)
            assert "tap-test" in os.listdir("/sys/class/net")
            self.kill(life)
            return (await hypervisor.prove_gone(life, NAME)).shown

        shown = self.play(story)
        assert "its taps are free" in shown
        assert "nobody uses its disks (1 looked at)" in shown
        assert "it had no cgroup of its own" in shown

    def test_a_host_with_the_same_disks_could_run_it(self) -> None:
        """Its machine type too is one that this QEMU says that it has."""

        async def story(hypervisor: Hypervisor) -> tuple[str, str]:
            told = await hypervisor.definition(self.vm)
            size = await hypervisor.size()
            assert told.needs.machine in size.machines
            shared = Libvirt(LibvirtClient(URI), BOOT, shared_paths=(str(DISK.parent),))
            try:
                return told.needs.obstacle, await shared.judge(told)
            finally:
                await shared.close()

        assert self.play(story) == (f"its disk {DISK} is on local storage", "")

    def test_a_disk_that_somebody_uses_refuses_the_proof(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            await hypervisor.domains()
            life = await hypervisor.start(self.vm)
            self.kill(life)
            with another_user(DISK), pytest.raises(CallFailed, match=str(DISK)):
                await hypervisor.prove_gone(life, NAME)
            with another_user(DISK):
                copy = await hypervisor.prove_gone(life, NAME, is_copy=True)
            assert copy.is_of_copy, "it permits no start"
            assert not (await hypervisor.prove_gone(life, NAME)).is_of_copy

        self.play(story)

    def test_qemu_itself_is_seen_to_use_its_disk(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            life = await hypervisor.start(self.vm)
            await hypervisor.domains()
            never = Incarnation(vm="another", boot=BOOT, pid=life.pid, started_ticks=1)
            assert isinstance(hypervisor, Libvirt)
            hypervisor._disks["another"] = {str(DISK)}
            with pytest.raises(CallFailed, match="still in use"):
                await hypervisor.prove_gone(never, "another")
            await hypervisor.end(life)

        self.play(story)

    def test_a_frozen_qemu_is_ended_by_the_kernel(self) -> None:
        async def story(hypervisor: Hypervisor) -> float:
            life = await hypervisor.start(self.vm)
            os.kill(life.pid, signal.SIGSTOP)
            began = time.monotonic()
            await hypervisor.end(life)
            assert qemu_proc.find_all(self.vm) == []
            return time.monotonic() - began

        assert self.play(story) < 9, "libvirt alone takes ten seconds and more"

    def test_an_end_that_a_frozen_libvirt_did_not_see_never_hits_the_next_life(self) -> None:
        """Nothing may be queued in libvirt that names the VM: it would run late."""

        async def story(hypervisor: Hypervisor) -> None:
            life = await hypervisor.start(self.vm)
            os.kill(life.pid, signal.SIGSTOP)  # As slow to end as it can be.
            libvirtd = int(Path("/run/libvirtd.pid").read_text())
            os.kill(libvirtd, signal.SIGSTOP)
            try:
                await hypervisor.end(life)
                assert qemu_proc.find_all(self.vm) == []
            finally:
                os.kill(libvirtd, signal.SIGCONT)
            wait_state("shut off")
            newer = await hypervisor.start(self.vm)
            await asyncio.sleep(2)
            assert qemu_proc.find_all(self.vm) == [newer.pid]
            await hypervisor.end(newer)

        self.play(story)

    def test_who_was_away_still_looks_at_the_disks_and_says_what_it_does_not_know(self) -> None:
        async def story(hypervisor: Hypervisor) -> tuple[str, ...]:
            before = Incarnation(vm=self.vm, boot="boot-0", pid=1, started_ticks=1)
            with another_user(DISK), pytest.raises(CallFailed, match=str(DISK)):
                await hypervisor.prove_gone(before, NAME)
            return (await hypervisor.prove_gone(before, NAME)).shown

        shown = self.play(story)
        assert "nobody uses its disks (1 looked at)" in shown
        assert any(text.startswith("its cgroup is not known") for text in shown)
        assert "its taps are not known (the agent did not see it run)" in shown

    def test_a_saved_state_is_not_what_a_failed_vm_starts_from(self) -> None:
        async def story(hypervisor: Hypervisor) -> None:
            await hypervisor.start(self.vm)
            virsh("managedsave", NAME)
            assert (await hypervisor.domain(self.vm)).has_managed_save
            life = await hypervisor.start(self.vm)
            assert not (await hypervisor.domain(self.vm)).has_managed_save
            await hypervisor.end(life)

        self.play(story)


def test_a_start_that_libvirt_refuses_says_why() -> None:
    async def story() -> str:
        hypervisor = Libvirt(LibvirtClient("qemu:///system?socket=/nowhere"), BOOT)
        try:
            with pytest.raises(CallFailed) as failure:
                await hypervisor.start(UUID)
            return str(failure.value)
        finally:
            await hypervisor.close()

    assert "/nowhere" in asyncio.run(story())
