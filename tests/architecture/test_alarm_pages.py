"""The operator's pages say what the catalogue says; `make rewrite` writes them anew."""

from pathlib import Path

from holdfast.faces.pages.alarm_pages import pages
from holdfast.facts.catalogue import CATALOGUE

FOLDER = Path(__file__).parents[2] / "docs/operate/alarms"


def test_every_alarm_has_its_page_and_no_page_is_left_over(rewrite: bool) -> None:
    wanted = pages()
    if rewrite:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path in FOLDER.glob("*.md"):
            path.unlink()
        for name, text in wanted.items():
            (FOLDER / name).write_text(text)
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == wanted


def test_ids_are_unique() -> None:
    assert len({row.id for row in CATALOGUE}) == len(CATALOGUE)
