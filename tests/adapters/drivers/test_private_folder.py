"""What we make to keep things in is for its owner alone, all the way up to what was there."""

import re
import stat
from pathlib import Path

import pytest

from holdfast.adapters.drivers.private_folder import make_private_folder

SOURCES = Path(__file__).parents[3] / "src" / "holdfast"
# The system's own folders, and logs for a group; the pulse imports nothing but facts.
OTHERS = {
    *("agent/pulse.py", "adapters/drivers/site_file.py"),
    *("faces/cli/services.py", "faces/cli/supervise.py"),
}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_parent_that_had_to_be_made_is_private_too(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path / "state" / "controller" / "outboxes")
    assert mode(tmp_path) == 0o755
    for name in ("state", "state/controller", "state/controller/outboxes"):
        assert mode(tmp_path / name) == 0o700
    (tmp_path / "state").chmod(0o750)
    make_private_folder(tmp_path / "state" / "controller")
    assert mode(tmp_path / "state") == 0o750, "what is there is as its owner wants it"


def test_a_file_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(FileExistsError):
        make_private_folder(tmp_path / "state")


def test_nobody_makes_parents_that_all_can_read() -> None:
    found = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if re.search(r"mkdir\([^)]*parents=True|makedirs\(", path.read_text())
    }
    assert {path for path in found if not path.startswith("lab/")} <= OTHERS
