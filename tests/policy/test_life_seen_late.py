"""A life that is first known by its trouble runs, and is not taken for the one before it.

covers: H6 H9
"""

import random

import pytest
from msgspec import structs

from holdfast.facts.actions import AwaitAnswer, RestartHere
from holdfast.facts.promises import Owner
from holdfast.facts.verdicts import Effect
from holdfast.policy.vm_states import VmState
from tests.policy import inputs
from tests.policy.laws import Lawful
from tests.policy.scene import WEB1, WEB2, Scene, kinds
from tests.policy.test_laws import play

EXTERNAL = structs.replace(inputs.GOLD, owner=Owner.EXTERNAL)


def left() -> Scene:
    """It failed, and was left to somebody else, who starts it."""
    scene = Scene()
    scene.step(inputs.group_set(scene.later(), EXTERNAL))
    scene.kill()
    assert scene.state() is VmState.LEFT
    return scene


@pytest.mark.parametrize("effect", [Effect.DEGRADED, Effect.DOOMED])
def test_its_answer_is_awaited_as_of_any_that_was_seen_to_begin(effect: Effect) -> None:
    scene = left()
    trouble = inputs.failed(scene.later(), WEB2, "vm-crash-dumping", effect)
    assert AwaitAnswer in kinds(scene.step(trouble))
    scene.step(inputs.ran(scene.later(), WEB2))
    incident = scene.incident
    scene.step(inputs.group_set(scene.later()))
    assert scene.state() is VmState.ANSWERING
    actions = scene.step(inputs.proven(scene.later(20_000), incident, WEB2))
    assert RestartHere not in kinds(actions), "it runs, and has not failed"


def test_one_that_fails_as_it_is_first_seen_has_failed() -> None:
    scene = left()
    assert AwaitAnswer not in kinds(scene.step(inputs.stuck(scene.later(), WEB2)))


def test_what_an_earlier_life_died_of_keeps_no_incident_open() -> None:
    """It was learned only when the next life was in trouble of its own."""
    scene = Scene()
    scene.step(inputs.ran(scene.later(), WEB2))
    trouble = inputs.failed(scene.later(), WEB2, "vm-watchdog-fired", Effect.DEGRADED)
    scene.step(trouble, inputs.failed(scene.later(), WEB1))
    assert scene.open_alarms == {"vm-watchdog-fired", "vm-gone"}
    incident = scene.incident
    told = scene.step(inputs.cleared(scene.later(), WEB2, "vm-watchdog-fired"))
    assert AwaitAnswer in kinds(told)
    scene.step(inputs.answered(scene.later(), incident, WEB2))
    assert scene.open_alarms == set()


@pytest.mark.parametrize("is_explained", [True, False])
def test_one_that_ended_again_is_started_only_if_it_is_known_why(is_explained: bool) -> None:
    """Who it was left to started it; it ended once more, and from then on it is ours."""
    scene = left()
    scene.step(inputs.ran(scene.later(), WEB2), inputs.ended(scene.later(), WEB2))
    assert scene.state() is VmState.LEFT
    if is_explained:
        scene.step(inputs.failed(scene.later(), WEB2))
    scene.step(inputs.group_set(scene.later()))
    wanted = VmState.PROVING if is_explained else VmState.HANDED_OVER
    assert scene.state() is wanted


def test_what_does_not_mend_itself_is_handed_over_once_it_is_ours() -> None:
    scene = Scene()
    scene.step(inputs.group_set(scene.later(), EXTERNAL))
    trouble = inputs.failed(scene.later(), WEB1, "vm-crash-dumping", Effect.DEGRADED)
    scene.step(trouble)
    scene.wake()
    assert scene.state() is VmState.RUNNING, "its owner deals with it"
    scene.step(inputs.group_set(scene.later()))
    scene.wake()
    assert scene.state() is VmState.HANDED_OVER


@pytest.mark.parametrize("seed", [1509, 2988, 4793, 5289, 5930, 10450, 20400, 31391])
def test_long_orders_of_inputs_keep_the_laws(seed: int) -> None:
    play(random.Random(seed), Lawful(), 60)
