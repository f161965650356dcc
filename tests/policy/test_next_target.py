"""A target that cannot start a VM gives it back soon, as long as another host could take it.

covers: H2 H9
"""

from msgspec import structs

from holdfast.facts.actions import RestartElsewhere
from holdfast.facts.definitions import HostSize
from holdfast.facts.instants import elapsed_ms
from holdfast.facts.outcomes import StartFailed
from holdfast.facts.subjects import Incarnation
from holdfast.policy import timing
from holdfast.policy.vm_states import VmState
from tests.policy import inputs
from tests.policy.fence_scene import FenceScene
from tests.policy.inputs import at
from tests.policy.scene import WEB1, WEB2, WEB3, Scene

ELSEWHERE = Incarnation(vm="uuid-web", boot="h4", pid=0, started_ticks=2)


def tries(scene: FenceScene) -> list[int]:
    return [one.tries for one in scene.acts if isinstance(one, RestartElsewhere)]


def test_a_first_target_is_told_to_try_it_twice() -> None:
    scene = FenceScene()
    scene.lose("h4")
    assert tries(scene) == [timing.TRIES_HERE]


def test_the_last_one_that_could_take_it_may_go_on() -> None:
    scene = FenceScene(hosts=3)
    scene.lose("h2")
    scene.gave_up(scene.tenures["web2"].host, "web2")
    scene.given_back("web2", "it could not be started")
    scene.wait(3_000)
    assert tries(scene) == [timing.TRIES_HERE, 0]


def test_a_host_without_room_is_no_other_one() -> None:
    scene = FenceScene()
    for host in ("h2", "h3", "h5"):
        scene.size(host, structs.replace(HostSize(memory_mib=1_000, cpus=1), bridges=("br0",)))
    scene.lose("h4")
    assert tries(scene) == [0]


# What the target makes of it.


def ordered(tries: int) -> Scene:
    scene = Scene(has_run=False)
    scene.step(inputs.ordered(scene.later(), tries=tries))
    return scene


def fail_to_start(scene: Scene) -> int:
    """As often as policy asks for it. How many starts that were."""
    starts = 0
    while scene.state() is not VmState.HANDED_OVER:
        scene.prove(ELSEWHERE)
        while scene.state() is VmState.WAITING:
            scene.wake()
            scene.prove(ELSEWHERE)
        if scene.state() is VmState.STARTING:
            starts += 1
            failed = StartFailed(
                incident=scene.incident, at=at(scene.later()), reason="its disk is away"
            )
            scene.step(failed)
    return starts


def test_after_two_starts_that_failed_it_gives_up_within_seconds() -> None:
    scene = ordered(timing.TRIES_HERE)
    began = scene.lawful.decider.world.now
    assert fail_to_start(scene) == 2
    assert elapsed_ms(began, scene.lawful.decider.world.now) < 5_000
    incident = scene.lawful.decider.world.incidents[scene.incident]
    assert "it was tried 2 times here, and another host is to have its turn" in incident.step


def test_one_that_is_the_last_uses_its_whole_budget() -> None:
    scene = ordered(0)
    assert fail_to_start(scene) == inputs.GOLD.restarts


def test_what_dies_before_its_guest_answered_was_a_try_as_well() -> None:
    scene = ordered(timing.TRIES_HERE)
    for before, life in ((ELSEWHERE, WEB1), (WEB1, WEB2)):
        scene.prove(before)
        while scene.state() is VmState.WAITING:
            scene.wake()
            scene.prove(before)
        assert scene.state() is VmState.STARTING
        scene.step(inputs.started(scene.later(), scene.incident, life))
        scene.kill(life)
    scene.prove(WEB2)
    assert scene.state() is VmState.HANDED_OVER


def test_once_its_guest_answered_it_is_brought_back_here_as_any_other() -> None:
    scene = ordered(timing.TRIES_HERE)
    scene.prove(ELSEWHERE)
    scene.step(inputs.started(scene.later(), scene.incident, WEB1))
    scene.step(inputs.answered(scene.later(), scene.incident, WEB1))
    scene.later(1_000 * inputs.GOLD.restarts_window_s)
    scene.restart(WEB1, WEB2)
    scene.restart(WEB2, WEB3)
    scene.restart(WEB3, inputs.life(4))
    assert scene.state() is not VmState.HANDED_OVER
