"""What the incident of a host asks of a person is what the alarm of the same fault says.

covers: H5
"""

import pytest

from holdfast.facts.catalogue import BY_ID
from holdfast.policy import timing
from tests.policy.site_scene import SiteScene


def asked(scene: SiteScene, host: str = "h1") -> str:
    return scene.world.incidents[scene.world.hosts[host].incident].needs_you


def step(condition: str, name: str = "h1") -> str:
    return f"{name}: {BY_ID[condition].repair.replace('HOST', name)}"


@pytest.mark.parametrize("condition", ["agent-away", "host-cut-off", "host-plane-lost"])
def test_what_only_a_person_can_mend_is_asked_of_one_at_once(condition: str) -> None:
    scene = SiteScene()
    scene.wrong("h1", condition)
    assert asked(scene) == step(condition)


def test_a_silence_is_nobodys_at_first_and_then_a_persons() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    assert asked(scene) == ""
    scene.wait(timing.PAGE_AFTER_MS)
    assert asked(scene) == step("host-lost")
    scene.wrong("h1", "host-frozen")
    assert asked(scene) == step("host-frozen")


def test_what_is_left_after_a_silence_is_what_is_to_do() -> None:
    scene = SiteScene()
    scene.wrong("h1", "agent-away")
    scene.wrong("h1", "host-lost")
    assert asked(scene) == "", "its agent is away with it"
    scene.wait(timing.PAGE_AFTER_MS)
    scene.heard("h1")
    assert asked(scene) == step("agent-away")
    assert scene.world.incidents[scene.world.hosts["h1"].incident].step == ""


def test_a_loss_that_hosts_share_is_looked_for_where_they_share_it() -> None:
    scene = SiteScene()
    for host in ("h1", "h2"):
        scene.wrong(host, "host-lost")
    scene.wait(timing.PAGE_AFTER_MS)
    assert asked(scene) == asked(scene, "h2") == step("racks-lost", "rack A")
    scene.heard("h1")
    assert asked(scene, "h2") == step("racks-lost", "rack A")
