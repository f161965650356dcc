"""A doubt, a move and a person's word last: through holds, owners, boots and starts under way.

covers: H5 H9 H20
"""

import re
from pathlib import Path

import pytest

import holdfast
from holdfast.detectors import reporting_slow, vm_gone
from holdfast.facts.actions import (
    Action,
    EndVm,
    ProveGone,
    Report,
    RestartHere,
    TellIncident,
    TellTenure,
)
from holdfast.facts.commands import (
    Armed,
    IncidentSettled,
    ProtectionEnded,
    RecoveryAsked,
)
from holdfast.facts.outcomes import StartFailed, StartUnknown
from holdfast.facts.promises import Group, Owner
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.policy import timing
from holdfast.policy.promise import may_start
from holdfast.policy.vm_states import VmEvent, VmState
from tests.policy import inputs
from tests.policy.inputs import at
from tests.policy.scene import UUID, WEB1, WEB2, WEB3, Scene, kinds

EXTERNAL = Group(name="gold", level=1, owner=Owner.EXTERNAL)


def _puzzle(scene: Scene) -> None:
    now = scene.later()
    scene.step(inputs.puzzling(now, WEB1), inputs.ended(now + 1, WEB1))


def _starting(scene: Scene) -> RestartHere:
    scene.kill()
    return _restart_in(scene.prove())


def _restart_in(actions: list[Action]) -> RestartHere:
    found = [action for action in actions if isinstance(action, RestartHere)]
    assert len(found) == 1, actions
    return found[0]


def _refuse(scene: Scene, asked: RestartHere) -> list[Action]:
    refusal = scene.lawful.act(asked)
    assert refusal
    no = StartFailed(incident=asked.incident, at=at(scene.later()), reason=refusal)
    return scene.step(no)


def _hold_while_disarmed(scene: Scene) -> None:
    scene.step(inputs.disarmed(scene.later()))
    _puzzle(scene)
    assert scene.state() is VmState.HELD_BACK
    scene.step(Armed(at=at(scene.later()), by="ann"))


def _hold_while_external(scene: Scene) -> None:
    scene.step(inputs.group_set(scene.later(), EXTERNAL))
    _puzzle(scene)
    assert scene.state() is VmState.LEFT
    scene.step(inputs.group_set(scene.later()))


def _hold_while_unprotected(scene: Scene) -> None:
    _puzzle(scene)
    scene.step(ProtectionEnded(at=at(scene.later()), vm=UUID, by="ann"))
    scene.step(inputs.granted(scene.later(), generation=2))


def _hold_over_a_boot(scene: Scene) -> None:
    _puzzle(scene)
    scene.step(inputs.booted(5, "boot-2"))
    scene.ms = 20
    scene.step(inputs.granted(20, boot="boot-2"))


@pytest.mark.parametrize(
    "hold",
    [
        _hold_while_disarmed,
        _hold_while_external,
        _hold_while_unprotected,
        _hold_over_a_boot,
    ],
)
def test_a_stop_that_nobody_can_explain_is_a_persons_after_any_hold(hold: object) -> None:
    scene = Scene()
    assert callable(hold)
    hold(scene)
    assert scene.state() is VmState.HANDED_OVER
    assert "recovery-given-up" in scene.open_alarms
    asked = scene.step(RecoveryAsked(at=at(scene.later()), vm=UUID, by="ann"))
    assert ProveGone in kinds(asked), "a person may say so"


def test_a_certain_fault_ends_the_doubt() -> None:
    scene = Scene()
    scene.step(inputs.disarmed(scene.later()))
    _puzzle(scene)
    scene.step(inputs.failed(scene.later(), WEB1))
    assert ProveGone in kinds(scene.step(Armed(at=at(scene.later()), by="ann")))


def _moved(scene: Scene) -> None:
    scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    scene.step(inputs.ended(scene.later(), WEB1))


def test_recovery_that_is_asked_for_does_not_start_what_moved_away() -> None:
    scene = Scene()
    _moved(scene)
    scene.step(inputs.failed(scene.later(), WEB1))
    assert scene.state() is VmState.HANDED_OVER
    incident = scene.lawful.decider.world.incidents[scene.incident]
    assert "vm recover" not in incident.needs_you
    told = scene.step(RecoveryAsked(at=at(scene.later()), vm=UUID, by="ann"))
    assert not {ProveGone, EndVm, RestartHere, TellTenure} & set(kinds(told))
    assert scene.web.protection is not None
    assert scene.web.protection.tenure.state is TenureState.MIGRATING


def test_what_is_wanted_of_a_vm_that_moved_away_is_not_changed_by_settling() -> None:
    scene = Scene()
    _moved(scene)
    scene.step(inputs.failed(scene.later(), WEB1))
    settled = IncidentSettled(at=at(scene.later()), incident=scene.incident, by="ann")
    assert TellTenure not in kinds(scene.step(settled))


@pytest.mark.parametrize("is_ended_first", [True, False])
def test_protecting_again_keeps_it_where_it_went(is_ended_first: bool) -> None:
    scene = Scene()
    _moved(scene)
    if is_ended_first:
        scene.step(ProtectionEnded(at=at(scene.later()), vm=UUID, by="ann"))
    scene.step(inputs.granted(scene.later(), generation=2))
    assert scene.web.protection is not None
    tenure = scene.web.protection.tenure
    assert (tenure.state, tenure.wanted) == (TenureState.MIGRATING, Wanted.RUNNING)
    scene.step(inputs.ran(scene.later(), WEB2))
    tenure = scene.web.protection.tenure
    assert tenure.state is TenureState.HELD, "it came back"


def test_every_change_of_a_tenure_raises_its_revision() -> None:
    scene = Scene()
    told = scene.step(inputs.stopped(scene.later(), WEB1), inputs.ran(scene.later(), WEB2))
    told += scene.step(inputs.stopped(scene.later(), WEB2, moved_away=True))
    revisions = [a.tenure.revision for a in told if isinstance(a, TellTenure)]
    assert revisions == [1, 2, 3]


def test_a_start_is_refused_after_a_disarm_and_was_no_attempt() -> None:
    scene = Scene()
    asked = _starting(scene)
    assert may_start(scene.lawful.decider.world, asked) == ""
    scene.step(inputs.disarmed(scene.later()))
    _refuse(scene, asked)
    assert scene.state() is VmState.HELD_BACK
    assert (scene.web.attempt, scene.web.starts) == (0, [])
    assert scene.open_alarms == {"vm-gone", "disarmed"}, "nothing is given up"
    scene.step(Armed(at=at(scene.later()), by="ann"))
    assert _restart_in(scene.prove()).attempt == 1


def test_a_start_is_refused_after_its_incident_was_settled() -> None:
    scene = Scene()
    asked = _starting(scene)
    scene.step(IncidentSettled(at=at(scene.later()), incident=asked.incident, by="ann"))
    assert _refuse(scene, asked) == []
    assert scene.state() is VmState.STOPPED


def test_a_start_is_refused_after_its_protection_ended() -> None:
    scene = Scene()
    asked = _starting(scene)
    scene.step(ProtectionEnded(at=at(scene.later()), vm=UUID, by="ann"))
    assert _refuse(scene, asked) == []
    assert scene.state() is VmState.LEFT


def test_a_start_is_refused_when_its_proof_is_about_an_earlier_life() -> None:
    """Somebody else started it, that life died too, and the first start was still to come."""
    scene = Scene()
    asked = _starting(scene)
    scene.step(inputs.ran(scene.later(), WEB2))
    scene.kill(WEB2)
    assert scene.web.start_in_flight == asked.incident
    assert scene.lawful.act(asked)


def test_a_start_that_came_too_late_to_be_refused_turns_no_word_around() -> None:
    scene = Scene()
    asked = _starting(scene)
    scene.step(IncidentSettled(at=at(scene.later()), incident=asked.incident, by="ann"))
    told = scene.step(inputs.started(scene.later(), asked.incident, WEB2))
    assert TellTenure not in kinds(told)
    assert scene.web.protection is not None
    assert scene.web.protection.tenure.wanted is Wanted.STOPPED
    assert RestartHere not in kinds(scene.kill(WEB2))
    assert scene.state() is VmState.HANDED_OVER


def _doubt(scene: Scene, asked: RestartHere) -> list[Action]:
    reason = "libvirt did not answer within 60 s"
    return scene.step(StartUnknown(incident=asked.incident, at=at(scene.later()), reason=reason))


def test_a_start_that_nobody_knows_of_is_looked_at_and_not_repeated() -> None:
    scene = Scene()
    asked = _starting(scene)
    before = inputs.proven(scene.later(), scene.incident, WEB1)
    assert kinds(_doubt(scene, asked)) == [TellIncident, ProveGone]
    assert scene.web.start_in_flight == asked.incident
    assert scene.lawful.act(asked), "it is not done again by the old request"
    assert scene.step(before) == [], "that look was made too early"
    assert kinds(scene.wake()) == [ProveGone]
    scene.prove()
    assert scene.state() is VmState.WAITING, "its back-off"
    scene.wake()
    assert _restart_in(scene.prove()).attempt == 2


def test_a_start_that_nobody_knew_of_came_after_all() -> None:
    scene = Scene()
    asked = _starting(scene)
    _doubt(scene, asked)
    scene.step(inputs.ran(scene.later(), WEB3))
    assert scene.state() is VmState.ANSWERING
    assert scene.web.start_in_flight == ""


def test_an_impossible_step_loses_no_report() -> None:
    scene = Scene()
    world = scene.lawful.decider.world
    scene.web.state = VmState.STARTING
    decider = scene.lawful.decider
    del scene.lawful  # Its laws forbid what is shown here.
    reports = decider.step(inputs.cleared(1, WEB1, "vm-stuck"))
    assert reports == []
    decider.step(inputs.stuck(2, WEB1))
    told = decider.step(inputs.cleared(3, WEB1, "vm-stuck"))
    assert Report in kinds(told)
    assert world.defects == 1
    assert VmEvent.MENDED.name in world.newest_defect
    assert world.vms[UUID].state is VmState.STARTING


def test_policy_and_those_it_relies_on_agree_on_their_deadlines() -> None:
    assert timing.CLEAN_END_WAIT_MS == vm_gone.CLEAN_END_WAIT_MS
    assert timing.REPORT_LIMIT_MS == reporting_slow.LIMIT_MS


def test_the_states_of_vms_and_hosts_change_by_their_tables_alone() -> None:
    room = Path(holdfast.__file__).parent / "policy"
    by_hand = {
        path.name
        for path in room.glob("*.py")
        if re.search(r"record\.state = |\.state = VmState", path.read_text())
    }
    assert by_hand == {"stages.py", "site.py"}
