"""Last words: what is kept, what is missing and why, within which time, and why the VM died."""

import asyncio
import os
import socket
import stat
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.adapters.archives.local_disk import LocalDisk
from holdfast.adapters.sensors.kernel_log import KernelLog, has_initial_pids
from holdfast.agent.last_words import LastWords, began_at, of_this_life
from holdfast.agent.recorder import Recorder
from holdfast.agent.screens import png_of_ppm
from holdfast.facts.actions import CaptureLastWords
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.last_words import Bundle
from holdfast.facts.observations import AgentSilent, LibvirtGone, LifecycleSeen, Observation
from holdfast.facts.outcomes import LastWordsCaptured, LastWordsFailed
from holdfast.facts.promises import Owner
from holdfast.facts.subjects import Incarnation
from holdfast.ports.hypervisor import CallFailed, CallOverran, Domain

PPM = b"P6\n# by QEMU\n2 2\n255\n" + bytes(range(12))
QEMU_LOG = (
    "2026-01-01 00:00:00.000+0000: starting up libvirt version: 9.0.0\nold life\n"
    "2026-01-02 00:00:00.000+0000: starting up libvirt version: 9.0.0\n"
    "qemu: terminating on signal 15 from pid 77\n"
)


MACHINE_CHECK = "Memory failure: 0x1: Killing qemu-kvm:4242 due to hardware memory corruption"


class Libvirt:
    """A hypervisor that answers after a while, or refuses."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.refusal = ""
        self.dumped = b"memory"
        self.files_when_dumping: list[str] = []

    async def domain(self, vm: str, limit_ms: int = 0) -> Domain:
        await self._answer(vm, limit_ms)
        return Domain(vm=vm, name="web-1", state="shut off", reason="failed", is_persistent=True)

    async def screenshot(self, vm: str, path: str, limit_ms: int = 0) -> str:
        Path(path).write_bytes(PPM)
        await self._answer(vm, limit_ms)
        return "image/x-portable-pixmap"

    async def dump(self, vm: str, path: str, limit_ms: int = 0) -> None:
        self.files_when_dumping = sorted(p.name for p in Path(path).parent.iterdir())
        Path(path).write_bytes(self.dumped)
        await self._answer(vm, limit_ms)

    async def _answer(self, vm: str, limit_ms: int) -> None:
        assert vm.startswith("vm-")
        assert limit_ms > 0, "every call has a limit"
        await asyncio.sleep(self.delay_s)
        if self.refusal:
            raise CallFailed(self.refusal)


class Scene:
    """A VM that was just killed, with all that it can leave behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kernel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.kernel_log = KernelLog(theirs.detach)
        self.kernel_log.read_new()
        self.libvirt = Libvirt()
        self.observations: list[Observation] = []
        self.archive = LocalDisk(folder / "archive")
        self.recorder = Recorder(folder / "rings", "b", list)
        self.recorder.note("vm-1", "lifecycle", "stopped: failed")
        (folder / "console.log").write_text("login:\nKernel panic - not syncing\n")
        (folder / "web-1.log").write_text(QEMU_LOG)
        self.life = Incarnation(vm="vm-1", boot="b", pid=4_242, started_ticks=1)
        self.domain: Domain | None = Domain(
            vm="vm-1",
            name="web-1",
            state="running",
            reason="booted",
            is_persistent=True,
            console_log=str(folder / "console.log"),
        )
        self.incident = Incident(
            id="web-1-3f2a",
            vm="vm-1",
            name="web-1",
            life=self.life,
            group="default",
            owner=Owner.HOLDFAST,
            state=IncidentState.OPEN,
            title="web-1 was killed",
            fault_at=Instant(time.monotonic_ns()),
            detected_at=Instant(time.monotonic_ns()),
            cause="killed by SIGKILL",
        )

    def capture(self, **wishes: Any) -> LastWordsCaptured | LastWordsFailed:
        asked = CaptureLastWords(
            incident="web-1-3f2a", life=self.life, name="web-1", budget_ms=1_500
        )
        asked = msgspec.structs.replace(asked, **wishes)
        last_words = LastWords(
            archive=self.archive,
            recorder=self.recorder,
            hypervisor=self.libvirt,
            kernel_log=self.kernel_log,
            domain=lambda _: self.domain,
            incident=lambda _: self.incident,
            host_name="host-a",
            boot="b",
            qemu_logs=self.folder,
            observations=lambda: self.observations,
        )
        return asyncio.run(last_words.capture(asked))

    def captured(self, **wishes: bool | int) -> tuple[Path, Bundle, LastWordsCaptured]:
        outcome = self.capture(**wishes)
        assert isinstance(outcome, LastWordsCaptured), outcome
        folder, bundle = self.archive.bundles("vm-1")[0]
        assert outcome.bundle == folder.name
        return folder, bundle, outcome

    def close(self) -> None:
        self.kernel.close()
        self.kernel_log.close()
        self.recorder.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()


def test_everything_that_is_there_is_kept(scene: Scene) -> None:
    folder, bundle, outcome = scene.captured(screenshot=True)
    assert sorted(bundle.files) == [
        "console.txt",
        "libvirt.json",
        "qemu.log",
        "recorder.jsonl",
        "screen.png",
    ]
    assert bundle.missing == {}
    assert outcome.missing == ()
    assert (folder / "console.txt").read_text().endswith("Kernel panic - not syncing\n")
    assert "old life" not in (folder / "qemu.log").read_text()
    assert b"shut off" in (folder / "libvirt.json").read_bytes()
    assert [(note.kind, note.text.split("\n")[0]) for note in bundle.notes] == [
        ("lifecycle", "stopped: failed"),
        ("console", "login:"),
    ]
    assert bundle.title == "web-1 was killed"
    assert 0 <= bundle.captured_utc_ms - bundle.fault_utc_ms < 60_000
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_the_sensors_told_of_it_is_kept(scene: Scene) -> None:
    at = scene.incident.fault_at
    other = msgspec.structs.replace(scene.life, vm="vm-2")
    scene.observations = [
        LifecycleSeen(at=Instant(at - 200 * NS_PER_S), vm="vm-1", event="old", detail=""),
        AgentSilent(at=at, incarnation=scene.life),
        AgentSilent(at=at, incarnation=other),
        LifecycleSeen(at=at, vm="vm-1", event="stopped", detail="failed"),
        LibvirtGone(at=at, reason="away"),
    ]
    folder, _, _ = scene.captured()
    lines = (folder / "observations.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["is"] for line in lines] == ["AgentSilent", "LifecycleSeen"]


def test_what_is_not_there_is_named_with_its_reason(scene: Scene) -> None:
    scene.domain = None
    (scene.folder / "web-1.log").unlink()
    scene.libvirt.refusal = "libvirt does not know it"
    scene.kernel_log.close()
    scene.kernel_log = KernelLog(lambda: os.open("/not/there", os.O_RDONLY))
    scene.life = msgspec.structs.replace(scene.life, vm="vm-2")
    assert isinstance(outcome := scene.capture(screenshot=True), LastWordsCaptured)
    assert list(outcome.missing) == [
        "QEMU's log: No such file or directory",
        "console: the VM has no console log (a <log file=.../> of its serial console)",
        "kernel's log: No such file or directory",
        "libvirt's state: libvirt does not know it",
        "recorder: nothing was recorded of it",
        "screenshot: libvirt does not know it",
    ]
    assert outcome.cause == "killed by SIGKILL", "an unread log is no witness"


def test_a_frozen_libvirt_costs_no_more_than_the_budget(scene: Scene) -> None:
    scene.libvirt.delay_s = 60
    began = time.monotonic()
    _, bundle, _ = scene.captured(screenshot=True, budget_ms=1_000)
    assert time.monotonic() - began < 10
    assert bundle.missing.keys() == {"libvirt's state", "screenshot"}
    assert "could not be had within" in bundle.missing["screenshot"]
    assert "console.txt" in bundle.files
    assert "screen" not in bundle.files


def test_a_dump_is_announced_and_the_bundle_is_whole_before_it(scene: Scene) -> None:
    _, bundle, outcome = scene.captured(dump=True)
    assert "bundle.json" in scene.libvirt.files_when_dumping
    assert bundle.files["memory.dump"] == 6
    assert outcome.missing == ()
    said = [kept.text for kept in scene.recorder.since("vm-1", Instant(0)) if hasattr(kept, "text")]
    assert said[1:] == ["a memory dump begins", "the memory dump is done"]


def test_a_dump_that_overruns_leaves_its_reason_and_no_half_file(scene: Scene) -> None:
    class Slow(Libvirt):
        async def dump(self, vm: str, path: str, limit_ms: int = 0) -> None:
            Path(path).write_bytes(b"half")
            raise CallOverran(f"{vm}: no answer within {limit_ms} ms")

    scene.libvirt = Slow()
    folder, bundle, _ = scene.captured(dump=True)
    assert bundle.missing == {"memory.dump": "vm-1: no answer within 60000 ms"}
    assert not (folder / "memory.dump").exists()


def test_it_never_raises(scene: Scene) -> None:
    class Broken(LocalDisk):
        def open_bundle(self, vm: str, incident: str) -> Path:
            raise OSError(28, "No space left on device", f"{vm}/{incident}")

    scene.archive = Broken(scene.folder / "broken")
    outcome = scene.capture()
    assert isinstance(outcome, LastWordsFailed)
    assert "No space left" in outcome.reason


@pytest.mark.slow
def test_a_disk_that_hangs_does_not_hold_recovery_up(scene: Scene) -> None:
    class Hanging(LocalDisk):
        def close_bundle(self, folder: Path, bundle: Bundle) -> str:
            time.sleep(2)
            return super().close_bundle(folder, bundle)

    scene.archive = Hanging(scene.folder / "hanging")
    outcome = scene.capture(budget_ms=400)
    assert isinstance(outcome, LastWordsFailed)
    assert outcome.reason == "the disk did not answer"
    assert outcome.at - scene.incident.fault_at < 1_900 * NS_PER_MS


@pytest.mark.skipif(not has_initial_pids(), reason="needs the host's own pids")
@pytest.mark.parametrize(
    ("line", "given", "cause"),
    [
        (
            "oom-kill:constraint=CONSTRAINT_MEMCG,task=qemu-system-x86,pid=4242,uid=0",
            "killed by SIGKILL",
            "out of memory: the kernel killed it, its memory cgroup was full",
        ),
        (
            "Out of memory: Killed process 4242 (qemu) total-vm:1kB",
            "",
            "out of memory: the kernel killed it, the host had none left",
        ),
        (
            "Out of memory: Killed process 99 (qemu) total-vm:1kB",
            "killed by SIGKILL",
            "killed by SIGKILL (the kernel's log tells of no kill for want of memory)",
        ),
        (
            "qemu-system-x86[4242]: segfault at 0 ip 0 sp 0",
            "crashed (SIGSEGV)",
            "crashed (SIGSEGV): qemu-system-x86[4242]: segfault at 0 ip 0 sp 0",
        ),
        (
            "CPU 0/KVM[4250]: segfault at 0 ip 0 sp 0",
            "crashed (SIGSEGV), its core was written",
            "likely crashed (SIGSEGV): CPU 0/KVM[4250]: segfault at 0 ip 0 sp 0",
        ),
        (
            MACHINE_CHECK,
            "crashed (SIGBUS)",
            f"a machine check: the hardware under it failed ({MACHINE_CHECK})",
        ),
        ("mce: [Hardware Error]: x", "the guest panicked", "the guest panicked"),
        (
            "mce: [Hardware Error]: x",
            "",
            "likely a machine check: the hardware under it failed (mce: [Hardware Error]: x)",
        ),
        ("mce: [Hardware Error]: x", "exit code 1", "exit code 1"),
        ("br0: a line of no interest", "", "not known"),
    ],
)
def test_the_cause_comes_from_all_witnesses(
    scene: Scene, line: str, given: str, cause: str
) -> None:
    stamp_us = time.monotonic_ns() // 1_000
    scene.kernel.send(f"6,1,{stamp_us},-;{line}\n".encode())
    scene.incident = msgspec.structs.replace(scene.incident, cause=given)
    assert scene.captured()[1].cause == cause


def test_a_ppm_becomes_the_same_picture_as_png() -> None:
    png = png_of_ppm(PPM)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        data = png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (2, 2, 8, 2, 0, 0, 0)
    assert zlib.decompress(chunks[b"IDAT"]) == b"\0" + bytes(range(6)) + b"\0" + bytes(range(6, 12))


@pytest.mark.parametrize("raw", [b"", b"P5\n1 1\n255\n\0", PPM[:-1], b"P6\n0 0\n255\n"])
def test_what_is_no_whole_picture_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="picture"):
        png_of_ppm(raw)


def test_of_qemus_log_only_this_life_counts() -> None:
    assert of_this_life(QEMU_LOG).startswith("2026-01-02")
    assert of_this_life("no such line\n") == "no such line\n"


def test_the_beginning_of_a_life_is_known_by_its_ticks() -> None:
    fields = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()
    age_s = (time.monotonic_ns() - began_at(int(fields[19]))) / NS_PER_S
    assert 0 <= age_s < 7_200


def test_a_later_life_has_a_cause_of_its_own(scene: Scene) -> None:
    done = scene.capture(cause="exit code 1", title="web-1 is gone: exit code 1")
    assert isinstance(done, LastWordsCaptured)
    assert done.cause == "exit code 1"
    [(_, bundle)] = list(scene.archive.bundles("vm-1"))
    assert bundle.title == "web-1 is gone: exit code 1"
