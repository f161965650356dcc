"""The kernel's own count of how long work stood still, and what firmware kept of a boot's end."""

import os
from pathlib import Path

from holdfast.adapters.drivers.pressure import read_pressure, stalled_us
from holdfast.adapters.drivers.pstore import FILE_BYTES, MOST_FILES, read_earlier

IO = "some avg10=0.18 avg60=0.33 avg300=0.74 total=67664108\nfull avg10=0.18 avg60=0.26 total=409\n"


def test_pressure_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    (tmp_path / "io").write_text(IO)
    (tmp_path / "cpu").write_text("some avg10=1.00 avg60=1.00 avg300=1.00 total=7\n")
    found = read_pressure(tmp_path)
    assert found == {"io": IO.strip(), "cpu": "some avg10=1.00 avg60=1.00 avg300=1.00 total=7"}
    assert stalled_us("io", found["io"]) == 409
    assert stalled_us("cpu", found["cpu"]) == 7


def test_a_kernel_without_pressure_tells_none(tmp_path: Path) -> None:
    assert read_pressure(tmp_path / "none") == {}
    assert stalled_us("memory", "nonsense\nfull total=x\n") == 0


def test_this_kernel_is_understood() -> None:
    for name, text in read_pressure().items():
        assert text.startswith("some "), name


def test_the_newest_records_of_an_earlier_boot_are_read_to_their_end(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    for number in range(MOST_FILES + 2):
        path = tmp_path / "1" / f"dmesg-erst-{number}"
        path.write_text("a" * FILE_BYTES + f"Kernel panic {number}")
        os.utime(path, (number, number))
    found = read_earlier((tmp_path / "none", tmp_path))
    assert sorted(found) == [f"1/dmesg-erst-{number}" for number in range(2, MOST_FILES + 2)]
    assert all(len(text) == FILE_BYTES for text in found.values())
    assert found["1/dmesg-erst-5"].endswith("Kernel panic 5")
