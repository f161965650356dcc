"""Each VM's first obstacle to a start elsewhere, with what helps; and whom a new promise costs.

covers: H9
"""

from msgspec import structs

from holdfast.facts.commands import GroupSet
from holdfast.facts.definitions import HostSize
from holdfast.facts.fencing import HostMode
from holdfast.facts.promises import Group, Owner, Spread
from holdfast.facts.tenure import Wanted
from holdfast.policy import admission, guarantee
from tests.policy.fence_scene import NEEDS, FenceScene


def said(scene: FenceScene, vm: str) -> tuple[str, str]:
    found = admission.obstacle(scene.world, scene.world.promises[vm])
    return (found.reason, found.helps) if found else ("", "")


def test_a_vm_with_room_elsewhere_has_no_obstacle() -> None:
    assert said(FenceScene(), "web1") == ("", "")


def test_the_agents_own_obstacle_comes_before_the_sites() -> None:
    scene = FenceScene(hosts=1)
    scene.mode("h1", HostMode.REPORT)
    scene.promise("local", "h1", structs.replace(NEEDS, obstacle="its disk a.img is local"))
    assert said(scene, "local")[0] == "its disk a.img is local"
    assert said(scene, "web1")[0] == "h1 is in report mode"


def test_who_is_not_to_act_says_how_to_let_it() -> None:
    scene = FenceScene()
    scene.mode("h1", HostMode.REPORT)
    assert said(scene, "web1") == ("h1 is in report mode", "holdfast host mode h1 act")
    scene.world.hosts["h1"].devices = ()
    scene.world.hosts["h1"].mode = HostMode.ACT
    reason, helps = said(scene, "web1")
    assert reason == "no fence device is set for h1"
    assert helps.startswith("holdfast fence set h1 ")


def test_a_vm_that_is_not_ours_to_start_says_whose_it_is() -> None:
    scene = FenceScene()
    scene.give(GroupSet(at=scene.now, group=Group(name="vnf", owner=Owner.EXTERNAL)))
    scene.promise("vnf1", "h1", group="vnf")
    assert said(scene, "vnf1")[0] == "its recovery is owned by external"
    stopped = structs.replace(scene.tenures["web1"], wanted=Wanted.STOPPED)
    scene.hold("web1", stopped)
    assert said(scene, "web1")[0] == "it is wanted stopped"
    scene.hold("web1", structs.replace(stopped, boot=""))
    assert said(scene, "web1") == ("it is in doubt what its host held", "holdfast vm protect web1")


def test_what_lacks_elsewhere_is_said_of_each_host() -> None:
    scene = FenceScene(hosts=2)
    scene.size("h2", HostSize(memory_mib=1_500, cpus=4, bridges=("br0",)))
    reason, helps = said(scene, "web1")
    assert reason == "no host is left to start it on: h2: it has 500 MiB left, and 1000 are needed"
    assert "holdfast guarantee" in helps


def test_all_obstacles_are_those_of_each_alone() -> None:
    scene = FenceScene(hosts=3)
    scene.mode("h2", HostMode.REPORT)
    for host in ("h1", "h3"):
        scene.size(host, HostSize(memory_mib=1_500, cpus=4, bridges=("br0",)))
    scene.promise("unknown", "h3", None)
    tried = tuple(guarantee.lose_each(scene.world))
    found = admission.obstacles(scene.world, tried)
    assert found == {
        vm: admission.obstacle(scene.world, promise) for vm, promise in scene.world.promises.items()
    }
    assert found["unknown"] is not None
    assert found["unknown"].reason == guarantee.NOT_KNOWN


def test_a_new_promise_that_takes_the_room_of_another_says_whose() -> None:
    scene = FenceScene(hosts=2)
    scene.size("h2", HostSize(memory_mib=2_000, cpus=4, bridges=("br0",)))
    before = {one.hosts: one for one in guarantee.lose_each(scene.world)}
    assert guarantee.is_kept(before.values())
    twin = structs.replace(scene.world.promises["web1"].protection, vm="big", name="big")
    urgent = Group(name="urgent", priority=5)
    scene.give(GroupSet(at=scene.now, group=urgent))
    promise = structs.replace(
        scene.world.promises["web1"], protection=structs.replace(twin, group="urgent")
    )
    world = admission.with_promise(scene.world, promise)
    assert "big" not in scene.world.promises, "nothing is changed by trying"
    broken = [admission.broken_by("big", before, one) for one in guarantee.lose_each(world)]
    assert [one for one in broken if one] == [
        (
            "web1 would start nowhere if h1 were lost: no host is left to start it on:"
            " h2: it has 0 MiB left, and 1000 are needed"
        )
    ]


def test_what_stayed_down_before_is_not_blamed_on_the_new_one() -> None:
    scene = FenceScene(hosts=2)
    scene.promise("local", "h1", structs.replace(NEEDS, obstacle="its disk a.img is local"))
    before = {one.hosts: one for one in guarantee.lose_each(scene.world)}
    assert not any(admission.broken_by("new", before, one) for one in before.values())


def test_kept_apart_counts_as_an_obstacle() -> None:
    scene = FenceScene(hosts=2)
    scene.give(GroupSet(at=scene.now, group=Group(name="pair", spread=Spread.HOST)))
    scene.promise("a", "h1", group="pair")
    scene.promise("b", "h2", group="pair")
    assert "b of the same group is on h2" in said(scene, "a")[0]
