"""VMs stay in their zone, and go only to hosts that are for VMs.

covers: H9 H10
"""

from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.commands import GroupSet
from holdfast.facts.definitions import HostRole
from holdfast.facts.promises import Group, Zones
from tests.policy.fence_scene import SIZE, FenceScene


def in_zone(scene: FenceScene, host: str, zone: str) -> None:
    scene.give(told.HostSet(at=scene.now, host=host, name=host, zone=zone))


def with_roles(scene: FenceScene, host: str, *roles: HostRole) -> None:
    scene.size(host, structs.replace(SIZE, roles=roles))


def targets(scene: FenceScene) -> list[str]:
    return [line.split()[-2] for line in scene.did if line.startswith("put placed")]


def test_a_vm_starts_elsewhere_within_its_zone() -> None:
    """The other hosts have as much room, and come first by their names."""
    scene = FenceScene(hosts=5)
    for host, zone in (("h1", "a"), ("h2", "a"), ("h3", "b"), ("h4", "a"), ("h5", "b")):
        in_zone(scene, host, zone)
    scene.lose("h5")
    assert targets(scene) == ["h3"]


def test_where_its_zone_has_no_host_left_it_starts_nowhere_and_says_so() -> None:
    scene = FenceScene(hosts=3)
    in_zone(scene, "h1", "a")
    in_zone(scene, "h2", "b")
    in_zone(scene, "h3", "a")
    scene.lose("h2")
    assert targets(scene) == []
    text = scene.open_alarms["vm-on-lost-host web2"]
    assert "h1: it is in zone a, and the VM stays in zone b" in text


def test_a_group_may_leave_its_zone() -> None:
    scene = FenceScene(hosts=3)
    in_zone(scene, "h1", "a")
    in_zone(scene, "h2", "b")
    in_zone(scene, "h3", "a")
    scene.give(GroupSet(at=scene.now, group=Group(name="default", zones=Zones.ANY)))
    scene.lose("h2")
    assert targets(scene) == ["h1"]


def test_a_host_without_a_zone_is_in_all() -> None:
    scene = FenceScene(hosts=3)
    in_zone(scene, "h1", "a")
    in_zone(scene, "h2", "b")
    scene.lose("h2")
    assert targets(scene) == ["h3"]


def test_a_host_that_is_for_storage_is_given_no_vm() -> None:
    scene = FenceScene(hosts=3)
    with_roles(scene, "h1", HostRole.STORAGE, HostRole.CONTROL)
    with_roles(scene, "h3", HostRole.STORAGE)
    scene.lose("h2")
    assert targets(scene) == []
    text = scene.open_alarms["vm-on-lost-host web2"]
    assert "h1: it is for storage and control, and takes no VMs" in text


def test_a_host_that_is_for_both_is_given_vms() -> None:
    scene = FenceScene(hosts=3)
    with_roles(scene, "h1", HostRole.STORAGE)
    with_roles(scene, "h3", HostRole.STORAGE, HostRole.COMPUTE)
    scene.lose("h2")
    assert targets(scene) == ["h3"]
