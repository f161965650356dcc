"""A decision record says when, whether it holds, why, and what became worse."""

import re
from pathlib import Path

import pytest

from tests.architecture.sources import PROJECT

NAME = re.compile(r"\d{4}-[a-z0-9]+(-[a-z0-9]+){2,}\.md")
PARTS = [
    ("its title, a sentence", r"\A# [A-Z].+[^.\n]\n"),
    ("Created", r"^Created: \d{4}-\d{2}-\d{2}$"),
    ("Status", r"^Status: (proposed|accepted|superseded by \d{4})$"),
    ("Context", r"^## Context\n+\S"),
    ("Decision", r"^## Decision\n+\S"),
    ("Consequences", r"^## Consequences\n+\S"),
    ("what becomes worse", r"(?i)\bworse\b"),
]
PAGE_LINES = 60


def lacks(record: Path) -> list[str]:
    """What a decision record is without."""
    text = record.read_text()
    missing = [what for what, pattern in PARTS if not re.search(pattern, text, re.MULTILINE)]
    if not NAME.fullmatch(record.name):
        missing.append("a name like 0001-a-title-as-a-sentence.md")
    if text.count("\n") > PAGE_LINES:
        missing.append("brevity: one page")
    return missing


RECORDS = sorted((PROJECT / "docs/decisions").glob("*"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_record_is_whole(record: Path) -> None:
    assert lacks(record) == []


def test_no_number_is_given_twice() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("part", ["# The", "Created", "Status", "## Con", "## Dec", "Worse"])
def test_a_record_without_a_part_is_named(tmp_path: Path, part: str) -> None:
    whole = (PROJECT / "docs/decisions/0001-the-lock-is-a-list-of-hashes.md").read_text()
    mutant = tmp_path / "0001-the-lock-is-a-list.md"
    mutant.write_text(whole.replace(part, "x"))
    assert lacks(mutant)


def test_a_record_with_a_poor_name_or_too_long_is_named(tmp_path: Path) -> None:
    whole = (PROJECT / "docs/decisions/0001-the-lock-is-a-list-of-hashes.md").read_text()
    (tmp_path / "locks.md").write_text(whole)
    (tmp_path / "0001-the-lock-is-a-list.md").write_text(whole + "More.\n" * PAGE_LINES)
    assert lacks(tmp_path / "locks.md")
    assert lacks(tmp_path / "0001-the-lock-is-a-list.md")
