"""The outbox on disk gives no number twice, and loses nothing that it does not count."""

import os
import random
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.adapters.outboxes.disk import DiskOutbox
from holdfast.ports.outbox import Outbox
from tests.adapters.contract_outbox import OutboxContract, payloads
from tests.adapters.small_disk import needs_small_disk, run_on_small_disk


class TestDiskOutbox(OutboxContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "outbox"

    def make(self) -> Outbox:
        return DiskOutbox(self.folder, "boot")

    def again(self, outbox: Outbox) -> Outbox:
        outbox.close()
        return DiskOutbox(self.folder, "boot")


def reopen(outbox: DiskOutbox, folder: Path, owner: str = "boot") -> DiskOutbox:
    outbox.close()
    return DiskOutbox(folder, owner)


def test_what_is_pending_is_there_after_a_restart_in_order(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, "boot")
    numbers = [outbox.append(b"%d" % n) for n in range(5)]
    assert numbers == [1, 2, 3, 4, 5]
    outbox.acknowledge(outbox.stream, 1)
    outbox.acknowledge(outbox.stream, 3)
    again = reopen(outbox, tmp_path)
    assert again.pending() == [
        (outbox.stream, 2, b"1"),
        (outbox.stream, 4, b"3"),
        (outbox.stream, 5, b"4"),
    ]
    assert again.first() == (outbox.stream, 2, b"1")
    assert again.waiting == 3


def test_a_stream_goes_on_within_a_boot_even_when_all_was_acknowledged(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, "boot")
    for _ in range(3):
        outbox.acknowledge(outbox.stream, outbox.append(b"x"))
        outbox = reopen(outbox, tmp_path)
    assert outbox.append(b"x") == 4
    assert outbox.losses().count == 0


def test_a_new_boot_begins_a_new_stream_behind_what_is_pending(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, "boot-1")
    outbox.append(b"old")
    again = reopen(outbox, tmp_path, "boot-2")
    assert again.append(b"new") == 1
    assert again.stream.startswith("boot-2.")
    assert [stream for stream, _, _ in again.pending()] == [outbox.stream, again.stream]
    assert payloads(again) == [b"old", b"new"]


def test_kill_9_after_an_append_loses_nothing_and_reuses_no_number(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from holdfast.adapters.outboxes.disk import DiskOutbox
outbox = DiskOutbox(Path(sys.argv[1]), "boot")
for n in range(100):
    outbox.append(b"payload")
    os.write(1, b"%s %d\\n" % (outbox.stream.encode(), n + 1))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, timeout=30
    )
    assert done.returncode == -9
    given = [tuple(line.split()) for line in done.stdout.decode().splitlines()]
    outbox = DiskOutbox(tmp_path, "boot")
    assert [(s, str(n)) for s, n, _ in outbox.pending()] == given
    assert outbox.append(b"next") == 101


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_cut_tail_is_counted_and_begins_a_new_stream(tmp_path: Path, cut: int) -> None:
    outbox = DiskOutbox(tmp_path, "boot")
    for n in range(3):
        outbox.append(b"payload %d" % n)
    outbox.close()
    [file] = tmp_path.glob("*.out")
    os.truncate(file, file.stat().st_size - cut)
    again = DiskOutbox(tmp_path, "boot")
    assert payloads(again) == [b"payload 0", b"payload 1"]
    assert again.take_gap() == 1
    assert again.take_gap() == 0
    assert again.losses().count == 1
    assert again.stream != outbox.stream
    assert again.append(b"x") == 1
    third = reopen(again, tmp_path)
    assert third.losses().count == 0, "a loss is counted once"


def test_any_damage_is_survived_and_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(60):
        folder = tmp_path / str(number)
        outbox = DiskOutbox(folder, "boot", segment_bytes=4_096)
        written = {b"payload %d " % n + b"x" * chance.randrange(200) for n in range(60)}
        used = set()
        for payload in sorted(written):
            used.add((outbox.stream, outbox.append(payload)))
        outbox.close()
        file = chance.choice(sorted(folder.glob("*.out")))
        data = bytearray(file.read_bytes())
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file.write_bytes(data[: chance.randrange(len(data))] if number % 2 else data)
        again = DiskOutbox(folder, "boot")
        assert set(payloads(again)) <= written
        assert (again.stream, again.append(b"new")) not in used
        again.close()


def test_beyond_its_size_the_oldest_are_lost_and_counted(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, "boot", 64 << 10)
    for n in range(1_000):
        outbox.append(b"%04d " % n + b"x" * 250)
    left = payloads(outbox)
    lost = 1_000 - len(left)
    assert left[0][:4] == b"%04d" % lost
    assert lost > 0
    assert outbox.take_gap() == lost == outbox.losses().count
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 64 << 10


def test_what_arrived_makes_room(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, "boot", 64 << 10)
    for n in range(1_000):
        outbox.acknowledge(outbox.stream, outbox.append(b"%04d " % n + b"x" * 250))
    assert outbox.losses().count == 0
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 64 << 10
    assert reopen(outbox, tmp_path).pending() == []


def test_an_old_entry_that_waits_is_kept_while_files_come_and_go(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, "boot", segment_bytes=4_096)
    outbox.append(b"patient")
    for _ in range(300):
        outbox.acknowledge(outbox.stream, outbox.append(b"x" * 100))
    again = reopen(outbox, tmp_path)
    assert payloads(again) == [b"patient"]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path / "outbox", "boot")
    outbox.append(b"secret")
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "outbox").iterdir()} == {0o600}


def test_an_entry_of_two_lines_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one line"):
        DiskOutbox(tmp_path, "boot").append(b"a\nb")


def test_without_a_folder_it_goes_on_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outbox = DiskOutbox(tmp_path / "file" / "outbox", "boot")
    assert outbox.append(b"x") == 1
    assert payloads(outbox) == [b"x"]
    assert outbox.losses().count > 0
    outbox.sync()


def test_an_append_is_quick_enough_for_the_hot_path(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, "boot")
    payload = b"x" * 900
    spent = time.process_time()
    for _ in range(2_000):
        outbox.append(payload)
    each_us = (time.process_time() - spent) / 2_000 * 1e6
    assert each_us < 250, "far above the 5 us that it takes: something is written too often"


@needs_small_disk
def test_a_full_disk_moves_it_to_memory_and_back(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from holdfast.adapters.outboxes.disk import DiskOutbox
folder = Path(sys.argv[1])
outbox = DiskOutbox(folder / "o", "boot", retry_ns=0)
used = [(outbox.stream, outbox.append(b"before"))]
used = [(outbox.stream, 1)]
ballast = open(folder / "ballast", "wb", buffering=0)
try:
    while True:
        ballast.write(bytes(512))
except OSError:
    pass
for n in range(50):
    number = outbox.append(b"full %d " % n + bytes(4000).replace(b"\\0", b"x"))
    used.append((outbox.stream, number))
print("counted", outbox.losses().count > 0)
in_memory = outbox.stream
print("moved", in_memory != used[0][0])
ballast.close()
(folder / "ballast").unlink()
number = outbox.append(b"after")
used.append((outbox.stream, number))
print("returned", outbox.stream != in_memory)
outbox.sync()
print("nothing lost", len(outbox.pending()) == 52, outbox.take_gap())
print("no number twice", len(set(used)) == 52)
again = DiskOutbox(folder / "o", "boot")
print("on disk", again.pending() == outbox.pending())
print("goes on", again.stream == outbox.stream, again.append(b"x"))
"""
    said = run_on_small_disk(program, tmp_path).splitlines()
    assert said == [
        "counted True",
        "moved True",
        "returned True",
        "nothing lost True 0",
        "no number twice True",
        "on disk True",
        "goes on True 2",
    ]
