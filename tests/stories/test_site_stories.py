"""Stories of a site say what the VIM hears; `make rewrite` accepts what it hears now.

As in test_stories.py; the first command is `site`, the others are in simulation/site_commands.py.
"""

from pathlib import Path

import pytest

from tests.simulation.site_commands import open_stage, play
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import BadStory
from tests.stories.complaints import SAYS
from tests.stories.test_stories import COVERS, DASHES, HEAD

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


# Of `make check`: one or two of each kind. All are played by `make test`.
QUICK = {
    "a_rack_that_falls_silent_is_left_alone",
    "a_vm_that_was_given_up_comes_back_with_its_host",
    "a_bmc_that_is_wired_to_another_host_is_found_out",
    "a_bmc_that_lies_about_a_host_that_is_heard_is_found_out",
    "a_controller_that_is_cut_off_suspects_nobody",
    "a_cut_off_host_without_a_bmc_ends_what_relies_on_its_lease",
    "a_dead_host_is_switched_off_and_its_vms_answer_elsewhere",
    "a_frozen_host_is_switched_off_before_its_vm_starts_elsewhere",
    "a_frozen_host_is_told_from_a_lost_one",
    "a_host_cut_off_from_all_still_writes_and_is_switched_off_first",
    "a_host_that_is_shut_down_is_no_loss",
    "a_host_that_loses_power_is_suspected_at_once",
    "a_leader_that_dies_with_a_host_delays_no_report",
    "a_plane_that_fails_for_all_is_one_alarm",
    "a_rack_that_loses_power_is_one_alarm",
    "planned_restarts_raise_nothing",
}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[] if path.stem in QUICK else [pytest.mark.slow], id=path.stem)
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
    assert len(head) == 3 + len(SAYS.findall(path.read_text())), HEAD


@pytest.mark.slow
def test_a_story_is_the_same_each_time() -> None:
    text = STORIES[0].read_text()
    assert perform(text) == perform(text)


def test_the_quick_ones_are_there() -> None:
    assert {path.stem for path in STORIES} >= QUICK


def test_a_bad_line_is_named() -> None:
    with pytest.raises(BadStory, match=r"line 2: .*there is no command vmm"):
        perform("site hosts=2 controllers=1\nvmm web\n----\n")
    with pytest.raises(BadStory, match=r"line 1: .*begins with its site"):
        perform("vm web\n----\n")
