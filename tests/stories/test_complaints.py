"""The page of complaints is what the stories make of it, and each complaint has its stories."""

import pytest

from tests.stories.complaints import COMPLAINTS, PAGE, Complaint, render, said_by, stories_of
from tests.stories.requirements import STORIES


def test_the_page_is_up_to_date(rewrite: bool) -> None:
    if rewrite:
        PAGE.write_text(render())
    assert PAGE.read_text() == render(), "make requirements"


def test_every_complaint_has_its_row_once() -> None:
    assert [one.id for one in COMPLAINTS] == [f"C{n}" for n in range(1, 14)]


@pytest.mark.parametrize("complaint", COMPLAINTS, ids=lambda one: one.id)
def test_every_complaint_has_a_story(complaint: Complaint) -> None:
    assert list(stories_of(complaint.id)), "no story says that it is about it"


def test_stories_are_about_known_complaints() -> None:
    said = [said_by(path.read_text()) for path in STORIES.rglob("*.txt")]
    assert set().union(*said) <= {one.id for one in COMPLAINTS}


def test_a_story_says_which_complaints_it_is_about() -> None:
    assert said_by("# covers: H7 H9\n# complaints: C2 C11\nsite hosts=3\n") == {"C2", "C11"}
    assert said_by("# It is about complaints: C2\n") == set()
