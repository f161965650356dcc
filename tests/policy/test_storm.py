"""How long a host that was fenced counts for the brake: by what was seen, and by no wall clock.

covers: H2 H9
"""

import pytest
from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.policy import timing
from tests.policy.fence_scene import FenceScene
from tests.policy.site_scene import at, boot_of

HOUR_MS = 3_600_000
NEXT = "put intended of h1 (1)"


def fenced(step: FenceStep = FenceStep.OFF, **more: object) -> Fence:
    boot = boot_of("h4", 1)
    made = Fence(
        host="h4",
        name="h4",
        boot=boot,
        incident="",
        number=1,
        term=1,
        step=step,
        reason="it is silent",
        proof=DeathProof(kind=ProofKind.POWER, host="h4", boot=boot),
    )
    return structs.replace(made, **more)


def lose_h1(scene: FenceScene) -> None:
    scene.wrong("h1", "host-lost")
    scene.wait(5_000)


@pytest.mark.parametrize("step", [FenceStep.OFF, FenceStep.CLOSED])
@pytest.mark.parametrize("age_ms", [0, 11 * 60_000, 10**12])
def test_a_fence_that_is_news_counts_for_its_whole_time_whatever_clocks_say(
    step: FenceStep, age_ms: int
) -> None:
    scene = FenceScene()
    scene.fence_set(fenced(step), age_ms=age_ms)
    scene.wait(60_000)
    lose_h1(scene)
    assert NEXT not in scene.did
    assert "2 of 5 hosts are silent, or were fenced a moment ago" in scene.world.brake
    scene.wait(timing.STORM_MS)
    assert NEXT in scene.did, "it does not hold for ever"


@pytest.mark.parametrize("age_ms", [0, 11 * 60_000, 10**12])
def test_one_that_was_only_read_counts_from_then_while_its_host_is_off(age_ms: int) -> None:
    scene = FenceScene()
    scene.fence_set(fenced(), age_ms=age_ms, is_read=True)
    lose_h1(scene)
    assert NEXT not in scene.did
    scene.wait(timing.STORM_MS)
    assert NEXT in scene.did


def test_one_whose_host_is_back_is_of_the_past_when_it_was_only_read() -> None:
    scene = FenceScene()
    scene.fence_set(fenced(FenceStep.CLOSED), age_ms=HOUR_MS, is_read=True)
    lose_h1(scene)
    assert NEXT in scene.did


def test_one_whose_host_is_back_counts_where_it_was_a_moment_ago() -> None:
    scene = FenceScene()
    scene.fence_set(fenced(FenceStep.CLOSED), age_ms=60_000, is_read=True)
    lose_h1(scene)
    assert NEXT not in scene.did
    scene.wait(timing.STORM_MS - 60_000)
    assert NEXT in scene.did


def test_what_is_told_of_it_later_does_not_begin_it_anew() -> None:
    """Nor does a clock that jumps between the steps of one fence end it."""
    scene = FenceScene()
    scene.fence_set(fenced(FenceStep.INTENDED, proof=None))
    scene.wait(timing.STORM_MS - 20_000)
    scene.fence_set(fenced(), age_ms=10**12)
    scene.heard("h4", boot=2)
    scene.fence_set(fenced(FenceStep.CLOSED), age_ms=0)
    lose_h1(scene)
    assert NEXT not in scene.did
    scene.wait(20_000)
    assert NEXT in scene.did


def test_a_person_who_said_that_a_host_is_dead_starts_no_storm() -> None:
    scene = FenceScene()
    scene.fence_set(fenced(by="ann"))
    lose_h1(scene)
    assert NEXT in scene.did


def test_it_is_looked_again_when_the_storm_is_over_and_not_only_when_something_happens() -> None:
    scene = FenceScene()
    scene.fence_set(fenced())
    lose_h1(scene)
    due = scene.lawful.decider.world.acts_at
    assert due is not None
    assert due <= at(timing.STORM_MS)


def test_after_a_boot_of_its_own_a_controller_counts_from_when_it_read_it() -> None:
    scene = FenceScene()
    scene.fence_set(fenced())
    scene.wait(60_000)
    scene.ms = 0.0
    scene.give(told.SiteBegan(at=at(0), controller="c1", boot="cb2"))
    scene.lead(2)
    assert scene.world.storm_at == {}
    scene.fence_set(fenced(), age_ms=HOUR_MS, is_read=True)
    for host in ("h1", "h2", "h3", "h5"):
        scene.heard(host)
    lose_h1(scene)
    assert NEXT not in scene.did
