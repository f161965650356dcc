"""A VM that many hosts could not start rests, and is never given up for good.

covers: H2 H9
"""

from msgspec import structs

from holdfast.facts.commands import RecoveryAsked
from holdfast.facts.recoveries import RecoveryStep
from holdfast.policy import site_recovery, timing
from tests.policy.fence_scene import SIZE, FenceScene


def placed(scene: FenceScene) -> list[str]:
    return [line for line in scene.did if line.startswith("put placed")]


def tried_by_all(hosts: int = 3) -> FenceScene:
    """Each target gives it back at once, until the VM rests."""
    scene = FenceScene(hosts=hosts)
    scene.lose("h2")
    while len(placed(scene)) < timing.TARGETS_TRIED:
        refuse(scene)
        scene.wait(70_000)
    refuse(scene)
    scene.wait(1_000)
    return scene


def refuse(scene: FenceScene) -> None:
    if scene.world.recoveries["web2"].step is RecoveryStep.PLACED:
        scene.given_back("web2")


def test_hosts_that_refused_are_asked_again_until_it_rests_and_its_alarm_says_so() -> None:
    scene = tried_by_all()
    scene.wait(timing.TARGETS_REST_MS - 5_000)
    assert len(placed(scene)) == timing.TARGETS_TRIED
    text = scene.open_alarms["vm-on-lost-host web2"]
    assert "10 hosts were told to start it, and none could" in text
    assert text.endswith("at once: holdfast vm recover web2")


def test_then_one_more_has_its_turn_each_ten_minutes() -> None:
    scene = tried_by_all()
    for more in (1, 2):
        scene.wait(timing.TARGETS_REST_MS + timing.REFUSED_FOR_MS)
        assert len(placed(scene)) == timing.TARGETS_TRIED + more
        refuse(scene)
        scene.wait(60_000)
        assert len(placed(scene)) == timing.TARGETS_TRIED + more


def test_a_host_that_could_not_take_it_before_has_its_turn_at_once_and_once() -> None:
    scene = FenceScene()
    scene.size("h5", structs.replace(SIZE, bridges=()))
    scene.lose("h2")
    while len(placed(scene)) < timing.TARGETS_TRIED:
        refuse(scene)
        scene.wait(70_000)
    refuse(scene)
    scene.wait(1_000)
    scene.size("h5")
    scene.wait(3_000)
    assert placed(scene)[-1].startswith("put placed of web2 on h5")
    refuse(scene)
    scene.size("h5", structs.replace(SIZE, bridges=()))
    scene.wait(3_000)
    scene.size("h5")
    scene.wait(60_000)
    assert len(placed(scene)) == timing.TARGETS_TRIED + 1, "room that comes and goes is not new"
    scene.heard("h5", boot=2)
    scene.runs("h5", "web5", boot=2)
    scene.wait(1_000)
    assert placed(scene)[-1].startswith("put placed of web2 on h5")
    assert len(placed(scene)) == timing.TARGETS_TRIED + 2, "a host that was booted is another"


def test_a_person_may_say_so() -> None:
    scene = tried_by_all()
    assert site_recovery.is_waiting(scene.world, "web2")
    scene.give(RecoveryAsked(at=scene.now, vm="web2", by="ann"))
    assert len(placed(scene)) == timing.TARGETS_TRIED + 1
    assert not site_recovery.is_waiting(scene.world, "web2"), "a host is at it"
    scene.give(RecoveryAsked(at=scene.now, vm="web2", by="ann"))
    scene.wait(1_000)
    assert len(placed(scene)) == timing.TARGETS_TRIED + 1


def test_a_leader_that_comes_newly_lets_it_rest_as_well_and_no_longer() -> None:
    scene = tried_by_all()
    scene.lead(2)
    scene.wait(timing.TARGETS_REST_MS // 2)
    assert len(placed(scene)) == timing.TARGETS_TRIED
    scene.wait(timing.TARGETS_REST_MS)
    assert len(placed(scene)) == timing.TARGETS_TRIED + 1
