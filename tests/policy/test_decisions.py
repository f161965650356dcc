"""What policy decides when a VM fails, rule by rule; every step goes through the laws."""

import pytest

from holdfast.facts.actions import (
    AwaitAnswer,
    CaptureLastWords,
    EndVm,
    ProveGone,
    Report,
    RestartHere,
    TellIncident,
    TellTenure,
)
from holdfast.facts.alarms import AlarmState
from holdfast.facts.commands import (
    Armed,
    RecoveryAsked,
)
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.outcomes import (
    StartFailed,
    VmEnded,
    VmNotEnded,
)
from holdfast.facts.tenure import Wanted
from holdfast.policy import timing
from holdfast.policy.vm_states import VmState
from tests.policy import inputs
from tests.policy.inputs import at, life
from tests.policy.scene import UUID, WEB1, WEB2, WEB3, Scene, alarms_in, kinds


def test_a_killed_vm_is_reported_proven_started_and_answers() -> None:
    scene = Scene()
    failed = scene.step(inputs.failed(scene.later(), WEB1))
    assert kinds(failed) == [Report, TellIncident, CaptureLastWords]
    assert kinds(scene.step(inputs.ended(scene.later(), WEB1))) == [ProveGone]
    assert RestartHere in kinds(scene.prove())
    incident = scene.incident
    assert AwaitAnswer in kinds(scene.step(inputs.started(scene.later(), incident, WEB2)))
    assert scene.open_alarms == {"vm-gone"}, "running is not answering"
    done = scene.step(inputs.answered(scene.later(), incident, WEB2))
    assert [alarm.state for alarm in alarms_in(done)] == [AlarmState.CLEARED]
    closed = scene.lawful.decider.world.incidents[incident]
    assert closed.state is IncidentState.CLOSED
    assert closed.verified
    assert closed.recovered_ms == pytest.approx(30, abs=20)


def test_a_proof_about_an_earlier_life_starts_nothing() -> None:
    scene = Scene()
    scene.restart()
    scene.kill(WEB2)
    assert scene.prove(WEB1) == []
    assert scene.state() is VmState.PROVING


def test_libvirts_word_in_the_proof_that_somebody_wanted_this_end() -> None:
    scene = Scene()
    scene.kill()
    done = scene.prove(wanted="libvirt says destroyed")
    assert RestartHere not in kinds(done)
    assert scene.state() is VmState.STOPPED
    assert scene.open_alarms == set()
    told = [action.tenure.wanted for action in done if isinstance(action, TellTenure)]
    assert told == [Wanted.STOPPED]


def test_an_operators_destroy_of_a_stuck_vm_stands() -> None:
    scene = Scene()
    scene.stick()
    scene.step(inputs.failed(scene.later(), WEB1), inputs.stopped(scene.later(), WEB1))
    assert scene.state() is VmState.STOPPED
    assert scene.lawful.deadline() is None


def test_our_own_end_of_a_stuck_vm_is_no_wish() -> None:
    scene = Scene()
    scene.stick()
    assert EndVm in kinds(scene.capture())
    scene.step(VmEnded(incident=scene.incident, at=at(scene.later()), life=WEB1))
    scene.step(inputs.ended(scene.later(), WEB1), inputs.stopped(scene.later(), WEB1))
    assert scene.state() is VmState.PROVING
    assert RestartHere in kinds(scene.prove(wanted="libvirt says destroyed"))


def test_what_is_stuck_and_then_killed_is_one_alarm() -> None:
    scene = Scene()
    scene.stick()
    told = alarms_in(scene.step(inputs.failed(scene.later(), WEB1)))
    assert [(a.condition, a.state) for a in told] == [("vm-stuck", AlarmState.CHANGED)]


def test_the_evidence_of_a_stuck_vm_is_not_awaited_for_ever() -> None:
    scene = Scene()
    scene.stick()
    assert scene.lawful.deadline() == at(scene.ms + timing.LAST_WORDS_BUDGET_MS)
    assert EndVm in kinds(scene.wake())


def test_a_vm_that_cannot_be_ended_is_handed_over() -> None:
    scene = Scene()
    scene.stick()
    scene.capture()
    for _ in range(timing.END_TRIES):
        reason = "libvirt: the domain is busy"
        scene.step(VmNotEnded(incident=scene.incident, at=at(scene.later()), reason=reason))
        if scene.state() is VmState.ENDING:
            assert kinds(scene.wake()) == [EndVm, TellIncident]
    assert scene.state() is VmState.HANDED_OVER
    mended = scene.step(inputs.cleared(scene.later(), WEB1, "vm-stuck"))
    assert AwaitAnswer not in kinds(mended), "its end is under way, by our own word"


@pytest.mark.parametrize("stage", ["evidence", "proof", "wait"])
def test_a_disarm_holds_recovery_in_each_stage(stage: str) -> None:
    scene = Scene()
    if stage == "evidence":
        scene.stick()
    else:
        scene.kill()
    if stage == "wait":
        scene.prove()
        reason = "libvirt says no"
        scene.step(StartFailed(incident=scene.incident, at=at(scene.later()), reason=reason))
        scene.prove()
        assert scene.state() is VmState.WAITING
    scene.step(inputs.disarmed(scene.later()))
    if stage == "evidence":
        scene.capture()
    elif stage == "proof":
        scene.prove()
    else:
        scene.wake()
        scene.prove()
    assert scene.state() is VmState.HELD_BACK
    goes_on = scene.step(Armed(at=at(scene.later()), by="ann"))
    assert (EndVm if stage == "evidence" else ProveGone) in kinds(goes_on)


def test_a_vm_that_fails_while_disarmed_is_reported_and_held_back() -> None:
    scene = Scene()
    scene.step(inputs.disarmed(scene.later(), 60_000))
    assert alarms_in(scene.kill())
    assert scene.state() is VmState.HELD_BACK
    assert ProveGone in kinds(scene.wake()), "the disarm ends by itself"


def test_the_budget_ends_a_crash_loop() -> None:
    scene = Scene()
    scene.restart(WEB1, WEB2)
    scene.restart(WEB2, WEB3)
    scene.restart(WEB3, life(4))
    scene.kill(life(4))
    assert scene.state() is VmState.HANDED_OVER
    assert scene.open_alarms == {"vm-gone", "recovery-given-up", "promise-broken"}
    assert scene.lawful.restarts == inputs.GOLD.restarts
    incident = scene.lawful.decider.world.incidents[scene.incident]
    assert incident.needs_you == "holdfast vm recover web"
    scene.step(RecoveryAsked(at=at(scene.later()), vm=UUID, by="ann"))
    assert RestartHere in kinds(scene.prove(life(4)))


def test_back_off_grows_and_each_start_has_a_proof_of_its_own() -> None:
    scene = Scene()
    scene.kill()
    scene.prove()
    waits = []
    for _ in range(2):
        reason = "libvirt says no"
        scene.step(StartFailed(incident=scene.incident, at=at(scene.later()), reason=reason))
        began = scene.later()
        assert RestartHere not in kinds(scene.step(inputs.proven(began, scene.incident, WEB1)))
        due = scene.lawful.deadline()
        assert due is not None
        waits.append((due - at(began)) / NS_PER_MS)
        assert kinds(scene.wake()) == [ProveGone]
        assert RestartHere in kinds(scene.prove())
    assert waits == [timing.back_off_ms(1), timing.back_off_ms(2)]


def test_what_was_stopped_on_purpose_is_not_revived_by_a_late_failure() -> None:
    scene = Scene()
    scene.step(inputs.ended(scene.later(), WEB1), inputs.stopped(scene.later(), WEB1))
    assert alarms_in(scene.step(inputs.failed(scene.later(), WEB1))), "it is reported"
    assert scene.state() is VmState.HANDED_OVER


def test_a_late_word_about_an_earlier_life_stops_nothing() -> None:
    scene = Scene()
    scene.restart()
    scene.kill(WEB2)
    assert scene.step(inputs.stopped(scene.later(), WEB1)) == []
    assert RestartHere in kinds(scene.prove(WEB2)) or scene.state() is VmState.WAITING


def test_a_failure_learned_late_is_reported_and_restarts_nothing() -> None:
    scene = Scene()
    scene.step(inputs.ran(scene.later(), WEB2))
    told = scene.step(inputs.failed(scene.later(), WEB1, "vm-ended-outside"))
    assert kinds(told)[0] is Report
    assert not {ProveGone, RestartHere, EndVm} & set(kinds(told))
    scene.step(inputs.answered(scene.later(), scene.incident, WEB2))
    assert scene.open_alarms == set()
    assert scene.step(inputs.failed(scene.later(), WEB1, "vm-ended-outside")) == [], "old news"


def test_one_start_at_a_time() -> None:
    """The new life dies before its start has an outcome: the next start waits for that."""
    scene = Scene()
    scene.kill()
    scene.prove()
    scene.step(inputs.ran(scene.later(), WEB2))
    scene.kill(WEB2)
    assert RestartHere not in kinds(scene.prove(WEB2))
    assert scene.state() is VmState.WAITING
    assert scene.lawful.deadline() is None, "it waits for the outcome, not for a time"
    reason = "QEMU ended while it was started"
    failed = StartFailed(incident=scene.incident, at=at(scene.later()), reason=reason)
    assert ProveGone in kinds(scene.step(failed))


def test_a_start_that_outlives_its_incident_blocks_nothing() -> None:
    scene = Scene()
    scene.kill()
    scene.prove()
    first = scene.incident
    scene.step(inputs.ran(scene.later(), WEB2), inputs.answered(scene.later(), first, WEB2))
    scene.step(inputs.started(scene.later(), first, WEB2))
    scene.kill(WEB2)
    scene.prove(WEB2)
    scene.wake()
    assert RestartHere in kinds(scene.prove(WEB2))


def test_an_answer_of_a_life_that_failed_since_closes_nothing() -> None:
    scene = Scene()
    scene.restart()
    scene.step(inputs.stuck(scene.later(), WEB2))
    assert scene.step(inputs.answered(scene.later(), scene.incident, WEB2)) == []
    scene.step(inputs.failed(scene.later(), WEB2), inputs.ended(scene.later(), WEB2))
    assert scene.step(inputs.answered(scene.later(), scene.incident, WEB2)) == []


def test_a_vm_that_does_not_answer_is_not_ended_but_by_a_person() -> None:
    scene = Scene()
    scene.restart()
    told = scene.step(inputs.overdue(scene.later(), scene.incident, WEB2))
    assert EndVm not in kinds(told)
    assert kinds(told)[-1] is AwaitAnswer, "a late answer still counts"
    assert scene.state() is VmState.HANDED_OVER
    again = scene.step(inputs.overdue(scene.later(), scene.incident, WEB2))
    assert kinds(again) == [AwaitAnswer], "what it needs a person for stays said"
    asked = scene.step(RecoveryAsked(at=at(scene.later()), vm=UUID, by="ann"))
    assert EndVm in kinds(asked)


def test_each_bundle_of_an_incident_tells_of_its_own_life() -> None:
    scene = Scene()
    first = scene.kill(WEB1)
    scene.step(inputs.captured(scene.later(), scene.incident, "bundle-1", "out of memory"))
    scene.prove(WEB1)
    scene.step(inputs.ran(scene.later(), WEB2), inputs.started(scene.later(), scene.incident, WEB2))
    second = scene.kill(WEB2)
    [one], [two] = (
        [action for action in told if isinstance(action, CaptureLastWords)]
        for told in (first, second)
    )
    assert one.incident == two.incident
    assert (one.life, two.life) == (WEB1, WEB2)
    assert one.fault_at is not None
    assert two.fault_at is not None
    assert one.fault_at < two.fault_at
    assert two.cause
    scene.step(inputs.captured(scene.later(), scene.incident, "bundle-2", "segfault"))
    incident = scene.lawful.decider.world.incidents[scene.incident]
    assert (incident.bundle, incident.cause) == ("bundle-2", "out of memory")
