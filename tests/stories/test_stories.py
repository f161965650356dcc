"""Every story says what the system says; `make rewrite` accepts what it says now.

A story is a text file named by its sentence. Its head tells it in two lines, and which requirements
it covers, and perhaps which complaints it is about (tests/stories/complaints.py). Then come blocks,
each ended by an empty line:

    kill web                    what happens (tests/stories/commands.py)
    advance 10 s                ... and how much time passes
    ----
        6.000 s  < what policy heard
        6.000 s  > what it did
"""

import re
from pathlib import Path

import pytest

from tests.stories.commands import BadStory, play
from tests.stories.complaints import SAYS
from tests.stories.stage import Stage

HERE = Path(__file__).parent
STORIES = sorted(HERE.glob("*.txt"))
DASHES = "----"
HEAD = "two lines of story, what it covers, and perhaps which complaints it is about"
COVERS = re.compile(r"^# covers: (H\d+(?: H\d+)*)$", re.MULTILINE)


def perform(text: str) -> str:
    """The story with what the system says now. Raises BadStory."""
    stage = Stage()
    told: list[str] = []
    said: list[str] = []
    is_saying = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            told.append(line)
        elif line == DASHES:
            told += [DASHES, *(said or ["(nothing is said)"]), ""]
            said, is_saying = [], True
        elif not line:
            is_saying = False
            if told and told[-1]:
                told.append("")
        elif not is_saying:
            told.append(line)
            try:
                said += play(stage, line)
            except BadStory as error:
                raise BadStory(f"line {number}: {error}") from None
    return "\n".join(told).rstrip("\n") + "\n"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story(path: Path, rewrite: bool) -> None:
    text = path.read_text()
    now = perform(text)
    if rewrite:
        path.write_text(now)
    else:
        assert now == text


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_says_what_it_is_about(path: Path) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert COVERS.search(path.read_text()), "it does not say what it covers"
    assert len(head) == 3 + len(SAYS.findall(path.read_text())), HEAD


def test_there_are_stories() -> None:
    assert len(STORIES) >= 35


def test_a_story_is_the_same_each_time() -> None:
    text = STORIES[0].read_text()
    assert perform(text) == perform(text)


def test_a_bad_line_is_named() -> None:
    with pytest.raises(BadStory, match=r"line 2: .*there is no command vmm"):
        perform("host\nvmm web\n----\n")
    with pytest.raises(BadStory, match="line 1: 'kill web': KeyError"):
        perform("kill web\n----\n")
