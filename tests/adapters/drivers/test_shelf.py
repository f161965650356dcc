"""What a shelf could not keep, and why, is said: with the file's path, and a full disk by name."""

import asyncio
from pathlib import Path

import pytest

from holdfast.adapters.drivers.shelf import Shelf
from tests.adapters.small_disk import needs_small_disk, run_on_small_disk

FILL = """
import asyncio, pathlib, sys
from holdfast.adapters.drivers.shelf import Shelf

folder = pathlib.Path(sys.argv[1])
full, shelf = folder / "full", None
if sys.argv[2:] != ["early"]:
    shelf = Shelf(folder / "kept.db")
with full.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
shelf = shelf or Shelf(folder / "kept.db")

async def work():
    shelf.put("of", "key", b"value" * 4000)
    await shelf.kept()
    said = shelf.losses()
    full.unlink()
    shelf.put("of", "key", b"newer")
    for _ in range(100):
        count = shelf.losses().count
        await shelf.kept()
        if shelf.losses().count == count:
            break
    return said

said = asyncio.run(work())
shelf.close()
print(said.reason)
print(Shelf(folder / "kept.db").all("of"))
"""


def test_a_damaged_file_is_set_aside_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "events.db"
    path.write_bytes(b"no database at all" * 100)
    shelf = Shelf(path)
    shelf.put("of", "key", b"value")
    asyncio.run(shelf.kept())
    shelf.close()
    [aside] = tmp_path.glob("events.db.damaged-*")
    said = f"{path} was damaged and is set aside as {aside.name}"
    assert shelf.losses().reason == said
    assert [one.getMessage() for one in caplog.records] == [f"records are lost, or wait: {said}"]
    again = Shelf(path)
    assert again.all("of") == {"key": b"value"}
    again.close()


@pytest.mark.slow
def test_what_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kept.db"
    path.mkdir()
    shelf = Shelf(path)
    for _ in range(2):
        shelf.put("of", "key", b"value")
        asyncio.run(shelf.kept())
    shelf.close()
    assert shelf.losses().count >= 3
    assert len(caplog.records) == 1
    assert f"{path}: Is a directory" in caplog.text


@pytest.mark.slow
@needs_small_disk
@pytest.mark.parametrize("when", ["early", "late"])
def test_a_full_disk_is_called_full(tmp_path: Path, when: str) -> None:
    program = FILL.replace("sys.argv[2:]", repr([when]))
    reason, kept = run_on_small_disk(program, tmp_path).splitlines()
    assert "kept.db: " in reason
    assert reason.endswith(": the disk is full")
    assert kept == "{'key': b'newer'}", "what waited was written when there was room"
