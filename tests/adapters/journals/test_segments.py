"""The journal's files: kill -9, full disks, flipped bytes, two writers, bounded size."""

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.journals.segments import (
    JournalTaken,
    Segments,
    last_segment,
    read,
    segment_paths,
)
from holdfast.facts.commands import Armed, Woke
from holdfast.facts.instants import Instant
from holdfast.ports.journal import Journal
from tests.adapters.contract_journal import JournalContract
from tests.adapters.small_disk import needs_small_disk, run_on_small_disk


def snapshot() -> bytes:
    return b'{"is":"Snapshot"}'


def wake(at: int) -> Woke:
    return Woke(at=Instant(at))


class TestSegments(JournalContract):
    """The contract, on a real folder; the disk is "full" by a limit on the size of files."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.made = 0
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def make(self, snapshot: Callable[[], bytes]) -> Journal:
        self.made += 1
        return Segments(self.folder / str(self.made), 3, snapshot, retry_ns=0)

    def fill(self) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, self.limits[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    journal = Segments(tmp_path / "j", 1, snapshot)
    journal.append("input", Instant(1), wake(1))
    journal.close()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "j").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o700


def test_a_line_is_json_that_other_programs_read(tmp_path: Path) -> None:
    journal = Segments(tmp_path, 1, snapshot)
    journal.append("input", Instant(1), wake(1))
    journal.close()
    [path] = segment_paths(tmp_path)
    lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
    assert lines[1]["body"] == {"is": "Woke", "at": 1}


def test_a_second_writer_is_refused_with_a_sentence(tmp_path: Path) -> None:
    journal = Segments(tmp_path, 1, snapshot)
    with pytest.raises(JournalTaken, match="is a second agent running"):
        Segments(tmp_path, 1, snapshot)
    journal.close()
    Segments(tmp_path, 1, snapshot).close()


def test_a_new_process_begins_a_new_file_and_goes_on_counting(tmp_path: Path) -> None:
    for _ in range(3):
        journal = Segments(tmp_path, 1, snapshot)
        journal.append("input", Instant(1), wake(1))
        journal.close()
    reading = read(tmp_path)
    assert [r.n for r in reading] == [1, 2, 3, 4, 5, 6]
    assert (reading.damaged, reading.missing) == (0, 0)
    assert [r.n for r in last_segment(tmp_path)] == [5, 6]


def test_old_files_go_and_the_present_world_can_always_be_made_again(tmp_path: Path) -> None:
    journal = Segments(
        tmp_path, 1, snapshot, segment_bytes=2_000, segment_records=10, total_bytes=8_000
    )
    for at in range(500):
        journal.append("input", Instant(at), wake(at))
        journal.append("action", Instant(at), b'{"is":"Report"}')
        assert sum(path.stat().st_size for path in segment_paths(tmp_path)) <= 8_400
        newest = list(last_segment(tmp_path))
        assert newest[0].kind == "snapshot"
        assert newest[-1].kind == "action"
        assert newest[1].kind == "input", "an action is never parted from its input"
    journal.close()
    assert len(segment_paths(tmp_path)) > 3


def test_even_a_bound_that_is_too_small_keeps_the_newest(tmp_path: Path) -> None:
    journal = Segments(tmp_path, 1, snapshot, segment_records=3, total_bytes=10)
    for at in range(20):
        journal.append("input", Instant(at), wake(at))
    journal.close()
    assert len(segment_paths(tmp_path)) == 2
    assert list(last_segment(tmp_path))[-1].at == 19


def test_a_snapshot_that_is_damaged_sends_us_to_the_one_before(tmp_path: Path) -> None:
    for at in (1, 2):
        journal = Segments(tmp_path, 1, snapshot)
        journal.append("input", Instant(at), wake(at))
        journal.close()
    newest = segment_paths(tmp_path)[-1]
    newest.write_bytes(b"\0" * 20 + newest.read_bytes()[20:])
    reading = last_segment(tmp_path)
    assert [(r.n, r.kind) for r in reading] == [(1, "snapshot"), (2, "input"), (4, "input")]
    assert (reading.damaged, reading.missing) == (1, 1)


def test_an_empty_folder_has_nothing_to_restore(tmp_path: Path) -> None:
    assert list(last_segment(tmp_path)) == []
    assert list(read(tmp_path / "not there")) == []


@given(bodies=st.lists(st.text(st.characters(codec="utf-8")), max_size=8))
def test_every_text_comes_back(tmp_path_factory: pytest.TempPathFactory, bodies: list[str]) -> None:
    journal = Segments(tmp_path_factory.mktemp("journal"), 1, snapshot)
    facts = [Armed(at=Instant(at), by=text) for at, text in enumerate(bodies)]
    for fact in facts:
        journal.append("input", fact.at, fact)
    back = [msgspec.json.decode(r.body, type=Armed) for r in journal.records() if r.kind == "input"]
    assert back == facts
    journal.close()


@settings(max_examples=60)
@given(data=st.data())
def test_flipped_and_cut_bytes_cost_their_own_lines_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Segments(folder, 1, snapshot)
    for at in range(10):
        journal.append("input", Instant(at), Armed(at=Instant(at), by="night shift"))
    journal.close()
    [path] = segment_paths(folder)
    raw = bytearray(path.read_bytes())
    whole = {r.n: r for r in read(folder)}
    where = data.draw(st.integers(0, len(raw) - 1))
    raw[where] ^= data.draw(st.integers(1, 255))
    del raw[data.draw(st.integers(len(raw) // 2, len(raw))) :]
    path.write_bytes(raw)
    reading = read(folder)
    left = list(reading)
    assert all(whole[r.n] == r for r in left), "what is read is what was written"
    lines = raw.count(b"\n") + (not raw.endswith(b"\n"))
    assert lines - 2 <= len(left) + reading.damaged <= lines + 1
    assert len(left) >= raw.count(b"\n") - 2


@pytest.mark.slow
def test_sync_from_a_thread_while_files_change_hands(tmp_path: Path) -> None:
    journal = Segments(tmp_path, 1, snapshot, segment_records=5)
    is_over = threading.Event()

    def keep_syncing() -> None:
        while not is_over.is_set():
            journal.sync()

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    for at in range(500):
        journal.append("input", Instant(at), wake(at))
    is_over.set()
    thread.join(10)
    journal.close()
    assert journal.losses().count == 0
    assert len([r for r in read(tmp_path) if r.kind == "input"]) == 500


WRITE_FOR_EVER = """
import itertools, pathlib, sys
from holdfast.adapters.journals.segments import Segments
from holdfast.facts.commands import Woke
journal = Segments(pathlib.Path(sys.argv[1]), 1, lambda: b'{"is":"Snapshot"}', segment_records=50)
for at in itertools.count():
    journal.append("input", at, Woke(at=at))
    sys.stdout.write(f"{at}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = [int(writer.stdout.readline()) for _ in range(300)]
    os.kill(writer.pid, signal.SIGKILL)
    said += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if "\n" in line]
    writer.wait(10)
    writer.stdout.close()
    reading = read(tmp_path)
    inputs = [r.at for r in reading if r.kind == "input"]
    assert inputs[: len(said)] == said
    assert (reading.damaged, reading.missing) == (0, 0)
    Segments(tmp_path, 1, snapshot).close()  # The dead writer's lock is gone with it.


FILL_AND_FREE = """
import pathlib, sys
from holdfast.adapters.journals.segments import Segments, read
from holdfast.facts.commands import Armed
disk = pathlib.Path(sys.argv[1])
journal = Segments(disk / "j", 1, lambda: b'{"is":"Snapshot"}', retry_ns=0, segment_bytes=60_000)
append = lambda at: journal.append("input", at, Armed(at=at, by="x" * 3_000))
for at in range(10):
    append(at)
ballast = disk / "ballast"
try:
    ballast.write_bytes(b"x" * (1 << 21))
except OSError:
    pass
for at in range(10, 50):
    append(at)
lost = journal.losses()
assert lost.count > 30 and "space" in lost.reason, lost
ballast.unlink()
append(50)
journal.sync()
reading = read(disk / "j")
records = list(reading)
assert [r.kind for r in records[-3:]] == ["snapshot", "note", "input"], records[-3:]
assert records[-1].at == 50
assert (reading.damaged, reading.missing) == (0, lost.count), (reading.damaged, reading.missing)
assert b'"lost":%d' % lost.count in bytes(records[-2].body)
print("whole")
"""


@needs_small_disk
def test_a_disk_that_fills_up_and_is_freed(tmp_path: Path) -> None:
    assert run_on_small_disk(FILL_AND_FREE, tmp_path) == "whole"
