"""The repair ladder: told first, each step verified, bounded, and handed over with what was tried.

covers: H1 H18 H19
"""

from holdfast.facts.actions import LookAgain, Report, TryRepair
from holdfast.facts.alarms import AlarmState
from holdfast.facts.commands import Armed, IncidentSettled, Restarted
from holdfast.facts.incidents import IncidentState
from holdfast.facts.mending import HANDED_OVER, HELD_BACK, IN_PROGRESS, RepairLadder, Risk
from holdfast.facts.verdicts import Certainty, Effect
from holdfast.policy import timing
from tests.policy.ladder_scene import (
    CONDITION,
    HOUR_MS,
    TOTAL_MS,
    LadderScene,
    at,
    booted,
    cleared,
    disarmed,
    raised,
    step,
)


def test_it_is_told_before_anything_is_tried_and_says_when_the_vim_has_it() -> None:
    scene = LadderScene()
    first, *_, last = scene.step(raised(1_000))
    assert isinstance(first, Report)
    assert isinstance(last, TryRepair)
    assert scene.repair() == IN_PROGRESS
    assert scene.alarm().details["hand_over_after_fault_ms"] == str(TOTAL_MS)
    assert "restart it (step 1 of 2); handed over 30.0 s after the fault" in scene.alarm().repair


def test_a_step_that_says_done_mends_nothing_until_its_detector_has_looked() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    said = scene.done(2_000)
    assert any(isinstance(one, LookAgain) for one in said)
    assert scene.alarm().state is not AlarmState.CLEARED
    scene.step(cleared(2_500))
    assert scene.alarm().state is AlarmState.CLEARED
    assert "mended here, in 1 step" in scene.alarm().text
    assert scene.decider.world.mends.counts == {"nova": {"restart: mended": 1}}
    [incident] = scene.decider.world.incidents.values()
    assert (incident.state, incident.recovered_ms) == (IncidentState.CLOSED, 1_500)


def test_what_is_not_verified_in_time_is_followed_by_the_next_step() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.done(2_000)
    scene.advance(5_000)
    assert [one.step.name for one in scene.orders] == ["restart", "reset"]
    assert scene.alarm().details["tried"] == "restart it: not verified"


def test_after_the_last_step_the_vim_has_it_with_all_that_was_tried() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.failed(2_000, "the unit is masked")
    scene.failed(3_000, "it was ended after 5 s", overran=True)
    assert scene.repair() == HANDED_OVER
    assert (
        "restart it: failed (the unit is masked); reset it: ran too long"
        in (scene.alarm().details["tried"])
    )
    [incident] = scene.decider.world.incidents.values()
    assert incident.needs_you == f"holdfast explain {incident.id}"
    scene.advance(200_000)
    assert len(scene.orders) == 2


def test_a_step_of_which_nothing_is_heard_is_given_up_after_its_budget() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.advance(1_000 + 5_000 + timing.STEP_SAID_MS)
    assert [one.step.name for one in scene.orders] == ["restart", "reset"]
    scene.advance(60_000)
    assert scene.repair() == HANDED_OVER


def test_the_time_of_the_ladder_is_over_whatever_step_is_under_way() -> None:
    one = RepairLadder(
        condition=CONDITION, subject="nova", steps=(step("restart"),) * 9, total_ms=7_000
    )
    scene = LadderScene((one,))
    scene.step(raised(0))
    scene.failed(4_000)
    assert scene.orders[-1].limit_ms == 3_000
    scene.advance(7_000)
    assert scene.repair() == HANDED_OVER
    assert "restart it: not awaited" in scene.alarm().details["tried"]


def test_who_fails_again_and_again_is_handed_over_at_once() -> None:
    scene = LadderScene()
    ms = 1_000.0
    for _ in range(3):
        scene.step(raised(ms))
        scene.done(ms + 100)
        scene.step(cleared(ms + 1_200))
        ms += 60_000
    scene.step(raised(ms))
    assert scene.repair() == HANDED_OVER
    assert "it was mended 3 times within the last hour" in scene.alarm().repair
    scene.step(cleared(ms + 10))
    scene.step(raised(ms + HOUR_MS))
    assert scene.repair() == IN_PROGRESS


def test_a_host_that_mends_itself_all_the_time_stops_doing_so() -> None:
    ladders = tuple(
        RepairLadder(
            condition=CONDITION, subject=f"p{number}", steps=(step("restart"),), total_ms=TOTAL_MS
        )
        for number in range(timing.MENDS_AN_HOUR + 1)
    )
    scene = LadderScene(ladders)
    for number in range(timing.MENDS_AN_HOUR + 1):
        scene.step(raised(1_000, f"p{number}"))
    assert len(scene.orders) == timing.MENDS_AN_HOUR
    assert scene.repair(f"p{timing.MENDS_AN_HOUR}") == HANDED_OVER


def test_nothing_is_tried_while_disarmed_and_the_vim_still_gets_it_in_time() -> None:
    scene = LadderScene()
    scene.step(disarmed(0, 600_000))
    scene.step(raised(1_000))
    assert scene.repair() == HELD_BACK
    assert "ann disarmed recovery: work" in scene.alarm().repair
    scene.advance(TOTAL_MS + 1_000)
    assert scene.repair() == HANDED_OVER
    assert not scene.orders


def test_what_was_held_back_goes_on_when_recovery_is_armed_again() -> None:
    scene = LadderScene()
    scene.step(disarmed(0, 600_000))
    scene.step(raised(1_000))
    scene.step(Armed(at=at(5_000), by="ann"))
    assert [one.step.name for one in scene.orders] == ["restart"]


def test_a_disarm_in_the_middle_holds_back_the_next_step() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.step(disarmed(1_500, 10_000))
    scene.failed(2_000)
    assert len(scene.orders) == 1
    scene.advance(10_000)  # It ends by itself.
    assert [one.step.name for one in scene.orders] == ["restart", "reset"]


def test_the_same_fault_in_the_middle_of_its_repair_begins_nothing_new() -> None:
    scene = LadderScene()
    scene.step(raised(1_000, effect=Effect.STUCK, certainty=Certainty.SUSPECTED))
    scene.step(raised(1_500, effect=Effect.GONE))
    assert len(scene.orders) == 1
    scene.step(cleared(2_000))
    assert scene.alarm().state is not AlarmState.CLEARED, "the step may still change that"
    scene.step(raised(2_100))
    scene.done(2_500)
    assert scene.alarm().state is not AlarmState.CLEARED, "it failed again since"


def test_what_is_well_before_its_step_has_ended_is_mended_by_it() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.step(cleared(2_000))
    scene.done(2_500)
    assert scene.alarm().state is AlarmState.CLEARED


def test_a_step_that_made_it_worse_is_followed_by_the_next_one_at_once() -> None:
    scene = LadderScene()
    scene.step(raised(1_000, effect=Effect.STUCK))
    scene.done(2_000)
    scene.step(raised(2_100, effect=Effect.GONE))
    assert [one.step.name for one in scene.orders] == ["restart", "reset"]
    assert "restart it: made it worse" in scene.alarm().details["tried"]


def test_what_vms_may_feel_is_not_tried_on_a_suspicion() -> None:
    one = RepairLadder(
        condition=CONDITION,
        subject="nova",
        steps=(step("restart", risk=Risk.GUESTS),),
        total_ms=TOTAL_MS,
    )
    scene = LadderScene((one,))
    scene.step(raised(1_000, effect=Effect.STUCK, certainty=Certainty.SUSPECTED))
    assert not scene.orders
    scene.step(raised(2_000, effect=Effect.STUCK, certainty=Certainty.CERTAIN))
    assert len(scene.orders) == 1


def test_of_faults_with_one_cause_the_cause_is_mended_first() -> None:
    scene = LadderScene()
    scene.step(raised(1_000, "libvirt"))
    scene.step(raised(1_010, "nova"))
    assert [one.subject.id for one in scene.orders] == ["libvirt"]
    assert scene.repair("nova") == HELD_BACK
    assert scene.alarm("nova").root == scene.alarm("libvirt").key
    scene.done(2_000)
    scene.step(cleared(3_000, "libvirt"))
    scene.step(cleared(3_500, "nova"))
    assert [one.subject.id for one in scene.orders] == ["libvirt"]
    assert "it came back by itself" in scene.alarm("nova").text


def test_what_does_not_come_back_with_its_cause_is_mended_after_it() -> None:
    scene = LadderScene()
    scene.step(raised(1_000, "libvirt"))
    scene.step(raised(1_010, "nova"))
    scene.done(2_000)
    scene.step(cleared(3_000, "libvirt"))
    scene.advance(3_000 + timing.AFTER_CAUSE_MS)
    assert [one.subject.id for one in scene.orders] == ["libvirt", "nova"]


def test_with_a_cause_that_is_handed_over_goes_what_needs_it() -> None:
    scene = LadderScene()
    scene.step(raised(1_000, "libvirt"))
    scene.step(raised(1_010, "nova"))
    scene.failed(2_000)
    scene.failed(3_000)
    assert (scene.repair("libvirt"), scene.repair("nova")) == (HANDED_OVER, HANDED_OVER)
    assert "what it needs could not be mended: libvirt" in scene.alarm("nova").repair


def test_an_agent_that_comes_back_does_the_step_again() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.step(Restarted(at=at(2_000)))
    assert [one.step.name for one in scene.orders] == ["restart", "restart"]
    scene.step(cleared(2_100))
    scene.done(2_500)
    assert scene.alarm().state is AlarmState.CLEARED


def test_a_late_word_of_an_earlier_order_says_nothing() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    late = scene.orders[-1]
    scene.failed(2_000)
    scene.orders.append(late)
    assert not scene.done(2_100)


def test_a_retraction_ends_all_of_it() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.step(cleared(1_050, was_wrong=True))
    assert scene.alarm().state is AlarmState.CLEARED
    assert not scene.done(2_000)
    assert scene.decider.deadline() is None


def test_a_new_boot_forgets_what_was_under_way() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.step(booted(10, "b2"))
    assert scene.alarm().state is AlarmState.CLEARED
    assert not scene.decider.world.mends.open


def test_a_person_may_settle_it() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.truth("nova").is_faulty = False  # A person says so.
    [incident] = scene.decider.world.incidents
    scene.step(IncidentSettled(at=at(2_000), incident=incident, by="ann"))
    assert scene.alarm().state is AlarmState.CLEARED


def test_what_comes_back_after_it_was_handed_over_is_cleared() -> None:
    scene = LadderScene()
    scene.step(raised(1_000))
    scene.failed(2_000)
    scene.failed(3_000)
    scene.step(cleared(50_000))
    assert "it had been handed over" in scene.alarm().text


def test_a_fault_without_a_known_repair_is_only_told() -> None:
    scene = LadderScene()
    [only] = scene.step(raised(1_000, "other"))
    assert isinstance(only, Report)
    assert not scene.decider.world.incidents
