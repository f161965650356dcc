"""Watches one guest of the lab, and keeps what was seen of it as observations."""

import fcntl
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from holdfast.facts.instants import Instant
from holdfast.facts.observations import (
    AgentAnswered,
    AgentLeft,
    AgentSilent,
    LibvirtAnswered,
    LibvirtGone,
    LibvirtSilent,
    LifecycleSeen,
    Observation,
    QemuLogRead,
    QemuProcessGone,
    QemuThreadEnded,
    QmpEventSeen,
    VcpusMeasured,
    VmAppeared,
)
from holdfast.facts.subjects import Incarnation
from holdfast.lab.event_watch import EventWatch
from holdfast.lab.guests import TALK_PROGRAM, Guest

PIDFD_THREAD = os.O_EXCL
PIDFD_GET_INFO = (3 << 30) | (64 << 16) | (0xFF << 8) | 11
PIDFD_INFO_EXIT = 8
STOPPED = ("shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from_snapshot")
DETAILS = {
    "started": ("booted", "migrated", "restored", "from_snapshot", "wakeup"),
    "suspended": ("paused", "migrated", "ioerror", "watchdog", "restored", "from_snapshot"),
    "resumed": ("unpaused", "migrated", "from_snapshot"),
    "stopped": STOPPED,
    "shutdown": ("finished", "guest", "host"),
    "crashed": ("panicked", "crashloaded"),
}
AFTERWARDS_S = 1.5


def now() -> Instant:
    return Instant(time.monotonic_ns())


class Recorder:
    """Watches one guest from its answer on; `write` ends it."""

    def __init__(self, guest: Guest, watch: EventWatch) -> None:
        self.guest = guest
        self.began_ns = time.monotonic_ns()
        self._watch = watch
        self.had_gap = False
        self.pid = guest.qemu_pid()
        ticks = int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[19])
        boot = "00000000-0000-4000-8000-00000000b001"
        self.life = Incarnation(vm=guest.plan.uuid, boot=boot, pid=self.pid, started_ticks=ticks)
        self.seen: list[Observation] = [
            VmAppeared(at=now(), incarnation=self.life, name=guest.name),
            AgentAnswered(at=now(), incarnation=self.life),
        ]
        self._epoll = select.epoll()
        self._fds: dict[int, tuple[int, str]] = {}
        self._ended = threading.Event()
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name.startswith("CPU ") or int(task.name) == self.pid:
                self._open(int(task.name), PIDFD_THREAD, name)
        self._open(self.pid, 0, "")
        threading.Thread(target=self._wait, daemon=True).start()

    def _open(self, tid: int, flags: int, name: str) -> None:
        fd = os.pidfd_open(tid, flags)
        self._fds[fd] = (tid, name)
        self._epoll.register(fd, select.EPOLLIN)

    def _wait(self) -> None:
        while self._fds:
            for fd, _ in self._epoll.poll(1):
                self._on_end(fd)

    def _on_end(self, fd: int) -> None:
        at = now()
        tid, name = self._fds.pop(fd)
        status = exit_status(fd)
        self._epoll.unregister(fd)
        os.close(fd)
        life = self.life
        if name:
            source = "pidfd"
            ended = QemuThreadEnded(
                at=at, incarnation=life, tid=tid, thread=name, status=status, source=source
            )
            self.seen.append(ended)
        else:
            self.seen.append(QemuProcessGone(at=at, incarnation=life, status=status))
            self._ended.set()

    def wait_end(self, limit_s: float = 40) -> None:
        if not self._ended.wait(limit_s):
            raise SystemExit(f"{self.guest.name} did not end in {limit_s:g} s")
        time.sleep(AFTERWARDS_S)  # Whatever else is said of the end is part of the recording.
        self.seen.append(self._read_log())

    def _read_log(self) -> Observation:
        path = self.guest.host.path(f"/var/log/libvirt/qemu/{self.guest.name}.log")
        lines = path.read_text(errors="replace").splitlines()
        reason = next((x.partition("reason=")[2] for x in lines[::-1] if "reason=" in x), "")
        told = [x for x in lines if "qemu-system" in x and "LC_ALL" not in x and "/usr/" not in x]
        last = next((x for x in told[::-1] if ": " in x), "")
        return QemuLogRead(at=now(), incarnation=self.life, reason=reason, last_line=last)

    def ping(self) -> None:
        """Ask the guest's agent once."""
        argv = [sys.executable, str(TALK_PROGRAM), "answer", self.guest.name, "0.5"]
        answer = json.loads(self.guest.host.run(argv, timeout_s=20).stdout)
        if "answered_ns" in answer:
            at = Instant(answer["answered_ns"])
            self.seen.append(AgentAnswered(at=at, incarnation=self.life))
        elif "not connected" in answer["error"]:
            self.seen.append(AgentLeft(at=now(), incarnation=self.life))
        else:
            self.seen.append(AgentSilent(at=now(), incarnation=self.life))

    def measure(self, seconds: float, *, pings: bool = True) -> None:
        """Ping and measure once a second for so long."""
        end = time.monotonic() + seconds
        before, before_ns = self._vcpus(), time.monotonic_ns()
        while time.monotonic() < end:
            time.sleep(0.5)
            if pings:
                self.ping()
            after, after_ns = self._vcpus(), time.monotonic_ns()
            ran, waited, turns = (b - a for a, b in zip(before[:3], after[:3], strict=True))
            self.seen.append(
                VcpusMeasured(
                    at=Instant(after_ns),
                    incarnation=self.life,
                    window_ms=(after_ns - before_ns) / 1e6,
                    vcpus=after[3],
                    ran_ms=ran / 1e6,
                    waited_ms=waited / 1e6,
                    turns=turns,
                    is_stopped=self._is_frozen(),
                )
            )
            before, before_ns = after, after_ns

    def _vcpus(self) -> tuple[int, int, int, int]:
        totals = [0, 0, 0, 0]
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            if (task / "comm").read_text().startswith("CPU "):
                numbers = [*map(int, (task / "schedstat").read_text().split()), 1]
                totals = [a + b for a, b in zip(totals, numbers, strict=True)]
        return totals[0], totals[1], totals[2], totals[3]

    def _is_frozen(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def write(self, path: Path) -> None:
        for heard in self._watch.list_heard(self.guest.name, self.began_ns):
            at, vm = Instant(heard.at_ns), self.guest.plan.uuid
            if heard.word.isupper():
                data = json.dumps(heard.detail or {})
                self.seen.append(QmpEventSeen(at=at, vm=vm, event=heard.word, data=data))
            elif heard.word in DETAILS:
                names = DETAILS[heard.word]
                detail = names[heard.detail] if heard.detail < len(names) else str(heard.detail)
                self.seen.append(LifecycleSeen(at=at, vm=vm, event=heard.word, detail=detail))
        self.seen.sort(key=lambda each: each.at)
        path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in self.seen))


def exit_status(fd: int) -> int | None:
    """The status that the kernel keeps of an ended thread (Linux 6.15); None if it has none."""
    info = bytearray(64)
    struct.pack_into("=Q", info, 0, PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(fd, PIDFD_GET_INFO, info)
    except OSError:
        return None
    mask, code = struct.unpack_from("=Q", info, 0)[0], struct.unpack_from("=i", info, 60)[0]
    return code if mask & PIDFD_INFO_EXIT else None


def probe_libvirt(recorder: Recorder, seconds: float) -> None:
    """Ask libvirt something small, again and again, and note whether it answers in time."""
    end = time.monotonic() + seconds
    answered_at = now()
    command = ["virsh", "--quiet", "--connect", "qemu:///system", "uri"]
    while time.monotonic() < end:
        process = recorder.guest.host.popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            _, words = process.communicate(timeout=0.6)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            recorder.seen.append(LibvirtSilent(at=now(), since=answered_at))
            recorder.had_gap = True
            continue
        if process.returncode:
            reason = words.strip().splitlines()[-1].removeprefix("error: ")
            recorder.seen.append(LibvirtGone(at=now(), reason=reason))
            recorder.had_gap = True
        else:
            answered_at = now()
            recorder.seen.append(LibvirtAnswered(at=answered_at, after_gap=recorder.had_gap))
            recorder.had_gap = False
        time.sleep(0.2)
