"""The archive on disk: first and latest, sizes, half-written bundles, full disks, names."""

import stat
from pathlib import Path

import pytest

from holdfast.adapters.archives.local_disk import CUT_SHORT, LocalDisk
from holdfast.ports.archive import Archive
from tests.adapters.contract_archive import ArchiveContract, bundle
from tests.adapters.small_disk import needs_small_disk, run_on_small_disk


class TestLocalDisk(ArchiveContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "last-words"

    def make(self) -> Archive:
        return LocalDisk(self.folder)


def keep(archive: LocalDisk, vm: str, at: int, **sizes: int) -> Path:
    folder = archive.open_bundle(vm, f"i{at}")
    for name, size in sizes.items():
        (folder / name.replace("_", ".")).write_bytes(b"x" * size)
    archive.close_bundle(folder, bundle(f"i{at}", at=at, vm=vm))
    return folder


def names(archive: LocalDisk, vm: str) -> list[str]:
    return [path.name for path, _ in archive.bundles(vm)]


def test_all_is_for_the_owner_only(tmp_path: Path) -> None:
    keep(LocalDisk(tmp_path / "a"), "vm-1", 1, console_txt=10)
    for path in [tmp_path / "a", *(tmp_path / "a").rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_the_first_and_the_latest_of_each_vm_stay(tmp_path: Path) -> None:
    archive = LocalDisk(tmp_path, latest_kept=2)
    for at in range(6):
        keep(archive, "vm-1", at, console_txt=10)
    keep(archive, "vm-2", 9, console_txt=10)
    assert names(archive, "vm-1") == ["i5", "i4", "i0"]
    assert names(archive, "vm-2") == ["i9"]


def test_dumps_go_first_and_it_is_said(tmp_path: Path) -> None:
    archive = LocalDisk(tmp_path, total_bytes=4 << 20)
    keep(archive, "vm-1", 1, console_txt=10, memory_dump=3 << 20)
    keep(archive, "vm-2", 2, console_txt=10, memory_dump=3 << 20)
    [(folder, older)] = archive.bundles("vm-1")
    assert older.files == {"console.txt": 10}
    assert older.missing["memory.dump"] == "removed to keep all last words within 4 MiB"
    assert not (folder / "memory.dump").exists()
    [(_, newer)] = archive.bundles("vm-2")
    assert newer.files["memory.dump"] == 3 << 20


def test_a_dump_bigger_than_all_that_may_be_kept_is_not(tmp_path: Path) -> None:
    archive = LocalDisk(tmp_path, total_bytes=1 << 20)
    keep(archive, "vm-1", 1, console_txt=10)
    keep(archive, "vm-1", 2, console_txt=10, memory_dump=3 << 20)
    assert names(archive, "vm-1") == ["i2", "i1"]
    assert archive.bundles("vm-1")[0][1].files == {"console.txt": 10}


def test_then_bundles_between_go_and_the_newest_never(tmp_path: Path) -> None:
    archive = LocalDisk(tmp_path, total_bytes=3_500)
    for at in range(4):
        keep(archive, "vm-1", at, console_txt=1_000)
    assert names(archive, "vm-1") == ["i3", "i2", "i0"]
    keep(archive, "vm-2", 9, console_txt=9_000)
    assert names(archive, "vm-1") == []
    assert names(archive, "vm-2") == ["i9"]
    assert [path.name for path in tmp_path.iterdir()] == ["vm-2"]


def test_half_written_bundles_are_completed_or_removed_at_the_start(tmp_path: Path) -> None:
    archive = LocalDisk(tmp_path)
    (archive.open_bundle("vm-1", "full") / "console.txt").write_text("panic")
    archive.open_bundle("vm-1", "empty")
    torn = archive.open_bundle("vm-2", "torn")
    (torn / "bundle.json.new").write_text('{"incident":')
    assert names(archive, "vm-1") == []
    again = LocalDisk(tmp_path)
    [(folder, found)] = again.bundles("vm-1")
    assert folder.name == "full"
    assert (found.title, found.files) == (CUT_SHORT, {"console.txt": 5})
    assert found.missing == {"the rest": CUT_SHORT}
    assert not torn.exists()


def test_an_index_that_cannot_be_read_is_left_out_and_counted(tmp_path: Path) -> None:
    archive = LocalDisk(tmp_path)
    folder = keep(archive, "vm-1", 1, console_txt=10)
    keep(archive, "vm-1", 2, console_txt=10)
    (folder / "bundle.json").write_bytes(b"\xff{")
    assert names(archive, "vm-1") == ["i2"]
    assert archive.damaged == 1


@pytest.mark.parametrize("name", ["../../etc", "/etc", "..", ".", "", "a/b", "x" * 400])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    archive = LocalDisk(tmp_path / "a")
    folder = archive.open_bundle(name, name)
    assert folder.resolve().parent.parent == tmp_path / "a"
    archive.close_bundle(folder, bundle("i", vm=name))
    assert [path for path, _ in archive.bundles(name)] == [folder]


FILL = """
import pathlib, sys
from holdfast.adapters.archives.local_disk import LocalDisk
from tests.adapters.contract_archive import bundle
disk = pathlib.Path(sys.argv[1])
archive = LocalDisk(disk / "a")
folder = archive.open_bundle("vm-1", "i")
(folder / "console.txt").write_bytes(b"x" * 5_000)
(folder / "memory.dump").write_bytes(b"x" * 50_000)
try:
    (disk / "ballast").write_bytes(b"x" * (1 << 21))
except OSError:
    pass
archive.close_bundle(folder, bundle("i"))
[(_, found)] = archive.bundles("vm-1")
print(found.files, found.missing["memory.dump"])
"""


@needs_small_disk
def test_on_a_full_disk_the_largest_file_makes_room_for_the_index(tmp_path: Path) -> None:
    said = run_on_small_disk(FILL, tmp_path)
    assert said == "{'console.txt': 5000} given up: the disk is full"
