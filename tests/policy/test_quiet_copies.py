"""A host that comes back says nothing of VMs that run elsewhere by now and are not there.

covers: H2 H9
"""

from msgspec import structs

from holdfast.facts.actions import (
    Action,
    CaptureLastWords,
    EndVm,
    ProveGone,
    Report,
    RestartHere,
    TellIncident,
)
from holdfast.facts.commands import Restarted
from holdfast.facts.outcomes import GoneNotProven
from holdfast.policy import timing
from holdfast.policy.vm_states import VmState
from tests.policy import inputs
from tests.policy.inputs import at
from tests.policy.scene import WEB1, Scene, alarms_in, kinds

NOW = inputs.life(7, boot="boot-2")


def back() -> tuple[Scene, list[Action]]:
    """It was booted, and is told that h2 holds web by now."""
    scene = Scene()
    scene.step(inputs.booted(5, "boot-2"))
    scene.ms = 10.0
    return scene, scene.step(inputs.outranked(scene.later()))


def prove(scene: Scene, ms: float = 10) -> list[Action]:
    found = inputs.proven(scene.later(ms), scene.incident, WEB1)
    proof = structs.replace(found.proof, boot="boot-2", is_of_copy=True)
    return scene.step(structs.replace(found, proof=proof))


def test_it_looks_and_tells_of_nothing_where_nothing_is_found() -> None:
    scene, told = back()
    [look] = [a for a in told if isinstance(a, ProveGone)]
    assert look.is_copy
    assert not {TellIncident, Report, EndVm, CaptureLastWords} & set(kinds(told))
    told = prove(scene)
    assert not {TellIncident, Report, RestartHere} & set(kinds(told))
    assert (scene.state(), scene.web.is_copy, scene.web.incident) == (VmState.STOPPED, False, "")
    assert scene.lawful.decider.world.incidents == {}
    assert scene.lawful.deadline() is None


def test_what_runs_there_all_the_same_is_told_and_ended() -> None:
    scene, _ = back()
    told = scene.step(inputs.ran(scene.later(), NOW))
    assert EndVm in kinds(told)
    assert TellIncident in kinds(told)
    assert [a.condition for a in alarms_in(told)] == ["vm-copy-ended"]


def test_what_is_left_of_it_for_long_is_told_and_so_is_its_end() -> None:
    scene, _ = back()
    late = at(scene.later(timing.PROVE_SAID_AFTER_MS + 1))
    told = scene.step(GoneNotProven(incident=scene.incident, at=late, reason="its tap is there"))
    [said] = [a.incident for a in told if isinstance(a, TellIncident)]
    assert "its tap is there" in said.step
    told = prove(scene)
    [closed] = [a.incident for a in told if isinstance(a, TellIncident)]
    assert (closed.id, str(closed.state)) == (said.id, "closed")


def test_an_agent_that_begins_anew_meanwhile_tells_nothing_either() -> None:
    scene, _ = back()
    told = scene.step(Restarted(at=at(scene.later())))
    assert ProveGone in kinds(told)
    assert not {TellIncident, CaptureLastWords} & set(kinds(told))
    assert TellIncident not in kinds(prove(scene))


def test_its_next_case_is_told_as_any() -> None:
    scene, _ = back()
    prove(scene)
    scene.step(inputs.granted(scene.later(), generation=3, boot="boot-2"))
    scene.step(inputs.ran(scene.later(), NOW))
    assert TellIncident in kinds(scene.kill(NOW))


def test_what_is_proven_before_it_starts_here_is_the_newest_that_died_here() -> None:
    """While another host held it, it was seen to die here once more; that was nobody's news."""
    scene, _ = back()
    prove(scene)
    assert not scene.step(inputs.failed(scene.later(), NOW))
    told = scene.step(inputs.ordered(scene.later(), "web", 3, boot="boot-2"))
    assert [a.life for a in told if isinstance(a, ProveGone)] == [NOW]
