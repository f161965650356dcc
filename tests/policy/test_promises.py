"""Grants, boots, owners, doubts and what is not a VM's failure: what policy makes of them."""

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
from holdfast.facts.alarms import AlarmState, Severity
from holdfast.facts.commands import (
    IncidentSettled,
    ProtectionEnded,
    RecoveryAsked,
    Restarted,
)
from holdfast.facts.outcomes import (
    GoneNotProven,
    GoneProven,
    StartFailed,
)
from holdfast.facts.promises import Group, Owner
from holdfast.facts.subjects import SubjectKind
from holdfast.facts.tenure import LocalProof, TenureState, Wanted
from holdfast.facts.verdicts import Certainty, Effect
from holdfast.policy.vm_states import VmState
from tests.policy import inputs
from tests.policy.inputs import at
from tests.policy.scene import UUID, WEB1, WEB2, Scene, alarms_in, kinds


@pytest.mark.parametrize("boot", ["boot-0", "boot-2"])
def test_a_proof_of_another_boot_starts_nothing(boot: str) -> None:
    scene = Scene()
    scene.kill()
    good = inputs.proven(scene.later(), scene.incident, WEB1)
    proof = LocalProof(vm=UUID, boot=boot, incarnation=WEB1.key, shown=(), at=at(scene.ms))
    bad = GoneProven(incident=good.incident, at=good.at, proof=proof)
    assert scene.step(bad) == []
    assert kinds(scene.wake()) == [ProveGone], "it looks again"


def test_a_new_boot_holds_nothing_until_it_is_granted() -> None:
    scene = Scene()
    scene.kill()
    scene.prove()
    scene.ms = 10
    scene.step(inputs.booted(5, "boot-2"))
    assert scene.state() is VmState.HELD_BACK
    assert scene.lawful.deadline() is None
    assert ProveGone in kinds(scene.step(inputs.granted(20, boot="boot-2")))
    proof = LocalProof(vm=UUID, boot="boot-2", incarnation=WEB1.key, shown=(), at=at(30))
    proven = GoneProven(incident=scene.incident, at=at(30), proof=proof)
    assert RestartHere in kinds(scene.step(proven))


def test_the_clock_of_a_new_boot_begins_anew() -> None:
    scene = Scene()
    scene.step(inputs.disarmed(3_600_000, 600_000))
    scene.step(inputs.booted(5, "boot-2"))
    assert scene.lawful.deadline() == at(5 + 600_000), "what was left of it"


def test_a_vm_that_runs_in_a_new_boot_is_found_gone_and_waits_for_its_grant() -> None:
    scene = Scene()
    scene.step(inputs.booted(5, "boot-2"))
    told = scene.step(inputs.failed(10, WEB1), inputs.ended(10, WEB1))
    assert kinds(told)[0] is Report
    assert ProveGone not in kinds(told)
    assert scene.state() is VmState.HELD_BACK


def test_an_amnesiac_agent_starts_nothing_until_granted() -> None:
    scene = Scene()
    scene.step(inputs.booted(10, is_amnesiac=True))
    assert "agent-amnesiac" in scene.open_alarms
    assert ProveGone not in kinds(scene.kill())
    assert ProveGone in kinds(scene.step(inputs.granted(scene.later())))


def test_a_grant_of_an_earlier_generation_changes_nothing() -> None:
    scene = Scene()
    scene.step(inputs.granted(scene.later(), generation=3))
    assert scene.step(inputs.granted(scene.later(), generation=2)) == []
    held = scene.web.protection
    assert held is not None
    assert held.tenure.generation == 3


def test_a_grant_that_crosses_a_stop_does_not_forget_the_stop() -> None:
    scene = Scene()
    scene.step(inputs.ended(scene.later(), WEB1), inputs.stopped(scene.later(), WEB1))
    scene.step(inputs.granted(scene.later(), group="silver"))
    held = scene.web.protection
    assert held is not None
    assert held.tenure.wanted is Wanted.STOPPED
    assert held.group == "silver"


@pytest.mark.parametrize("owner", [Owner.EXTERNAL, Owner.NOBODY])
def test_what_others_recover_is_left_to_them(owner: Owner) -> None:
    scene = Scene()
    scene.step(inputs.group_set(scene.later(), Group(name="gold", owner=owner)))
    told = scene.kill()
    assert not {ProveGone, RestartHere, EndVm} & set(kinds(told))
    assert scene.state() is VmState.LEFT
    asked = scene.step(RecoveryAsked(at=at(scene.later()), vm=UUID, by="ann"))
    assert not {ProveGone, RestartHere} & set(kinds(asked))
    taken = scene.step(inputs.group_set(scene.later(), inputs.GOLD))
    assert ProveGone in kinds(taken)


def test_protection_that_ends_in_the_middle_leaves_it() -> None:
    scene = Scene()
    scene.kill()
    scene.step(ProtectionEnded(at=at(scene.later()), vm=UUID, by="ann"))
    assert scene.state() is VmState.LEFT
    assert scene.prove() == []
    assert scene.lawful.deadline() is None


def test_an_unprotected_vm_started_by_hand_closes_its_incident_when_it_answers() -> None:
    scene = Scene(is_protected=False)
    told = scene.kill()
    incident = next(a.incident for a in reversed(told) if isinstance(a, TellIncident))
    assert incident.needs_you == "virsh start web"
    scene.step(inputs.ran(scene.later(), WEB2))
    assert scene.open_alarms == {"vm-gone"}
    scene.step(inputs.answered(scene.later(), incident.id, WEB2))
    assert scene.open_alarms == set()


def test_a_suspicion_is_milder_and_waits_for_a_witness() -> None:
    scene = Scene()
    told = scene.step(inputs.puzzling(scene.later(), WEB1), inputs.ended(scene.later(), WEB1))
    assert [a.severity for a in alarms_in(told)] == [Severity.MAJOR]
    assert scene.state() is VmState.UNEXPLAINED
    sure = scene.step(inputs.failed(scene.later(), WEB1))
    assert kinds(sure)[0] is Report
    assert scene.state() is VmState.PROVING


def test_a_critical_fault_that_is_only_suspected_is_major() -> None:
    scene = Scene()
    doubt = inputs.failed(scene.later(), WEB1, certainty=Certainty.SUSPECTED)
    assert [a.severity for a in alarms_in(scene.step(doubt))] == [Severity.MAJOR]
    sure = inputs.failed(scene.later(), WEB1)
    told = alarms_in(scene.step(sure))
    assert [(a.severity, a.state) for a in told] == [(Severity.CRITICAL, AlarmState.CHANGED)]


def test_a_suspicion_nobody_explains_is_handed_over() -> None:
    scene = Scene()
    scene.step(inputs.puzzling(scene.later(), WEB1), inputs.ended(scene.later(), WEB1))
    scene.wake()
    assert scene.state() is VmState.HANDED_OVER


def test_a_suspicion_that_was_wrong_closes_its_incident() -> None:
    scene = Scene()
    scene.step(inputs.stuck(scene.later(), WEB1))
    wrong = inputs.cleared(scene.later(), WEB1, "vm-stuck", was_wrong=True)
    scene.step(wrong)
    assert scene.state() is VmState.RUNNING
    assert scene.open_alarms == set()
    assert scene.lawful.deadline() is None


def test_a_known_failure_is_not_doubted_after_an_agents_return() -> None:
    scene = Scene()
    scene.step(inputs.failed(scene.later(), WEB1))
    assert scene.step(inputs.puzzling(scene.later(), WEB1)) == []
    assert scene.state() is VmState.FAILED


def test_a_process_that_ends_without_a_word_is_not_lost() -> None:
    scene = Scene()
    assert scene.step(inputs.ended(scene.later(), WEB1)) == []
    assert [a.condition for a in alarms_in(scene.wake())] == ["vm-stopped-unexplained"]


def test_a_last_sign_that_never_comes_is_looked_for() -> None:
    scene = Scene()
    scene.step(inputs.failed(scene.later(), WEB1))
    assert kinds(scene.wake()) == [ProveGone]
    reason = "its process is still there"
    scene.step(GoneNotProven(incident=scene.incident, at=at(scene.later()), reason=reason))
    assert kinds(scene.wake()) == [ProveGone]


def test_a_guest_that_mends_itself_is_left_alone_but_not_for_ever() -> None:
    scene = Scene()
    dumping = inputs.failed(scene.later(), WEB1, "vm-crash-dumping", Effect.DEGRADED)
    assert EndVm not in kinds(scene.step(dumping))
    assert scene.state() is VmState.RUNNING
    scene.wake()
    assert scene.state() is VmState.HANDED_OVER


def test_a_fault_that_is_over_is_closed_by_the_answer() -> None:
    scene = Scene()
    scene.step(inputs.disarmed(scene.later()))
    scene.stick()
    told = scene.step(inputs.cleared(scene.later(), WEB1, "vm-stuck"))
    assert AwaitAnswer in kinds(told)
    incident = scene.incident
    scene.step(inputs.answered(scene.later(), incident, WEB1))
    assert scene.open_alarms == {"disarmed"}


def test_a_disks_fault_is_reported_and_nothing_else() -> None:
    scene = Scene()
    told = scene.step(inputs.disk_failed(scene.later(), WEB1))
    assert kinds(told) == [Report]
    assert alarms_in(told)[0].subject.kind is SubjectKind.DISK
    two = scene.step(inputs.disk_failed(scene.later(), WEB1, "vdb"))
    assert alarms_in(two)[0].key != alarms_in(told)[0].key
    assert scene.web.incident == ""
    over = scene.step(inputs.ran(scene.later(), WEB2))
    assert [a.state for a in alarms_in(over)] == [AlarmState.CLEARED] * 2


def test_a_condition_nobody_knows_is_shown_and_never_acted_on() -> None:
    scene = Scene()
    told = scene.step(inputs.failed(scene.later(), WEB1, "vm-odd"))
    assert [a.severity for a in alarms_in(told)] == [Severity.INDETERMINATE]
    assert kinds(told) == [Report]


def test_the_first_alarm_of_an_incident_is_the_root_of_the_others() -> None:
    scene = Scene()
    first = alarms_in(scene.kill())[0]
    scene.step(inputs.failed(scene.later(), WEB1, "vm-ended-outside"))
    reason = "libvirt knows no such VM"
    scene.prove()
    told = scene.step(
        StartFailed(incident=scene.incident, at=at(scene.later()), reason=reason, is_final=True)
    )
    assert first.root == ""
    assert {a.condition: a.root for a in alarms_in(told)} == {
        "recovery-given-up": first.key,
        "promise-broken": first.key,
    }


def test_a_settled_incident_clears_its_alarms_and_stays_settled() -> None:
    scene = Scene()
    scene.kill()
    settled = IncidentSettled(at=at(scene.later()), incident=scene.incident, by="ann")
    scene.step(settled)
    assert scene.open_alarms == set()
    assert scene.state() is VmState.STOPPED
    assert scene.step(inputs.failed(scene.later(), WEB1)) == [], "it is dealt with"


def test_a_vm_that_moved_away_is_wanted_running_elsewhere() -> None:
    scene = Scene()
    told = scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    tenures = [action.tenure for action in told if isinstance(action, TellTenure)]
    assert [(t.wanted, t.state) for t in tenures] == [(Wanted.RUNNING, TenureState.MIGRATING)]
    back = scene.step(inputs.ran(scene.later(), WEB2))
    tenures = [action.tenure for action in back if isinstance(action, TellTenure)]
    assert [(t.wanted, t.state) for t in tenures] == [(Wanted.RUNNING, TenureState.HELD)]


def test_an_agent_that_comes_back_does_again_what_was_under_way() -> None:
    scene = Scene()
    scene.kill()
    again = scene.step(Restarted(at=at(scene.later())))
    assert kinds(again) == [Report, TellIncident, CaptureLastWords, ProveGone]
    scene.prove()
    assert ProveGone in kinds(scene.step(Restarted(at=at(scene.later())))), "did it start?"
    scene.step(inputs.ran(scene.later(), WEB2))
    assert AwaitAnswer in kinds(scene.step(Restarted(at=at(scene.later()))))


def test_protecting_a_vm_that_does_not_run_wants_it_as_it_is() -> None:
    scene = Scene()
    told = scene.step(inputs.granted(scene.later(), "db"))
    tenures = [action.tenure.wanted for action in told if isinstance(action, TellTenure)]
    assert tenures == [Wanted.STOPPED]
