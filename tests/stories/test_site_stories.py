"""Stories of a site say what the VIM hears; `make rewrite` accepts what it hears now.

As in test_stories.py; the first command is `site`, the others are in simulation/site_commands.py.
"""

from pathlib import Path

import pytest

from tests.simulation.site_commands import open_stage, play
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import BadStory
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


# They take more than a second of a CPU: minutes of a site have many pulses.
LONG = {
    "a_controller_that_joins_judges_nobody_it_never_heard",
    "a_frozen_controller_that_goes_on_accuses_nobody",
    "a_host_cut_off_everywhere_is_suspected_and_taken_back",
    "a_host_that_dies_with_those_who_reached_it_is_missed",
    "a_host_that_is_stopped_and_does_not_come_back_is_missed",
    "a_network_that_loses_much_raises_little_and_takes_it_back",
    "a_pager_is_told_that_it_is_over_by_the_next_leader",
    "a_store_with_stalled_disks_stops_no_report",
    "a_store_without_a_quorum_stops_no_report",
    "a_suspicion_taken_back_after_a_change_of_leader_pages_nobody",
    "a_suspicion_that_stands_is_paged_once",
    "agents_of_the_version_before_and_after_work_with_these_controllers",
    "controllers_split_one_one_one_still_report",
    "controllers_split_two_to_one_go_on_as_two",
    "losing_all_controllers_stops_no_vm",
    "losing_controllers_and_store_with_their_hosts_stops_no_vm_elsewhere",
    "two_hosts_under_one_identity_are_told",
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
