"""The page of requirements is what the stories, tests, alarms and drills make of it."""

from holdfast.facts.catalogue import CATALOGUE
from holdfast.lab.drills.director import DRILLS
from tests.stories.requirements import (
    NOT_YET,
    PAGE,
    PARTLY,
    REQUIREMENTS,
    STORIES,
    covered_by,
    render,
)

BY_ID = {one.id: one for one in REQUIREMENTS}


def test_the_page_is_up_to_date(rewrite: bool) -> None:
    if rewrite:
        PAGE.write_text(render())
    assert PAGE.read_text() == render(), "make requirements"


def test_every_requirement_has_its_row_once() -> None:
    assert [one.id for one in REQUIREMENTS] == [f"H{n}" for n in range(1, 22)]


def test_only_known_requirements_are_covered() -> None:
    stories = [covered_by(path.read_text()) for path in STORIES.rglob("*.txt")]
    alarms = [set(row.covers) for row in CATALOGUE]
    assert set().union(*stories, *alarms) <= set(BY_ID)


def test_what_works_is_shown_and_what_is_shown_is_claimed() -> None:
    shown = set().union(*(covered_by(path.read_text()) for path in STORIES.rglob("*.txt")))
    claimed = {one.id for one in REQUIREMENTS if one.state is not NOT_YET}
    assert claimed == shown


def test_what_is_partly_done_says_what_is_missing() -> None:
    assert all(bool(one.limits) == (one.state == PARTLY) for one in REQUIREMENTS)


def test_the_drills_exist() -> None:
    assert {name for one in REQUIREMENTS for name in one.drills} <= set(DRILLS)
