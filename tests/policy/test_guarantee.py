"""The loss of hosts is tried on paper: who would not start elsewhere, and why.

covers: H9
"""

from msgspec import structs

from holdfast.facts.definitions import HostSize
from holdfast.policy import guarantee
from tests.policy.fence_scene import NEEDS, FenceScene


def stays(scene: FenceScene, *hosts: str) -> dict[str, str]:
    return {one.name: one.reason for one in guarantee.lose(scene.world, hosts).stays}


def test_a_site_with_room_loses_any_host() -> None:
    scene = FenceScene()
    assert all(not one.stays for one in guarantee.lose_each(scene.world))
    assert len(list(guarantee.lose_each(scene.world))) == 5
    assert len(list(guarantee.lose_each(scene.world, 2))) == 10


def test_what_would_not_fit_is_named_and_what_fits_is_not() -> None:
    scene = FenceScene(hosts=3)
    for host in ("h1", "h3"):
        scene.size(host, HostSize(memory_mib=2_500, cpus=4, bridges=("br0",)))
    scene.promise("more1", "h2")
    scene.promise("more2", "h2")
    assert set(stays(scene, "h2")) == {"web2"}, "one fits beside web1, and one beside web3"


def test_two_hosts_at_once_may_be_too_many() -> None:
    scene = FenceScene(hosts=3)
    for host in ("h1", "h2", "h3"):
        scene.size(host, HostSize(memory_mib=2_000, cpus=4, bridges=("br0",)))
    assert not any(one.stays for one in guarantee.lose_each(scene.world))
    assert all(len(one.stays) == 1 for one in guarantee.lose_each(scene.world, 2))


def test_what_is_local_would_stay() -> None:
    scene = FenceScene()
    scene.promise("local", "h4", structs.replace(NEEDS, obstacle="its disk a.img is local"))
    assert stays(scene, "h4") == {"local": "its disk a.img is local"}
    promise = scene.world.promises["local"]
    assert guarantee.elsewhere(scene.world, promise) == "its disk a.img is local"
    assert guarantee.elsewhere(scene.world, scene.world.promises["web4"]) == ""


def test_trying_changes_nothing() -> None:
    scene = FenceScene()
    before = str(scene.world)
    list(guarantee.lose_each(scene.world, 2))
    assert str(scene.world) == before
