"""What the watch remembers of its site; a journal that is damaged is said to be.

covers: H5
"""

from pathlib import Path

import pytest

from holdfast.controller.site_memory import open_journal, remember
from holdfast.facts.instants import Instant
from holdfast.facts.site import HostSet
from holdfast.policy.site import SiteDecider


def write(folder: Path) -> None:
    decider = SiteDecider()
    journal = open_journal(folder, decider)
    for name in ("alpha", "beta"):
        told = HostSet(at=Instant(1), host=f"host-{name}", name=name)
        journal.append("input", Instant(1), told)
        decider.step(told)
    journal.close()


def test_an_intact_journal_is_remembered_and_nothing_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert remember(tmp_path / "none").hosts == {}
    write(tmp_path)
    assert sorted(remember(tmp_path).hosts) == ["host-alpha", "host-beta"]
    assert caplog.text == ""


def test_lines_that_are_damaged_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path)
    [path] = [one for one in tmp_path.iterdir() if b"host-beta" in one.read_bytes()]
    path.write_bytes(path.read_bytes().replace(b"host-beta", b"host-betx"))
    assert sorted(remember(tmp_path).hosts) == ["host-alpha"]
    assert "left out of the site's journal, as damaged: 1 lines" in caplog.text


def test_a_journal_of_rubbish_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path)
    for path in tmp_path.iterdir():
        if path.stat().st_size:
            path.write_bytes(b"rubbish\n")
    assert remember(tmp_path).hosts == {}
    assert "the site's journal cannot be read" in caplog.text
