"""A recovery that could not happen now is promised to nobody.

covers: H9
"""

from typing import Any

from msgspec import structs

from holdfast.adapters.simulated.vims import VimInMemory
from holdfast.controller.guaranteeing import LOOK_S, Guarantees
from holdfast.facts.fencing import HostMode
from holdfast.facts.leases import HostLease
from holdfast.facts.site import HostModeSet, LeaseSet
from holdfast.policy.guarantee import Paper
from tests.controller.fake_agent import summary
from tests.controller.test_guaranteeing import by_hand, run
from tests.policy.fence_scene import FenceScene
from tests.policy.site_scene import boot_of


def guarantees_of(scene: FenceScene, **more: Any) -> Guarantees:
    return Guarantees(
        world=lambda: scene.world,
        vim=VimInMemory(),
        is_leading=lambda: True,
        target=1,
        me="c1",
        boot="b1",
        **more,
    )


def test_what_hinders_a_fence_now_is_said_of_the_site_the_host_and_each_vm() -> None:
    async def work() -> None:
        scene, wrong = FenceScene(hosts=3), dict[str, str]()
        guarantees = guarantees_of(scene, unfenceable=lambda host: wrong.get(host, ""))
        vm = structs.replace(summary("web1"), is_protected=True)
        with by_hand() as hands:
            assert guarantees.shown(await guarantees.newest())["hindered"] == []
            assert guarantees.worded(vm).starts_elsewhere
            wrong["h1"] = "fence_ipmilan: the password is wrong"
            hands.s += LOOK_S
            said = "h1 could not be switched off now: fence_ipmilan: the password is wrong"
            shown = guarantees.shown(await guarantees.newest())
            assert shown["hindered"] == [said]
            assert shown["is_kept"], "its own alarm says that: this one is about room"
            lost = guarantees.if_lost("h1")
            assert lost is not None
            assert lost["hindered"] == said
            worded = guarantees.worded(vm)
            assert (worded.starts_elsewhere, worded.elsewhere) == (False, said)
            wrong.clear()
            scene.disarm()
            hands.s += LOOK_S
            assert len(guarantees.shown(await guarantees.newest())["hindered"]) == 3

    run(work)


def test_a_host_that_was_fenced_a_moment_ago_may_be_lost_again_and_another_may_not() -> None:
    scene = FenceScene(hosts=3)
    scene.lose("h2")
    paper = Paper(scene.world)
    hosts = scene.world.hosts
    assert paper.hindered(hosts["h2"]) == "h2 is silent already"
    scene.heard("h2", boot=2)
    scene.runs("h2", boot=2)
    assert "put closed of h2 (1)" in scene.did
    assert paper.hindered(hosts["h2"]) == ""
    said = "h2 is silent, or was fenced a moment ago: one more is for a person"
    assert paper.hindered(hosts["h1"]) == said


def test_a_lease_that_is_acknowledged_meanwhile_is_seen_at_the_next_look() -> None:
    async def work() -> None:
        scene = FenceScene(hosts=3)
        scene.give(HostModeSet(at=scene.now, host="h1", mode=HostMode.ACT, devices=()))
        guarantees = guarantees_of(scene)
        with by_hand() as hands:
            before = (await guarantees.newest()).at
            lost = guarantees.if_lost("h1")
            assert lost is not None
            assert lost["inaction"] == "no fence device is set for h1"
            lease = HostLease(host="h1", boot=boot_of("h1", 1), epoch=1, vms=("web1",))
            scene.give(LeaseSet(at=scene.now, lease=lease))
            hands.s += LOOK_S
            assert (await guarantees.newest()).at > before
            lost = guarantees.if_lost("h1")
            assert lost is not None
            assert lost["inaction"] == ""

    run(work)
