"""What the watch remembers of its site; a journal that is damaged is said to be.

covers: H5
"""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.vims.builtin import Builtin
from holdfast.controller.site_memory import open_journal, remember
from holdfast.facts.instants import Instant
from holdfast.facts.site import HostSet
from holdfast.policy.site import SiteDecider
from tests.adapters.contract_vim import told
from tests.controller.house import running, settings


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


def test_what_the_vim_alone_knows_was_said_is_remembered(tmp_path: Path) -> None:
    """Nobody else would end it, or tell it once more."""

    async def work() -> None:
        given = settings(tmp_path)
        async with running(given):
            pass
        said = [told(revision=3), told(revision=3)]
        for number, condition in enumerate(("host-lost", "vm-gone")):
            alarm = structs.replace(
                said[number].alarm, condition=condition, key=f"h4/b:{condition}"
            )
            said[number] = structs.replace(said[number], alarm=alarm)
        vim = Builtin(Path(given.state_dir) / "controller" / "alarms.db")
        for one in said:
            await vim.report(one)
        await vim.close()
        async with running(given) as house:
            reported = house.controller.watch.decider.world.reported
            assert [(key, one.revision) for key, one in reported.items()] == [("h4/b:host-lost", 3)]

    asyncio.run(work())


def test_a_journal_of_rubbish_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path)
    for path in tmp_path.iterdir():
        if path.stat().st_size:
            path.write_bytes(b"rubbish\n")
    assert remember(tmp_path).hosts == {}
    assert "the site's journal cannot be read" in caplog.text
