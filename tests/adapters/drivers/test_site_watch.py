"""A program hears that the site's part of its settings changed, whenever that was written."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.drivers.site_watch import wait_site_changed
from holdfast.facts.settings import Settings
from holdfast.facts.settings_reader import read_settings

BEFORE = "[site]\npulse_port = 7312\n"
AFTER = "[site]\npulse_port = 7400\n"


def read(file: Path) -> Settings:
    return structs.replace(read_settings(file.read_text(), str(file)), file=str(file))


def hears(settings: Settings, change: str = "") -> bool:
    """Whether it returns soon; `change` is written a moment after it began."""

    async def work() -> None:
        task = asyncio.create_task(wait_site_changed(settings, each_s=0.01))
        await asyncio.sleep(0.05)
        if change:
            Path(settings.file).write_text(change)
        await asyncio.wait_for(task, 0.2)

    try:
        asyncio.run(work())
    except TimeoutError:
        return False
    return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "holdfast.toml"
    path.write_text(BEFORE)
    return path


def test_a_change_is_heard(file: Path) -> None:
    assert hears(read(file), AFTER)


def test_a_change_before_it_looked_for_the_first_time_is_heard(file: Path) -> None:
    settings = read(file)
    file.write_text(AFTER)
    assert hears(settings)


@pytest.mark.parametrize("change", ["", BEFORE, "rack = 'r1'\n" + BEFORE, "[site\n"])
def test_what_says_nothing_new_of_the_site_is_none(file: Path, change: str) -> None:
    assert not hears(read(file), change)


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    assert not hears(Settings(file=str(tmp_path / "away.toml")))
