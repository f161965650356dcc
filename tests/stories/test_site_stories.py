"""Stories of a site say what the VIM hears; `make rewrite` accepts what it hears now.

As in test_stories.py; the first command is `site`, the others are in simulation/site_commands.py.
"""

from pathlib import Path

import pytest

from tests.simulation.site_commands import BadStory, open_stage, play
from tests.simulation.site_stage import SiteStage
from tests.stories.test_stories import COVERS, DASHES

HERE = Path(__file__).parent / "sites"
STORIES = sorted(HERE.glob("*.txt"))


def perform(text: str) -> str:
    """The story with what the VIM hears now. Raises BadStory."""
    stage: SiteStage | None = None
    told: list[str] = []
    said: list[str] = []
    is_saying = False
    try:
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
                    if stage is None:
                        stage = open_stage(line)
                    else:
                        said += play(stage, line)
                except BadStory as error:
                    raise BadStory(f"line {number}: {error}") from None
    finally:
        if stage is not None:
            stage.end()
    return "\n".join(told).rstrip("\n") + "\n"


# Minutes of a site with many pulses: they take seconds of a CPU.
LONG = {
    "agents_of_the_version_before_and_after_work_with_these_controllers",
    "losing_all_controllers_stops_no_vm",
    "losing_controllers_and_store_with_their_hosts_stops_no_vm_elsewhere",
    "two_hosts_with_each_others_keys_are_named",
    "what_could_not_be_told_is_told_in_order",
}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] if path.stem in LONG else [], id=path.stem)
        for path in STORIES
    ],
)
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
    assert len(head) == 3, "two lines of story, then what it covers"


def test_a_story_is_the_same_each_time() -> None:
    text = STORIES[0].read_text()
    assert perform(text) == perform(text)


def test_a_bad_line_is_named() -> None:
    with pytest.raises(BadStory, match=r"line 2: .*there is no command vmm"):
        perform("site hosts=2 controllers=1\nvmm web\n----\n")
    with pytest.raises(BadStory, match=r"line 1: .*begins with its site"):
        perform("vm web\n----\n")
