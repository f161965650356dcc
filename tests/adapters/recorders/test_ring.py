"""The ring on disk: round and round, kill -9, torn and flipped bytes, other boots."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.recorders.ring import DamagedRing, Ring, read
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.last_words import Noted
from holdfast.ports.recorder import Recorder
from tests.adapters.contract_recorder import START, RecorderContract, noted, sample, without_boot
from tests.adapters.small_disk import needs_small_disk, run_on_small_disk


class TestRing(RecorderContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "vm.ring"

    def make(self) -> Recorder:
        return Ring(self.path, "this boot")


def test_the_file_never_grows_and_is_for_its_owner(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "r", "b", 64 << 10)
    for second in range(5_000):
        ring.add(sample(second))
    ring.close()
    found = (tmp_path / "r").stat()
    assert found.st_size == 64 << 10
    assert stat.S_IMODE(found.st_mode) == 0o600
    kept = read(tmp_path / "r")
    assert kept[-1] == sample(4_999)
    assert kept == [sample(second) for second in range(5_000 - len(kept), 5_000)]
    assert len(kept) > 200


def test_opened_again_it_goes_on_where_it_was(tmp_path: Path) -> None:
    for second in range(0, 2_000, 7):
        ring = Ring(tmp_path / "r", "b", 8 << 10)
        assert second == 0 or ring.since(Instant(START))[-1] == sample(second - 1)
        for later in range(second, second + 7):
            ring.add(sample(later))
        assert ring.lost == 0
        ring.close()


def test_nothing_of_another_boot_is_taken_for_now(tmp_path: Path) -> None:
    old = Ring(tmp_path / "r", "old boot")
    old.add(noted(50, "old"))
    old.close()
    new = Ring(tmp_path / "r", "new boot")
    new.add(noted(40, "new"))
    assert [k.text for k in new.since(Instant(START)) if isinstance(k, Noted)] == ["new"]
    assert len(without_boot(read(tmp_path / "r"))) == 2
    new.close()


@settings(max_examples=50)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=900), max_size=60))
def test_the_newest_always_come_back(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("ring") / "r"
    ring = Ring(path, "b", 8 << 10)
    for second, text in enumerate(texts):
        ring.add(noted(second, text))
    kept = ring.since(Instant(0))
    assert kept == without_boot(read(path))
    added = [noted(second, text) for second, text in enumerate(texts)]
    newest = [item for item in added if len(msgspec.json.encode(item)) <= 2_032]
    assert kept == newest[len(newest) - len(kept) :]
    assert ring.lost == len(added) - len(newest)
    assert kept or not newest
    ring.close()


@settings(max_examples=80)
@given(data=st.data())
def test_flipped_and_torn_bytes_cost_their_own_records_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("ring") / "r"
    ring = Ring(path, "b", 8 << 10)
    for second in range(data.draw(st.integers(10, 90))):
        ring.add(sample(second))
    ring.close()
    whole = read(path)
    raw = bytearray(path.read_bytes())
    start = data.draw(st.integers(64, len(raw) - 1))
    torn = data.draw(st.binary(min_size=1, max_size=60))
    raw[start : start + len(torn)] = torn[: len(raw) - start]
    path.write_bytes(raw)
    left = read(path)
    assert all(item in whole for item in left), "what is read is what was written"
    assert len(left) >= len(whole) - 3
    again = Ring(path, "b")
    again.add(sample(1_000))
    assert again.since(Instant(START))[-1] == sample(1_000)
    assert again.lost == 0
    again.close()


def test_what_an_older_lap_left_is_not_taken_for_new(tmp_path: Path) -> None:
    """As after a power cut, when a page of the file is older than its neighbours."""
    path = tmp_path / "r"
    ring = Ring(path, "b", 16 << 10)
    for second in range(150):
        ring.add(sample(second))
    old_page = path.read_bytes()[4_096:8_192]
    for second in range(150, 240):
        ring.add(sample(second))
    ring.close()
    whole = read(path)
    raw = bytearray(path.read_bytes())
    raw[4_096:8_192] = old_page
    path.write_bytes(raw)
    left = read(path)
    assert 20 < len(left) < len(whole)
    assert all(item in whole for item in left)
    assert left == sorted(left, key=lambda item: item.at)


def test_a_record_that_still_reads_well_but_was_changed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r"
    ring = Ring(path, "b")
    for second in range(3):
        ring.add(sample(second))
    ring.close()
    path.write_bytes(path.read_bytes().replace(b'"read_bytes":4096', b'"read_bytes":4097'))
    assert without_boot(read(path)) == [sample(0), sample(2)]


def test_a_busy_console_hides_none_of_the_last_two_minutes(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "r", "b")
    for second in range(200):
        ring.add(noted(second, "x" * 4_000))
    kept = ring.since(Instant(START + 80 * NS_PER_S))
    assert [item.at for item in kept] == [noted(second).at for second in range(80, 200)]
    ring.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:0],
        lambda raw: raw[:10],
        lambda raw: b"x" + raw[1:],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw[:64] + b"\xff" * (len(raw) - 64),
    ],
)
def test_a_damaged_file_is_set_aside_and_counted(
    tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "r"
    Ring(path, "b").close()
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DamagedRing):
        read(path)
    ring = Ring(path, "b")
    ring.add(sample(1))
    assert ring.lost == 1
    assert ring.since(Instant(START)) == [sample(1)]
    assert (tmp_path / "r.damaged").exists()
    ring.close()


def test_a_record_too_big_for_the_ring_is_counted(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "r", "b", 8 << 10)
    ring.add(noted(1, "x" * 9_000))
    ring.add(noted(2))
    assert ring.lost == 1
    assert ring.since(Instant(START)) == [noted(2)]
    ring.close()


WRITE_FOR_EVER = """
import itertools, pathlib, sys
from holdfast.adapters.recorders.ring import Ring
from holdfast.facts.last_words import Noted
ring = Ring(pathlib.Path(sys.argv[1]), "b", 16 << 10)
for n in itertools.count(1):
    ring.add(Noted(at=n, utc_ms=n, kind="console", text="x" * (n % 300)))
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_nothing_that_was_added(tmp_path: Path) -> None:
    path = tmp_path / "r"
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(500):
        writer.stdout.readline()
    os.kill(writer.pid, signal.SIGKILL)
    whole = [line for line in writer.stdout.read().splitlines(keepends=True) if "\n" in line]
    last = int(whole[-1]) if whole else 500
    writer.wait(10)
    writer.stdout.close()
    kept = read(path)
    assert kept[-1].at in (last, last + 1)
    assert [k.at for k in kept] == list(range(kept[0].at, kept[-1].at + 1))


FILL = """
import pathlib, sys
from holdfast.adapters.recorders.ring import Ring, read
from holdfast.facts.last_words import Noted
disk = pathlib.Path(sys.argv[1])
ring = Ring(disk / "r", "b", 200_000)
try:
    (disk / "ballast").write_bytes(b"x" * (1 << 21))
except OSError:
    pass
for n in range(1_000):
    ring.add(Noted(at=n, utc_ms=n, kind="console", text="x" * 500))
assert ring.lost == 0 and read(disk / "r")[-1].at == 999
try:
    Ring(disk / "another", "b", 200_000)
except OSError as error:
    print(error.strerror, [p.name for p in disk.iterdir() if "another" in p.name])
"""


@needs_small_disk
def test_a_full_disk_does_not_stop_a_ring_that_has_its_space(tmp_path: Path) -> None:
    assert run_on_small_disk(FILL, tmp_path) == "No space left on device []"
