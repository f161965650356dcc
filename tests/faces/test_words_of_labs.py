"""What is printed about one lab never takes away, or makes, another one."""

import re
from pathlib import Path

import pytest

from holdfast.faces.cli.lab import HOWS
from holdfast.lab.commands import LabError, NoLab, lab_command
from holdfast.lab.host import find_wire
from holdfast.lab.hosts import Lab, split_by_maker
from holdfast.lab.practice import BREAKS
from tests.architecture.sources import PROJECT
from tests.faces.conftest import Run

NOWHERE = "nobody-made-this-one"


def test_a_lab_is_named_where_it_is_not_the_usual_one() -> None:
    assert lab_command("down", "newcomer") == "holdfast lab down --name newcomer"
    assert lab_command("exec", "newcomer", "h1 -- virsh list") == (
        "holdfast lab exec --name newcomer h1 -- virsh list"
    )
    assert lab_command("down", "lab") == "holdfast lab down"


def test_a_lab_that_is_not_up_is_named_in_what_makes_it(run: Run) -> None:
    with pytest.raises(NoLab, match=f"`holdfast lab up --name {NOWHERE}`"):
        Lab.find(NOWHERE)
    with pytest.raises(LabError, match=f"`holdfast lab up --name {NOWHERE}`"):
        find_wire(NOWHERE)
    assert f"`holdfast lab up --name {NOWHERE}`" in run("lab", "status", "--name", NOWHERE).err


def test_no_text_names_a_command_of_labs_without_its_lab() -> None:
    folder = PROJECT / "src" / "holdfast"
    files = [*(folder / "lab").rglob("*.py"), folder / "faces" / "cli" / "lab.py"]
    assert len(files) > 20
    found = [_printed(path) for path in files]
    assert [one for one in found if one] == []


def _printed(path: Path) -> list[str]:
    """Docstrings may; what a person is told goes through lab_command."""
    return re.findall(
        r'"[^"\n]*holdfast lab (?:up|down|exec|break|mend|practice)[^"\n]*"', path.read_text()
    )


def test_each_way_to_break_a_host_can_be_typed() -> None:
    assert tuple(BREAKS) == HOWS


def test_a_clone_takes_its_own_labs_away_and_names_those_of_others() -> None:
    made = {"mine": "/a/.venv", "theirs": "/b/.venv", "lost": ""}
    assert split_by_maker(made, "/a/.venv") == (["mine"], ["theirs", "lost"])
    clean = (PROJECT / "Makefile").read_text()
    assert "holdfast lab down --own" in clean
    assert "--all" not in clean
