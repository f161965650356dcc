"""What policy decides, rule by rule; every step goes through the keeper of the laws."""

from collections.abc import Iterable

import pytest

from holdfast.facts.actions import (
    Action,
    AwaitAnswer,
    CaptureLastWords,
    EndVm,
    ProveGone,
    Report,
    RestartHere,
    TellIncident,
    TellTenure,
)
from holdfast.facts.alarms import Alarm, AlarmState, Severity
from holdfast.facts.commands import (
    Armed,
    IncidentSettled,
    ProtectionEnded,
    RecoveryAsked,
    Restarted,
    Woke,
)
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.outcomes import (
    GoneNotProven,
    GoneProven,
    LastWordsCaptured,
    StartFailed,
    VmEnded,
    VmNotEnded,
)
from holdfast.facts.promises import Group, Owner
from holdfast.facts.subjects import Incarnation, SubjectKind
from holdfast.facts.tenure import LocalProof, TenureState, Wanted
from holdfast.facts.verdicts import Certainty, Effect
from holdfast.policy import timing
from holdfast.policy.decide import Input
from holdfast.policy.vm_states import VmState
from holdfast.policy.world import VmRecord
from tests.policy import inputs
from tests.policy.inputs import at, life
from tests.policy.laws import Lawful

WEB1, WEB2, WEB3 = life(1), life(2), life(3)
UUID = "uuid-web"


class Scene:
    """A protected VM web runs as its first life. `ms` is the instant of the next fact."""

    def __init__(self, *, is_protected: bool = True) -> None:
        self.lawful = Lawful()
        self.ms = 1_000.0
        self.step(inputs.booted(0), inputs.group_set(1), inputs.ran(2, WEB1))
        if is_protected:
            self.step(inputs.granted(3))

    def step(self, *facts: Input) -> list[Action]:
        return [action for fact in facts for action in self.lawful.step(fact)]

    def later(self, ms: float = 10) -> float:
        self.ms += ms
        return self.ms

    def wake(self) -> list[Action]:
        """Sleep until policy wants to be woken."""
        due = self.lawful.deadline()
        assert due is not None, "nobody wants to be woken"
        self.ms = max(self.ms, due / NS_PER_MS)
        return self.step(Woke(at=due))

    @property
    def web(self) -> VmRecord:
        return self.lawful.decider.world.vms[UUID]

    def state(self) -> VmState:
        return self.web.state

    @property
    def incident(self) -> str:
        assert self.web.incident, "no incident is open"
        return self.web.incident

    @property
    def open_alarms(self) -> set[str]:
        return {alarm.condition for alarm in self.lawful.decider.world.alarms.values()}

    def kill(self, which: Incarnation = WEB1) -> list[Action]:
        now = self.later()
        return self.step(inputs.failed(now, which), inputs.ended(now + 1, which))

    def prove(self, which: Incarnation = WEB1, wanted: str = "") -> list[Action]:
        return self.step(inputs.proven(self.later(), self.incident, which, wanted))

    def restart(self, old: Incarnation = WEB1, new: Incarnation = WEB2) -> None:
        """From a kill to the new life."""
        self.kill(old)
        self.prove(old)
        while self.state() is VmState.WAITING:
            self.wake()
            self.prove(old)
        incident = self.incident
        self.step(inputs.ran(self.later(), new), inputs.started(self.later(), incident, new))

    def stick(self) -> list[Action]:
        return self.step(inputs.stuck(self.later(), WEB1))

    def capture(self) -> list[Action]:
        done = LastWordsCaptured(incident=self.incident, at=at(self.later()), bundle="b")
        return self.step(done)


def kinds(actions: Iterable[Action]) -> list[type]:
    return [type(action) for action in actions]


def alarms_in(actions: Iterable[Action]) -> list[Alarm]:
    return [action.alarm for action in actions if isinstance(action, Report)]


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


@pytest.mark.parametrize("boot", ["boot-0", "boot-2"])
def test_a_proof_of_another_boot_starts_nothing(boot: str) -> None:
    scene = Scene()
    scene.kill()
    good = inputs.proven(scene.later(), scene.incident, WEB1)
    proof = LocalProof(vm=UUID, boot=boot, incarnation=WEB1.key, shown=(), at=at(scene.ms))
    bad = GoneProven(incident=good.incident, at=good.at, proof=proof)
    assert scene.step(bad) == []
    assert kinds(scene.wake()) == [ProveGone], "it looks again"


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
