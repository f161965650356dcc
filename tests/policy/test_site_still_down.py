"""A VM that went down with its host stays alarmed, and is brought back, whatever the host does.

covers: H9
"""

from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.fencing import FenceStep, HostMode
from holdfast.facts.recoveries import RecoveryStep
from holdfast.facts.tenure import Wanted
from tests.policy.fence_scene import FenceScene

ALARM = "vm-on-lost-host web4"


def refused_by_all(scene: FenceScene) -> None:
    for _ in range(4):
        if scene.world.recoveries["web4"].step is RecoveryStep.PLACED:
            scene.given_back("web4", "it has another VM of that name")
        scene.wait(2_500)
    assert scene.world.recoveries["web4"].step is RecoveryStep.GIVEN_BACK


def back(scene: FenceScene, host: str) -> None:
    scene.heard(host, boot=2)
    scene.runs(host, boot=2)
    scene.wait(100)


def test_a_vm_that_all_refused_starts_on_its_own_host_when_that_is_back() -> None:
    scene = FenceScene()
    scene.lose("h4")
    refused_by_all(scene)
    back(scene, "h4")
    assert scene.world.fences["h4"].step is FenceStep.CLOSED, (
        "nobody is silent, and no fence is open"
    )
    scene.wait(12_000)
    assert scene.world.recoveries["web4"].target == "h4"
    assert scene.did[-1] == "start web4 on h4 (6)"


def test_its_alarm_stays_until_it_answers() -> None:
    scene = FenceScene()
    scene.lose("h4")
    back(scene, "h4")
    assert "host-lost h4" not in scene.open_alarms
    assert scene.open_alarms[ALARM] == "web4 went down with h4, and is being started on h1"
    scene.runs("h1", "web1", "web4", is_serving=False)
    assert "its answer is awaited" in scene.open_alarms[ALARM]
    scene.runs("h1", "web1", "web4")
    assert ALARM not in scene.open_alarms
    key = next(k for k, one in scene.world.reported.items() if one.subject.name == "web4")
    assert scene.world.reported[key].text == "web4 answers on h1"


def test_its_alarm_ends_when_it_is_not_promised_any_more() -> None:
    scene = FenceScene()
    scene.lose("h4")
    back(scene, "h4")
    assert ALARM in scene.open_alarms
    scene.give(told.PromiseEnded(at=scene.now, vm="web4"))
    assert ALARM not in scene.open_alarms


def test_its_alarm_ends_when_somebody_stops_it_on_purpose() -> None:
    scene = FenceScene()
    scene.lose("h4")
    back(scene, "h4")
    scene.hold("web4", structs.replace(scene.tenures["web4"], wanted=Wanted.STOPPED))
    assert ALARM not in scene.open_alarms


def test_a_host_that_a_person_has_settled_holds_back_none_of_its_vms() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.settle(scene.world.hosts["h4"].incident)
    scene.off("h4")
    scene.wait(600)
    assert scene.did[-1] == "start web4 on h1 (2)"
    assert scene.open_alarms[ALARM] == "web4 went down with h4, and is being started on h1"


def test_a_host_that_said_it_runs_a_vm_of_another_and_fell_silent_may_run_it_still() -> None:
    scene = FenceScene(hosts=10)
    scene.runs("h2", "web2", "web4")
    scene.wrong("h2", "host-lost")
    scene.mode("h2", HostMode.REPORT)
    scene.lose("h4")
    assert not any("web4 on" in line for line in scene.did)
    text = scene.open_alarms[ALARM]
    assert "h2 said that it runs there, without holding it, and is silent now" in text
    assert text.endswith("look there first, then holdfast host confirm-dead h2")


def test_one_that_is_proven_dead_runs_it_no_more() -> None:
    scene = FenceScene(hosts=10)
    scene.runs("h2", "web2", "web4")
    scene.lose("h2")
    scene.lose("h4")
    assert any(line.startswith("start web4 on") for line in scene.did)


def test_a_target_that_does_not_answer_is_told_with_its_reason() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.silent("web4")
    said = (
        "web4 is down with h4, and h1, which is to start it, has not said that it does: no answer"
    )
    assert scene.open_alarms[ALARM] == said
    scene.wait(6_000)
    assert scene.open_alarms[ALARM] == said, "it is told again, and has not answered that either"
    scene.taken("web4")
    assert scene.open_alarms[ALARM] == "web4 is down with h4, and is being started on h1"


def test_a_disarm_after_a_vm_was_placed_is_told() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.silent("web4")
    scene.disarm()
    scene.wait(6_000)
    said = "web4 is down with h4, and is not started on h1 yet: ann disarmed recovery: works"
    assert scene.open_alarms[ALARM] == said
