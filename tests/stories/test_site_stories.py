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
    "a_bmc_that_answers_only_the_second_time_is_asked_twice",
    "a_bmc_that_does_not_answer_is_tried_again_until_it_does",
    "a_bmc_that_refuses_the_password_is_told_of",
    "a_bmc_that_says_on_for_ever_proves_nothing",
    "a_clock_that_is_set_changes_no_recovery",
    "a_controller_cut_off_with_a_host_switches_nobody_off",
    "a_controller_that_does_not_lead_switches_nobody_off",
    "a_controller_that_joins_judges_nobody_it_never_heard",
    "a_disarm_that_ends_by_itself_lets_the_fence_go_on",
    "a_frozen_controller_that_goes_on_accuses_nobody",
    "a_guest_that_does_not_answer_on_its_new_host_is_a_persons",
    "a_host_cut_off_everywhere_is_suspected_and_taken_back",
    "a_host_heard_again_as_it_is_switched_off_is_switched_off_all_the_same",
    "a_host_that_comes_back_in_the_middle_holds_nothing_of_its_former_vms",
    "a_host_that_dies_with_those_who_reached_it_is_missed",
    "a_host_that_is_stopped_and_does_not_come_back_is_missed",
    "a_host_that_panicked_is_switched_off_and_replaced",
    "a_late_bmc_delays_a_recovery_and_nothing_else",
    "a_leader_that_dies_in_the_middle_of_a_fence_is_followed_by_one_that_goes_on",
    "a_leader_that_dies_in_the_middle_of_a_start_is_followed_by_one_that_goes_on",
    "a_network_that_loses_much_raises_little_and_takes_it_back",
    "a_pager_is_told_that_it_is_over_by_the_next_leader",
    "a_person_confirms_that_a_host_is_dead",
    "a_person_who_says_report_only_stops_a_fence_that_is_under_way",
    "a_store_whose_answers_are_lost_recovers_once",
    "a_store_with_stalled_disks_stops_no_report",
    "a_store_without_a_quorum_has_nobody_switched_off",
    "a_store_without_a_quorum_stops_no_report",
    "a_suspicion_taken_back_after_a_change_of_leader_pages_nobody",
    "a_suspicion_that_stands_is_paged_once",
    "a_target_that_cannot_start_a_vm_gives_it_back",
    "a_target_that_dies_after_it_was_told_is_switched_off_itself",
    "a_vm_that_fits_nowhere_is_alarmed_with_the_reason",
    "a_vm_that_is_not_protected_starts_nowhere_else",
    "a_vm_that_was_stopped_on_purpose_is_not_revived_elsewhere",
    "a_vm_whose_recovery_is_another_owners_is_left_to_it",
    "a_vm_with_a_local_disk_has_its_host_left_alone",
    "agents_of_the_version_before_and_after_work_with_these_controllers",
    "controllers_split_one_one_one_still_report",
    "controllers_split_two_to_one_go_on_as_two",
    "losing_all_controllers_stops_no_vm",
    "losing_controllers_and_store_with_their_hosts_stops_no_vm_elsewhere",
    "nobody_is_switched_off_while_people_have_disarmed_it",
    "nothing_is_done_to_a_host_in_report_mode",
    "shared_storage_that_is_gone_for_all_has_nobody_switched_off",
    "the_second_bmc_of_a_ladder_is_tried_when_the_first_fails",
    "too_many_silent_hosts_at_once_are_left_to_a_person",
    "two_hosts_that_die_one_after_the_other_are_one_storm",
    "two_hosts_under_one_identity_are_told",
    "two_hosts_with_each_others_keys_are_named",
    "two_vms_of_one_uuid_on_two_hosts_are_told_and_not_mixed_up",
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


@pytest.mark.slow
def test_a_story_is_the_same_each_time() -> None:
    text = STORIES[0].read_text()
    assert perform(text) == perform(text)


def test_a_bad_line_is_named() -> None:
    with pytest.raises(BadStory, match=r"line 2: .*there is no command vmm"):
        perform("site hosts=2 controllers=1\nvmm web\n----\n")
    with pytest.raises(BadStory, match=r"line 1: .*begins with its site"):
        perform("vm web\n----\n")
