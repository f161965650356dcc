"""The kernel's log: real lines of every kind, lines of programs, floods, pids that are not ours."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.adapters.sensors.kernel_log import (
    LINES_KEPT,
    READS_IN_A_TURN,
    KernelLog,
    Word,
    has_initial_pids,
    parse,
)
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.observations import Observation, PieceLost
from holdfast.facts.subjects import Incarnation


def life(pid: int) -> Incarnation:
    return Incarnation(vm="vm-1", boot="b", pid=pid, started_ticks=1)


@pytest.mark.parametrize(
    ("text", "word", "pid", "task"),
    [
        (
            "oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/q,task=qemu-system-x86,pid=21812,",
            Word.OUT_OF_MEMORY,
            21812,
            "qemu-system-x86",
        ),
        (
            "Memory cgroup out of memory: Killed process 12 (CPU 0/KVM) total-vm:118956kB",
            Word.OUT_OF_MEMORY,
            12,
            "CPU 0/KVM",
        ),
        ("Out of memory: Killed process 7 (qemu) total-vm:1kB", Word.OUT_OF_MEMORY, 7, "qemu"),
        (
            "python3[20449]: segfault at 0 ip 00007efd72385ad8 sp 00007ffd7e42c6a8 error 4 in libc",
            Word.SEGFAULT,
            20449,
            "python3",
        ),
        (
            "traps: CPU 1/KVM[99] general protection fault ip:55 sp:7f error:0 in qemu[55+9]",
            Word.SEGFAULT,
            99,
            "CPU 1/KVM",
        ),
        (
            "Memory failure: 0x1a2b: Killing qemu-kvm:4242 due to hardware memory corruption",
            Word.MACHINE_CHECK,
            4242,
            "qemu-kvm",
        ),
        (
            "Memory failure: 0x1: Sending SIGBUS to qemu-kvm:42 due to hardware memory corruption",
            Word.MACHINE_CHECK,
            42,
            "qemu-kvm",
        ),
        (
            "MCE: Killing python3:313 due to hardware memory corruption fault at 7f0e2a7f6000",
            Word.MACHINE_CHECK,
            313,
            "python3",
        ),
        ("mce: [Hardware Error]: Machine check events logged", Word.MACHINE_CHECK, 0, ""),
    ],
)
def test_what_the_kernel_says_is_understood(text: str, word: Word, pid: int, task: str) -> None:
    found = parse(text)
    assert found is not None
    assert (found.word, found.pid, found.task) == (word, pid, task)


@pytest.mark.parametrize(
    "text", ["br0: port 1(eth0) entered blocking state", "", "a[1]: segfaulty"]
)
def test_what_does_not_matter_is_left_out(text: str) -> None:
    assert parse(text) is None


class Kernel:
    """Stands for the kernel's side of /dev/kmsg: one message, one read."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs.setblocking(False)
        self.log = KernelLog(self.theirs.fileno)
        self.sequence = 0

    def say(self, text: str, *, priority: int = 6, ago_s: float = 0) -> None:
        self.sequence += 1
        us = (time.monotonic_ns() - int(ago_s * NS_PER_S)) // 1_000
        self.ours.send(f"{priority},{self.sequence},{us},-;{text}\n SUBSYSTEM=x\n".encode())

    def words(self, pid: int, since_s: float = 60, died_s: float = 0) -> list[tuple[str, bool]]:
        now = time.monotonic_ns()
        since = Instant(now - int(since_s * NS_PER_S))
        died = Instant(now - int(died_s * NS_PER_S))
        found = self.log.words_about(life(pid), since, died)
        return [(word.line.word, word.is_likely) for word in found]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.ours.close()
    kernel.theirs.close()


OOM = "Out of memory: Killed process 77 (qemu-system-x86) total-vm:1kB"
needs_initial_pids = pytest.mark.skipif(not has_initial_pids(), reason="needs the host's own pids")


@needs_initial_pids
def test_a_line_with_the_pid_is_certain_and_of_another_pid_nothing(kernel: Kernel) -> None:
    kernel.say(OOM)
    assert kernel.words(77) == [("out of memory", False)]
    assert kernel.words(78) == []


@needs_initial_pids
def test_a_thread_that_crashed_is_likely_ours_if_it_was_then_and_a_qemu(kernel: Kernel) -> None:
    kernel.say("CPU 0/KVM[81]: segfault at 0 ip 0 sp 0 error 4 in qemu")
    kernel.say("nginx[82]: segfault at 0 ip 0 sp 0 error 4 in nginx")
    assert kernel.words(77) == [("segfault", True)]
    assert kernel.words(77, died_s=30) == []


def test_lines_of_before_this_life_are_not_about_it(kernel: Kernel) -> None:
    kernel.say("mce: [Hardware Error]: Machine check events logged", ago_s=100)
    kernel.say("mce: [Hardware Error]: Machine check events logged", ago_s=50)
    assert kernel.words(77, since_s=60, died_s=50) == [("machine check", True)]


@needs_initial_pids
def test_an_earlier_process_with_the_same_pid_is_another(kernel: Kernel) -> None:
    kernel.say(OOM, ago_s=100)
    assert kernel.words(77, since_s=60) == []
    assert kernel.words(77, since_s=200) == [("out of memory", False)]


def test_a_line_that_a_program_wrote_is_not_believed(kernel: Kernel) -> None:
    kernel.say(OOM, priority=(1 << 3) + 6)
    kernel.ours.send(b"garbage")
    kernel.ours.send(b"\xff,1,2;x")
    assert kernel.words(77) == []


def test_a_line_that_is_read_late_is_not_taken_for_new(kernel: Kernel) -> None:
    assert kernel.words(77) == []
    kernel.say("mce: [Hardware Error]: Machine check events logged", ago_s=30)
    assert kernel.words(77, died_s=0) == []
    assert kernel.words(77, died_s=30) == [("machine check", True)]


def test_a_flood_of_other_lines_drowns_nothing(kernel: Kernel) -> None:
    kernel.say("mce: [Hardware Error]: Machine check events logged")
    assert kernel.words(77)
    for _ in range(LINES_KEPT + 100):
        kernel.say("br0: port 1(eth0) entered blocking state")
        kernel.log.read_new()
    assert kernel.words(77) == [("machine check", True)]


def test_a_flood_holds_up_nobody_else_on_the_loop(kernel: Kernel) -> None:
    async def follow() -> list[int]:
        running = asyncio.ensure_future(kernel.log.run(lambda _: None))
        while not kernel.log.is_live:  # noqa: ASYNC110  It says so nowhere else.
            await asyncio.sleep(0.001)
        for number in range(2 * READS_IN_A_TURN + 10):
            kernel.say(f"br0: port {number}(eth0) entered blocking state")
        taken = [0]
        while kernel.log.tail.taken < kernel.sequence:
            await asyncio.sleep(0)
            taken.append(kernel.log.tail.taken)
        running.cancel()
        await asyncio.wait([running])
        return [after - before for before, after in pairwise(taken)]

    in_a_turn = asyncio.run(asyncio.wait_for(follow(), 20))
    assert max(in_a_turn) == READS_IN_A_TURN


def test_it_follows_the_log_and_says_what_was_overrun() -> None:
    class Overrun(KernelLog):
        """As if the kernel had overwritten something before the next line."""

        def _read(self, at_once: int) -> None:
            self._overrun += self.is_live
            super()._read(at_once)

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    log = Overrun(theirs.fileno)

    async def follow() -> list[Observation]:
        seen: list[Observation] = []
        heard = asyncio.Event()

        def see(observation: Observation) -> None:
            seen.append(observation)
            heard.set()
            ours.setblocking(False)

        running = asyncio.ensure_future(log.run(see))
        await asyncio.sleep(0)
        ours.send(b"6,1,1,-;mce: [Hardware Error]: Machine check events logged\n")
        await asyncio.sleep(0.05)
        ours.send(b"6,2,1,-;mce: [Hardware Error]: Machine check events logged\n")
        await asyncio.wait_for(heard.wait(), 10)
        running.cancel()
        await asyncio.wait([running])
        return seen

    seen = asyncio.run(follow())
    assert isinstance(seen[0], PieceLost)
    assert (seen[0].what, seen[0].count) == ("kernel log", 1)
    ours.close()
    theirs.close()


@pytest.fixture
def real_log() -> Iterator[KernelLog]:
    log = KernelLog()
    try:
        log.read_new()
    except OSError as error:
        pytest.skip(f"the kernel's log may not be read here: {error.strerror}")
    yield log
    log.close()


def die(program: str, folder: str = "") -> tuple[int, Instant]:
    enter = f"open({folder + '/cgroup.procs'!r}, 'w').write('0');" if folder else ""
    process = subprocess.Popen([sys.executable, "-c", enter + program])
    began = Instant(time.monotonic_ns())
    process.wait(30)
    return process.pid, began


@needs_initial_pids
@pytest.mark.lab
def test_a_real_segfault_is_found(real_log: KernelLog) -> None:
    trace = Path("/proc/sys/debug/exception-trace")
    if not trace.exists() or trace.read_text() != "1\n":
        pytest.skip("this kernel does not log segmentation faults")
    pid, began = die("import ctypes; ctypes.string_at(0)")
    [word] = real_log.words_about(life(pid), began, began)
    assert (word.line.word, word.is_likely) == (Word.SEGFAULT, False)


@contextmanager
def small_cgroup() -> Iterator[str]:
    """A memory cgroup of 30 MiB, of our own."""
    for root, limit in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max"),
    ):
        folder = Path(root) / f"holdfast-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(30 << 20))
        except OSError:
            folder.rmdir()
            continue
        try:
            yield str(folder)
        finally:  # Also when the test fails.
            folder.rmdir()
        return
    pytest.skip("no memory cgroup can be made here")


@needs_initial_pids
@pytest.mark.lab
def test_a_real_kill_for_want_of_memory_is_found(real_log: KernelLog) -> None:
    with small_cgroup() as folder:
        pid, began = die("x = bytearray(100 << 20)", folder)
    words = real_log.words_about(life(pid), began, began)
    assert {(word.line.word, word.is_likely) for word in words} == {(Word.OUT_OF_MEMORY, False)}
    assert any("CONSTRAINT_MEMCG" in word.line.text for word in words)
