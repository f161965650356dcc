"""What a boot of a host ends, and what it does not: of those that are silent, and of those back.

covers: H2 H7 H9
"""

import pytest
from msgspec import structs

from tests.policy.fence_scene import FenceScene
from tests.policy.site_scene import boot_of


@pytest.mark.parametrize("is_under_way", [True, False])
def test_who_was_booted_before_it_was_switched_off_is_left_alone(is_under_way: bool) -> None:
    """The boot that was to be proven dead is over: nobody's power is cut for it any more."""
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    if not is_under_way:
        scene.not_off("h4")
    scene.heard("h4", boot=2)
    assert "put closed of h4 (1)" not in scene.did, "its agent has not said what runs there"
    scene.runs("h4", boot=2)
    assert scene.did[-1] == "put closed of h4 (1)"
    before = len(scene.did)
    scene.wait(60_000)
    assert scene.did[before:] == []
    scene.wrong("h4", "host-lost", boot=2)
    scene.wait(3_100)
    assert scene.did[before:] == ["put intended of h4 (2)", "switch off h4"]


def test_who_was_booted_and_runs_what_is_anothers_is_not_left_before_that_has_ended() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    tenure = structs.replace(scene.tenures["web4"], host="h1", boot=boot_of("h1"), generation=2)
    scene.hold("web4", tenure)
    scene.heard("h4", boot=2)
    scene.runs("h4", "web4", boot=2)
    scene.wait(60_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]
    scene.runs("h4", boot=2)
    assert scene.did[-1] == "put closed of h4 (1)"


def test_a_host_that_was_missed_before_this_controller_began_anew_is_not_only_booting() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(1_000)
    scene.reborn()
    scene.begin_again()
    scene.lead(2)
    scene.wait(3_100)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_who_is_heard_after_the_intent_is_switched_off_all_the_same() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.not_off("h4")
    scene.heard("h4")
    scene.runs("h4", "web4")
    scene.wait(6_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4", "switch off h4"]


def test_a_host_that_was_never_heard_has_time_to_boot() -> None:
    scene = FenceScene()
    scene.reborn()
    scene.begin_again()
    scene.lead(2)
    scene.wrong("h4", "host-lost")
    scene.wait(100_000)
    assert scene.did == []
    assert "not heard since this controller began" in scene.step
    scene.wait(250_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_a_host_that_is_back_in_a_new_boot_rejoins() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.heard("h4", boot=2)
    scene.runs("h4", "web4", boot=2)
    scene.wait(5_000)
    assert "put closed of h4 (1)" not in scene.did, "a stale copy runs there"
    scene.runs("h4", boot=2)
    assert "put closed of h4 (1)" in scene.did


def test_a_dead_host_whose_kernel_answers_boots_and_is_not_frozen() -> None:
    scene = FenceScene()
    scene.lose("h4")
    assert scene.wrong("h4", "host-frozen") == []
    assert "host-lost h4" in scene.open_alarms


def test_a_host_that_dies_again_is_fenced_again() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.heard("h4", boot=2)
    scene.runs("h4", boot=2)
    scene.promise("other", "h4", boot=2)
    scene.wait(700_000)
    scene.did.clear()
    scene.wrong("h4", "host-lost", boot=2)
    scene.wait(3_100)
    assert "put intended of h4 (2)" in scene.did
