"""What a pulse says beside its being there: words on layers, and plans, each bounded."""

import pytest

from holdfast.facts.layers import Layer, LayerState, Plan
from tests.controller.ear_scene import MS, FakeHost, Scene, brief


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_a_pulse_says_is_told_when_it_changes(scene: Scene) -> None:
    host = FakeHost("h1", layers={Layer.AGENT: LayerState.WELL})
    scene.know(host)
    scene.run(2_000, host)
    host.layers = {Layer.AGENT: LayerState.STALE, Layer.LIBVIRT: LayerState.ILL}
    [said] = scene.run(2_500, host)
    assert said["layers"] == {"agent": "stale", "libvirt": "ill"}
    assert (said["plan"], said["at"]) == ("none", 2_000 * MS)


def test_a_word_that_was_overtaken_is_not_told(scene: Scene) -> None:
    host = FakeHost("h1", layers={Layer.AGENT: LayerState.WELL})
    scene.know(host)
    scene.take(host.pulse("a"))
    late_on_b = host.pulse("b")
    host.layers = {Layer.AGENT: LayerState.ILL}
    scene.now_ms += 50
    scene.take(host.pulse("a"))
    scene.said()
    scene.take(late_on_b, "b")
    assert brief(scene.said()) == [("heard", "h1", "b", "boot-1")]


@pytest.mark.parametrize("planes", ["a", "ab"])
def test_a_planned_restart_is_tolerated_until_its_limit(scene: Scene, planes: str) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    host.plan, host.limit_ms = Plan.PULSE_RESTARTS, 1_000
    assert brief(scene.run(2_050, host, planes=planes)) == [("said", "h1", "boot-1")]
    assert scene.run(3_000) == []
    assert brief(scene.run(3_060)) == [
        ("silent", "h1", "a", "boot-1"),
        ("silent", "h1", "b", "boot-1"),
    ]


def test_a_planned_restart_that_ends_in_time_is_not_told(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    host.plan, host.limit_ms = Plan.PULSE_RESTARTS, 5_000
    scene.run(2_050, host)
    assert scene.run(5_000) == []
    host.plan = Plan.NONE
    assert brief(scene.run(6_000, host)) == [("said", "h1", "boot-1")]
    assert scene.run(6_220)[0]["at"] == 6_150 * MS, "afterwards it is missed as fast as before"


def test_a_plan_that_was_called_off_holds_on_no_plane(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    host.plan, host.limit_ms = Plan.PULSE_RESTARTS, 5_000
    scene.run(3_000, host)
    host.plan = Plan.NONE
    assert brief(scene.run(3_010, host, planes="a")) == [("said", "h1", "boot-1")]
    assert [one["at"] for one in scene.run(9_000)] == [3_200 * MS] * 2


def test_no_plan_lasts_longer_than_is_tolerated(scene: Scene) -> None:
    host = FakeHost("h1", plan=Plan.PULSE_RESTARTS, limit_ms=2**32 - 1)
    scene.know(host)
    scene.run(1_050, host)
    assert [one["at"] for one in scene.run(10_000) if one["is"] == "silent"] == [6_000 * MS] * 2


def test_a_host_that_stops_on_purpose_is_silent_after_it_said_so(scene: Scene) -> None:
    host = FakeHost("h1")
    scene.know(host)
    scene.run(2_000, host)
    host.plan, host.limit_ms = Plan.HOST_STOPS, 600_000
    scene.run(2_050, host)
    assert [one["at"] for one in scene.run(3_000)] == [2_200 * MS] * 2
