"""A host that could not mend itself: what the site does about it is set, and by default nothing.

covers: H1
"""

import pytest
from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.fencing import HostMode
from holdfast.facts.mending import HandOver
from holdfast.policy import site_drains
from tests.policy.migration_scene import MigrationScene


def made(answer: HandOver) -> MigrationScene:
    scene = MigrationScene()
    scene.give(
        told.ActingSet(at=scene.now, fence_after_ms=3_000, brake_percent=30, hand_over=answer)
    )
    return scene


def hands_over(
    scene: MigrationScene, host: str, *what: str, may_stay: tuple[str, ...] = ()
) -> None:
    """Its agent says what it could not mend; with nothing, that all is well again."""
    record = scene.world.hosts[host]
    vms = told.VmsSet(at=scene.now, host=host, boot=record.boot, vms=record.vms)
    scene.give(structs.replace(vms, handed_over=what, may_stay=may_stay))


def test_by_default_it_is_only_told() -> None:
    scene = made(HandOver.REPORT)
    hands_over(scene, "h1", "nova-compute")
    scene.wait(60_000)
    assert scene.did == []
    assert scene.begin("web1", "h3") == ""


def test_in_quarantine_nothing_is_placed_there_and_its_vms_stay() -> None:
    scene = made(HandOver.QUARANTINE)
    hands_over(scene, "h3", "nova-compute")
    scene.wait(60_000)
    assert scene.did == []
    assert scene.begin("web1", "h3") == "not to h3: it could not mend itself (nova-compute)"
    hands_over(scene, "h3")
    assert scene.begin("web4", "h3") == ""


def test_drained_its_vms_move_away_until_it_is_well_again() -> None:
    scene = made(HandOver.DRAIN)
    hands_over(scene, "h1", "nova-compute")
    assert scene.did[0] == "put begun of web1 to h3"
    assert scene.world.migrations["web1"].by == "nova-compute, which could not be mended there"


def test_a_drain_is_braked_as_any_other_act() -> None:
    scene = made(HandOver.DRAIN)
    scene.disarm()
    hands_over(scene, "h1", "nova-compute")
    hands_over(scene, "h2", "nova-compute")
    scene.wait(60_000)
    assert scene.did == []
    scene.arm()
    scene.wait(60_000)
    assert scene.did == [], "two of four are more than a site may lose before a person looks"
    why = site_drains.why_unmended_kept(scene.world, scene.world.hosts["h1"])
    assert why.startswith("2 of 4 hosts could not mend themselves (h1, h2): more than 1")
    scene.mode("h1", HostMode.REPORT)
    hands_over(scene, "h2")
    scene.wait(60_000)
    assert scene.did == [], "in report mode its VMs stay"


def warns(scene: MigrationScene, host: str) -> None:
    """Its memory corrects too much: the advice is to place no new VM there."""
    hands_over(scene, host, "memory:all", may_stay=("memory:all",))


@pytest.mark.parametrize("answer", [*HandOver])
def test_a_mere_warning_drains_nothing_whatever_is_set(answer: HandOver) -> None:
    scene = made(answer)
    warns(scene, "h1")
    warns(scene, "h3")
    scene.wait(60_000)
    assert scene.did == []
    refused = "not to h3: it could not mend itself (memory:all)"
    assert scene.begin("web1", "h3") == ("" if answer is HandOver.REPORT else refused)


@pytest.mark.parametrize("answer", [HandOver.REPORT, HandOver.QUARANTINE])
def test_an_advice_to_drain_is_obeyed_no_further_than_is_set(answer: HandOver) -> None:
    scene = made(answer)
    hands_over(scene, "h1", "memory:all")
    scene.wait(60_000)
    assert scene.did == []


def test_a_warning_that_becomes_worse_drains_where_that_is_set() -> None:
    scene = made(HandOver.DRAIN)
    warns(scene, "h1")
    assert scene.did == []
    hands_over(scene, "h1", "fan:1", "memory:all", may_stay=("fan:1",))
    assert scene.did[0] == "put begun of web1 to h3"
    assert scene.world.migrations["web1"].by == "memory:all, which could not be mended there"
