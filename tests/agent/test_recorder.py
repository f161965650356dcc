"""The agent's recorder: samples of real processes, consoles that rotate, bounds, and its cost."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from holdfast.adapters.recorders.ring import read
from holdfast.agent.counters import Counters, taps_of
from holdfast.agent.recorder import CONSOLE_BYTES, Recorder, Watched
from holdfast.agent.tails import Tail, last_text
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.last_words import Noted, Sample
from holdfast.facts.subjects import Incarnation
from holdfast.ports.recorder import Kept

BUSY = "import sys; x = bytearray(50 << 20); print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process that stands for QEMU: it has touched 50 MB and waits."""
    started = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdin is not None
    assert started.stdout.readline() == "ready\n"
    yield started
    started.stdin.close()
    started.stdout.close()
    started.kill()
    started.wait(10)


def life_of(pid: int, vm: str = "vm-1") -> Incarnation:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Incarnation(vm=vm, boot="b", pid=pid, started_ticks=int(fields[19]))


def recorder(folder: Path, *running: Watched) -> Recorder:
    return Recorder(folder / "rings", "b", lambda: running, ring_bytes=64 << 10)


def texts(kept: list[Kept], kind: str) -> list[str]:
    return [item.text for item in kept if isinstance(item, Noted) and item.kind == kind]


def test_when_a_vm_was_seen_last_outlives_the_boot(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    watched = Watched(life=life_of(process.pid), name="web-1", console_log="")
    first = recorder(tmp_path, watched)
    began_utc_ms = time.time_ns() // 1_000_000
    assert first.seen_utc_ms("vm-1") is None
    first.tick([watched])
    first.note("vm-1", "lifecycle", "later than the newest sample")
    first.close()
    booted = Recorder(tmp_path / "rings", "b2", lambda: (), ring_bytes=64 << 10)
    seen_utc_ms = booted.seen_utc_ms("vm-1")
    assert seen_utc_ms is not None
    assert 0 <= seen_utc_ms - began_utc_ms < 60_000
    assert booted.since("vm-1", Instant(0)) == [], "its instants mean nothing in this boot"
    booted.close()


def test_a_sample_says_what_the_process_uses(process: subprocess.Popen[str]) -> None:
    counters = Counters(life_of(process.pid), ("lo",))
    sample = counters.sample(Instant(5), 6)
    assert (sample.at, sample.utc_ms) == (5, 6)
    assert sample.state in ("S", "R")  # It may not have come to rest yet.
    assert 50 << 10 < sample.rss_kib < 200 << 10
    assert 0 < sample.cpu_ms < 60_000
    assert sample.net_in_bytes == sample.net_out_bytes > 0, "the loopback sends what it receives"
    counters.close()
    assert taps_of(process.pid) == []


OPEN_TAP = """
import fcntl, os, struct
from holdfast.agent.counters import taps_of
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"vnet7", 0x1002))
print(taps_of(os.getpid()))
"""


@pytest.mark.lab
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no tap can be made here")
def test_a_tap_is_found_by_its_open_file() -> None:
    command = ["unshare", "--net", sys.executable, "-c", OPEN_TAP]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert said.stdout == "['vnet7']\n", said.stderr


def test_another_process_with_the_same_pid_is_not_taken_for_it(
    process: subprocess.Popen[str],
) -> None:
    life = msgspec.structs.replace(life_of(process.pid), started_ticks=1)
    with pytest.raises(ProcessLookupError, match="another process"):
        Counters(life)


def test_a_dead_process_ends_its_samples_and_its_ring_stays(
    tmp_path: Path, process: subprocess.Popen[str]
) -> None:
    watched = Watched(life=life_of(process.pid), name="web-1")
    kept_by = recorder(tmp_path, watched)
    kept_by.tick([watched])
    process.kill()
    process.wait(10)
    kept_by.tick([watched])
    kept_by.tick([])
    kept_by.note("vm-1", "lifecycle", "stopped: failed")
    kept = kept_by.since("vm-1", Instant(0))
    assert len([item for item in kept if isinstance(item, Sample)]) == 1
    assert texts(kept, "lifecycle") == ["stopped: failed"]
    kept_by.close()
    assert read(tmp_path / "rings" / "vm-1.ring")[-1] == kept[-1]


def test_a_new_life_goes_on_in_the_same_ring(
    tmp_path: Path, process: subprocess.Popen[str]
) -> None:
    kept_by = recorder(tmp_path)
    kept_by.tick([Watched(life=life_of(os.getpid()), name="web-1")])
    kept_by.tick([Watched(life=life_of(process.pid), name="web-1")])
    first, second = (k for k in kept_by.since("vm-1", Instant(0)) if isinstance(k, Sample))
    assert first.rss_kib != second.rss_kib
    kept_by.close()


def test_the_console_is_followed_through_rotation_and_truncation(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    watched = Watched(life=life_of(os.getpid()), name="web-1", console_log=str(log))
    kept_by = recorder(tmp_path)
    kept_by.tick([watched])
    log.write_text("one\n")
    kept_by.tick([watched])
    with log.open("a") as file:
        file.write("two\n")
    log.rename(tmp_path / "console.log.0")
    log.write_text("three\n")
    kept_by.tick([watched])
    log.write_text("4\n")
    kept_by.tick([watched])
    kept_by.tick([watched])
    assert texts(kept_by.since("vm-1", Instant(0)), "console") == ["one\n", "two\nthree\n", "4\n"]
    kept_by.close()


def test_a_console_that_floods_is_bounded_and_the_rest_is_counted(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("")
    watched = Watched(life=life_of(os.getpid()), name="web-1", console_log=str(log))
    kept_by = recorder(tmp_path)
    kept_by.tick([watched])
    log.write_text("x" * 100_000 + "the end\n")
    kept_by.tick([watched])
    kept = kept_by.since("vm-1", Instant(0))
    [console] = texts(kept, "console")
    assert console.endswith("the end\n")
    assert len(console) == CONSOLE_BYTES
    left_out = 100_008 - CONSOLE_BYTES
    assert texts(kept, "recorder") == [f"{left_out} bytes of console left out"]
    kept_by.close()


def test_of_an_old_console_only_the_end_is_taken(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"old\n" * 10_000 + b"\xff new\n")
    tail = Tail(tmp_path / "c")
    text, skipped = tail.read_new(4_096)
    assert (len(text), skipped) == (2_048, 0)
    assert text.endswith("� new\n")
    assert last_text(tmp_path / "c", 20) == "old\nold\nold\n� new\n"
    tail.close()


def test_copies_are_the_newest_lines_of_each(tmp_path: Path) -> None:
    running = [Watched(life=life_of(os.getpid(), f"vm-{n}"), name=f"web-{n}") for n in range(3)]
    kept_by = recorder(tmp_path, *running)
    for _ in range(30):
        kept_by.tick(running)
    copies = kept_by.copies(2_000)
    assert sorted(copies) == ["vm-0", "vm-1", "vm-2"]
    for text in copies.values():
        assert 1_000 < len(text) <= 2_000
        assert all(msgspec.json.decode(line)["is"] == "Sample" for line in text.splitlines())
    kept_by.close()


def test_a_name_that_is_no_uuid_makes_no_file(tmp_path: Path) -> None:
    kept_by = recorder(tmp_path)
    kept_by.note("../../etc/passwd", "qmp", "x")
    assert kept_by.losses().count == 1
    assert list((tmp_path / "rings").iterdir()) == []


def test_old_rings_go_by_age_and_then_by_size(tmp_path: Path) -> None:
    rings = tmp_path / "rings"
    rings.mkdir()
    for name, age_s in (("a.ring", 1_000), ("b.ring", 500), ("c.ring.damaged", 400), ("d.ring", 5)):
        (rings / name).write_bytes(b"x" * 1_000)
        os.utime(rings / name, (time.time() - age_s,) * 2)
    kept_by = Recorder(rings, "b", list, keep_s=900, total_bytes=2_000)
    assert sorted(path.name for path in rings.iterdir()) == ["c.ring.damaged", "d.ring"]
    kept_by.note("d", "qmp", "in use")
    os.utime(rings / "d.ring", (0, 0))
    kept_by.tidy()
    assert (rings / "d.ring").exists(), "what is in use stays"
    kept_by.close()


@pytest.mark.slow
def test_it_runs_each_second_until_cancelled(tmp_path: Path) -> None:
    watched = Watched(life=life_of(os.getpid()), name="web-1")
    kept_by = recorder(tmp_path, watched)

    async def run_for_a_while() -> None:
        running = asyncio.ensure_future(kept_by.run())
        for _ in range(400):
            if len(kept_by.since("vm-1", Instant(0))) >= 3:
                break
            await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()

    asyncio.run(run_for_a_while())
    kept = kept_by.since("vm-1", Instant(0))
    assert len(kept) >= 3
    assert 0.7 * NS_PER_S < kept[1].at - kept[0].at < 5 * NS_PER_S
    kept_by.close()


def test_fifty_vms_cost_little(tmp_path: Path) -> None:
    """Processor time, not wall time, and a generous bound: the figure itself is a benchmark's."""
    folder = tmp_path
    sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(50)]
    try:
        running = []
        for n, sleeper in enumerate(sleepers):
            console = folder / f"{n}.log"
            console.write_text("boot\n")
            running.append(
                Watched(
                    life=life_of(sleeper.pid, f"vm-{n}"),
                    name=f"web-{n}",
                    console_log=str(console),
                    taps=("lo",),
                )
            )
        kept_by = Recorder(folder / "rings", "b", lambda: running)
        kept_by.tick(running)
        began = time.process_time()
        for _ in range(10):
            kept_by.tick(running)
        each_ms = (time.process_time() - began) * 100
        print(f"one second of 50 VMs costs {each_ms:.2f} ms of processor time")
        assert each_ms < 20
        kept_by.close()
    finally:
        for sleeper in sleepers:
            sleeper.send_signal(signal.SIGKILL)
        for sleeper in sleepers:
            sleeper.wait(10)
