"""VMs of dead hosts that start here by order, and copies that must end: what policy makes of them.

covers: H9 H15
"""

from typing import Any

import msgspec
import pytest

from holdfast.facts.actions import (
    AwaitAnswer,
    CaptureLastWords,
    EndVm,
    ProveGone,
    Report,
    RestartHere,
)
from holdfast.facts.alarms import AlarmState
from holdfast.facts.commands import IncidentSettled, ProtectionEnded, Restarted
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.outcomes import GoneNotProven, StartFailed, StartUnknown, VmEnded, VmNotEnded
from holdfast.facts.subjects import Incarnation
from holdfast.policy import ordered, timing
from holdfast.policy.vm_states import VmState
from tests.policy import inputs
from tests.policy.inputs import at
from tests.policy.scene import WEB1, WEB2, Scene, alarms_in, kinds

ELSEWHERE = Incarnation(vm="uuid-web", boot="h4", pid=0, started_ticks=2)


def target() -> Scene:
    """A host on which web has never been."""
    return Scene(has_run=False)


def started(scene: Scene) -> None:
    scene.step(inputs.ordered(scene.later()))
    scene.step(inputs.proven(scene.later(), scene.incident, ELSEWHERE))
    incident = scene.incident
    scene.step(inputs.started(scene.later(), incident, WEB1))


def test_an_order_becomes_a_recovery_with_the_outage_of_its_host() -> None:
    scene = target()
    asked = scene.step(inputs.ordered(scene.later(), age_ms=4_000))
    assert ProveGone in kinds(asked)
    assert CaptureLastWords not in kinds(asked), "nothing of it was here"
    incident = scene.lawful.decider.world.incidents[scene.incident]
    assert incident.title == "web is started here: its host h4 is dead"
    assert (scene.lawful.decider.world.now - incident.fault_at) / NS_PER_MS == 4_000
    [start] = [a for a in scene.prove(ELSEWHERE) if isinstance(a, RestartHere)]
    assert (start.tenure.generation, start.proof.incarnation) == (2, ELSEWHERE.key)
    asked = scene.step(inputs.started(scene.later(), scene.incident, WEB1))
    assert AwaitAnswer in kinds(asked)
    name = scene.incident
    scene.step(inputs.answered(scene.later(1_000), name, WEB1))
    closed = scene.lawful.decider.world.incidents[name]
    assert closed.state is IncidentState.CLOSED
    assert closed.recovered_ms is not None
    assert closed.recovered_ms > 5_000
    assert scene.state() is VmState.RUNNING


def test_what_libvirt_says_of_an_earlier_end_here_is_no_wish() -> None:
    """Its definition is from an earlier time, when somebody destroyed it or moved it away."""
    scene = target()
    scene.step(inputs.ordered(scene.later()))
    asked = scene.prove(ELSEWHERE, wanted="libvirt says destroyed")
    assert RestartHere in kinds(asked)


def test_a_vm_that_ran_here_earlier_in_this_boot_starts_by_order() -> None:
    scene = Scene()
    scene.step(inputs.stopped(scene.later(), WEB1))
    scene.step(inputs.ordered(scene.later()))
    asked = scene.prove(WEB1, wanted="libvirt says destroyed")
    assert RestartHere in kinds(asked)


def test_an_open_incident_of_an_older_tenure_is_closed_by_an_order() -> None:
    scene = Scene()
    scene.step(inputs.disarmed(scene.later()))
    scene.kill()
    held = scene.incident
    scene.step(inputs.ordered(scene.later()))
    assert scene.incident == held, "refused: recovery is disarmed"
    scene = Scene()
    scene.kill()
    held = scene.incident
    scene.step(inputs.ordered(scene.later(), generation=3))
    assert scene.incident != held
    assert scene.open_alarms == set()
    assert RestartHere in kinds(scene.prove(WEB1))


def test_a_repeat_changes_nothing() -> None:
    scene = target()
    scene.step(inputs.ordered(scene.later()))
    assert scene.step(inputs.ordered(scene.later())) == []
    started(scene)
    assert scene.step(inputs.ordered(scene.later())) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"boot": "boot-0", "generation": 5},
        {"host": "host-2", "generation": 5},
        {"generation": 1},
        {"generation": 2},
    ],
)
def test_an_order_that_may_not_be_taken_is_outranked_for_good(fields: dict[str, Any]) -> None:
    scene = Scene()
    scene.step(inputs.granted(scene.later(), generation=2))
    order = inputs.ordered(scene.later(), **fields)
    assert scene.step(order) == []
    generation = order.protection.tenure.generation
    if fields != {"generation": 2}:  # That one is held: a repeat.
        assert scene.web.outranked == generation
    assert scene.web.protection is not None
    assert scene.web.protection.tenure.generation == 2


@pytest.mark.parametrize("fields", [{"boot": "boot-0"}, {"host": "host-2"}])
def test_an_order_for_another_boot_or_host_starts_nothing(fields: dict[str, Any]) -> None:
    scene = target()
    assert scene.step(inputs.ordered(scene.later(), **fields)) == []
    assert scene.web.protection is None
    assert scene.web.outranked == 2


def test_a_running_vm_without_that_tenure_is_not_touched() -> None:
    scene = Scene(is_protected=False)
    assert scene.step(inputs.ordered(scene.later())) == []
    assert scene.state() is VmState.RUNNING
    assert scene.web.outranked == 2
    reason = ordered.refusal(scene.lawful.decider.world, inputs.ordered(0).protection)
    assert "was refused or given back here" in reason


def test_an_amnesiac_agent_takes_no_order() -> None:
    """It may have refused this very one, and forgot that."""
    scene = target()
    scene.step(inputs.booted(scene.later(), is_amnesiac=True))
    order = inputs.ordered(scene.later())
    assert "memory was lost" in ordered.refusal(scene.lawful.decider.world, order.protection)
    assert scene.step(order) == []


def test_a_used_up_budget_refuses_the_next_order() -> None:
    scene = target()
    started(scene)
    for number, (old, new) in enumerate(((WEB1, WEB2), (WEB2, inputs.life(3))), start=2):
        scene.restart(old, new)
        assert len(scene.web.starts) == number
    scene.kill(inputs.life(3))
    scene.prove(inputs.life(3))
    assert scene.state() is VmState.HANDED_OVER
    scene.step(inputs.outranked(scene.later(), holder=""))
    scene.prove(inputs.life(3))
    order = inputs.ordered(scene.later(), generation=3)
    assert "budget is used up" in ordered.refusal(scene.lawful.decider.world, order.protection)


def test_a_refused_generation_is_not_granted_either() -> None:
    scene = target()
    scene.step(inputs.start_refused(scene.later(), generation=3))
    assert scene.step(inputs.granted(scene.later(), generation=3)) == []
    assert scene.web.protection is None
    scene.step(inputs.granted(scene.later(), generation=4))
    assert scene.web.protection is not None


def test_a_refusal_of_a_newer_order_forbids_a_restart_by_the_older_tenure() -> None:
    """The leader believes that nothing of an older tenure is here: nothing more may start."""
    scene = Scene()
    scene.step(inputs.start_refused(scene.later(), generation=5))
    scene.kill()
    assert RestartHere not in kinds(scene.prove())
    assert scene.state() is VmState.HANDED_OVER


def test_a_copy_is_ended_by_force_and_forgotten_once_it_is_gone() -> None:
    scene = Scene()
    told = scene.step(inputs.outranked(scene.later()))
    [alarm] = alarms_in(told)
    assert (alarm.condition, alarm.severity) == ("vm-copy-ended", "critical")
    assert alarm.text == "web ran on alpha though h2 holds it: its copy there is ended"
    [end] = [a for a in told if isinstance(a, EndVm)]
    assert end.is_forced
    assert scene.web.protection is None
    name = scene.incident
    scene.step(inputs.ended(scene.later(), WEB1))
    assert scene.step(VmEnded(incident=name, at=at(scene.later()), life=WEB1)) == []
    told = scene.step(inputs.proven(scene.later(), name, WEB1))
    assert RestartHere not in kinds(told)
    [cleared] = [a.alarm for a in told if isinstance(a, Report)]
    assert cleared.state is AlarmState.CLEARED
    assert (scene.state(), scene.web.is_copy, scene.web.incident) == (VmState.STOPPED, False, "")


@pytest.mark.parametrize("holder", ["h2", ""])
def test_what_was_being_ended_to_start_again_is_ended_by_force_and_starts_no_more(
    holder: str,
) -> None:
    scene = Scene()
    scene.stick()
    scene.capture()
    assert scene.state() is VmState.ENDING
    told = scene.step(inputs.outranked(scene.later(), holder=holder))
    assert [a.is_forced for a in told if isinstance(a, EndVm)] == [True] * bool(holder)
    scene.step(inputs.ended(scene.later(), WEB1))
    assert RestartHere not in kinds(scene.prove())
    assert scene.state() is VmState.STOPPED


def test_what_is_taken_back_is_ended_as_it_would_end_itself_and_raises_nothing() -> None:
    scene = target()
    started(scene)
    told = scene.step(inputs.outranked(scene.later(), holder=""))
    [end] = [a for a in told if isinstance(a, EndVm)]
    assert not end.is_forced, "its disks are this host's until it is gone"
    assert alarms_in(told) == []


def test_a_newer_tenure_of_ours_stands_against_old_news() -> None:
    scene = Scene()
    scene.step(inputs.granted(scene.later(), generation=3))
    assert scene.step(inputs.outranked(scene.later(), generation=2)) == []
    assert scene.state() is VmState.RUNNING


def test_what_runs_by_nobodys_tenure_is_left_alone() -> None:
    scene = Scene(is_protected=False)
    assert scene.step(inputs.outranked(scene.later())) == []
    assert (scene.state(), scene.web.is_copy) == (VmState.RUNNING, False)


@pytest.mark.parametrize("is_disarmed", [False, True])
def test_an_end_is_tried_until_it_succeeds(is_disarmed: bool) -> None:
    scene = Scene()
    scene.step(inputs.outranked(scene.later()))
    if is_disarmed:
        scene.step(inputs.disarmed(scene.later()))
    for _ in range(2 * timing.END_TRIES):
        scene.step(VmNotEnded(incident=scene.incident, at=at(scene.later()), reason="stuck"))
        assert EndVm in kinds(scene.wake())
    assert scene.state() is VmState.ENDING


def test_a_copy_is_looked_for_until_nothing_is_left() -> None:
    scene = Scene()
    scene.step(inputs.outranked(scene.later()), inputs.ended(scene.later(), WEB1))
    scene.later(2 * timing.PROVE_GIVE_UP_MS)
    scene.step(GoneNotProven(incident=scene.incident, at=at(scene.later()), reason="its disk"))
    assert scene.state() is VmState.PROVING
    assert ProveGone in kinds(scene.wake())


@pytest.mark.parametrize("holder", ["h2", ""])
def test_the_disks_of_a_copy_are_looked_at_only_if_nobody_else_uses_them(holder: str) -> None:
    """Else a host that was recovered would look for ever, and take none of its VMs back."""
    scene = Scene()
    scene.step(inputs.outranked(scene.later(), holder=holder))
    [look] = [
        one for one in scene.step(inputs.ended(scene.later(), WEB1)) if isinstance(one, ProveGone)
    ]
    assert look.is_copy == bool(holder)


def test_a_proof_that_a_copy_is_gone_starts_nothing() -> None:
    scene = Scene()
    scene.kill()
    scene.step(inputs.ended(scene.later(), WEB1))
    found = inputs.proven(scene.later(), scene.incident, WEB1)
    of_copy = msgspec.structs.replace(found.proof, is_of_copy=True)
    assert scene.step(msgspec.structs.replace(found, proof=of_copy)) == []
    assert RestartHere in kinds(scene.prove(WEB1))


def test_a_start_that_was_under_way_is_awaited_and_what_it_started_is_ended() -> None:
    scene = target()
    scene.step(inputs.ordered(scene.later()))
    scene.prove(ELSEWHERE)
    name = scene.incident
    scene.step(inputs.outranked(scene.later(), holder=""))
    assert scene.prove(ELSEWHERE) == [], "it may still start: that outcome is awaited"
    told = scene.step(inputs.started(scene.later(), name, WEB1))
    assert [a.life for a in told if isinstance(a, EndVm)] == [WEB1]
    scene.step(inputs.ended(scene.later(), WEB1))
    scene.step(inputs.proven(scene.later(), name, WEB1))
    assert (scene.state(), scene.web.start_in_flight) == (VmState.STOPPED, "")


@pytest.mark.parametrize("is_final", [False, True])
def test_a_start_that_fails_meanwhile_leads_to_one_more_look(is_final: bool) -> None:
    scene = target()
    scene.step(inputs.ordered(scene.later()))
    scene.prove(ELSEWHERE)
    name = scene.incident
    scene.step(inputs.outranked(scene.later(), holder=""))
    scene.prove(ELSEWHERE)
    failed = StartFailed(incident=name, at=at(scene.later()), reason="no", is_final=is_final)
    assert ProveGone in kinds(scene.step(failed))
    scene.prove(ELSEWHERE)
    assert (scene.state(), scene.web.is_copy) == (VmState.STOPPED, False)


def test_a_start_that_may_yet_happen_is_looked_for_anew() -> None:
    scene = target()
    scene.step(inputs.ordered(scene.later()))
    scene.prove(ELSEWHERE)
    name = scene.incident
    scene.step(inputs.outranked(scene.later(), holder=""))
    scene.step(inputs.proven(scene.later(), name, ELSEWHERE))
    early = inputs.proven(scene.later(), name, ELSEWHERE)
    scene.step(StartUnknown(incident=name, at=at(scene.later()), reason="no answer"))
    scene.step(early)
    assert scene.web.is_copy, "that look was made before the start was doubted"
    scene.wake()
    scene.step(inputs.proven(scene.later(), name, ELSEWHERE))
    assert not scene.web.is_copy


def test_nobody_settles_or_grants_a_copy_away() -> None:
    scene = Scene()
    scene.step(inputs.outranked(scene.later()), inputs.ended(scene.later(), WEB1))
    name = scene.incident
    scene.step(
        IncidentSettled(at=at(scene.later()), incident=name, by="ann"),
        inputs.granted(scene.later(), generation=9),
        inputs.ordered(scene.later(), generation=10),
        ProtectionEnded(at=at(scene.later()), vm="uuid-web", by="ann"),
    )
    assert scene.web.is_copy
    assert scene.web.protection is None
    scene.step(inputs.proven(scene.later(), name, WEB1))
    assert scene.state() is VmState.STOPPED


def test_an_agent_that_comes_back_goes_on_with_a_copy() -> None:
    scene = Scene()
    scene.step(inputs.outranked(scene.later()))
    told = scene.step(Restarted(at=at(scene.later())))
    assert EndVm in kinds(told)
    scene.step(inputs.ended(scene.later(), WEB1))
    told = scene.step(Restarted(at=at(scene.later())))
    assert ProveGone in kinds(told)
    assert EndVm not in kinds(told)


def test_a_host_that_was_booted_since_has_no_copy_left_but_looks() -> None:
    scene = Scene()
    scene.kill()
    scene.step(inputs.booted(5, "boot-2"))
    scene.ms = 10.0
    assert scene.state() is VmState.HELD_BACK
    told = scene.step(inputs.outranked(scene.later()))
    assert ProveGone in kinds(told)
    assert not [a for a in alarms_in(told) if a.condition == "vm-copy-ended"], "nothing ran"


def test_an_order_does_not_outlive_its_boot() -> None:
    scene = target()
    scene.step(inputs.ordered(scene.later()))
    scene.step(inputs.booted(5, "boot-2"))
    scene.ms = 10.0
    assert scene.state() is VmState.HELD_BACK
    told = scene.step(inputs.outranked(scene.later(), holder=""))
    assert ProveGone in kinds(told)
    assert scene.web.protection is None


def test_no_restart_of_the_agent_keeps_last_words_of_what_never_ran_here() -> None:
    scene = target()
    scene.step(inputs.ordered(scene.later()))
    told = scene.step(Restarted(at=at(scene.later())))
    assert ProveGone in kinds(told)
    assert CaptureLastWords not in kinds(told)


def test_who_was_outranked_is_remembered_when_others_are_forgotten() -> None:
    scene = target()
    scene.step(inputs.start_refused(scene.later(), generation=7))
    for number in range(1_500):
        scene.lawful.decider.step(inputs.ran(scene.later(), inputs.life(1, f"vm{number}")))
        gone = inputs.stopped(scene.later(), inputs.life(1, f"vm{number}"))
        scene.lawful.decider.step(gone)
    assert len(scene.lawful.decider.world.vms) <= 1_002
    assert scene.web.outranked == 7
