"""The loss of hosts is tried on paper: who would not start elsewhere, and why.

covers: H9
"""

from msgspec import structs

from holdfast.facts.definitions import HostSize
from holdfast.facts.fencing import HostMode
from holdfast.facts.migrations import Drain, Migration, MigrationStep
from holdfast.policy import guarantee
from tests.policy.fence_scene import NEEDS, FenceScene
from tests.policy.site_scene import boot_of


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


def test_where_nobody_acts_nothing_is_promised_and_nothing_broken() -> None:
    scene = FenceScene(hosts=2)
    scene.size("h2", HostSize(memory_mib=1_000, cpus=4, bridges=("br0",)))
    tried = list(guarantee.lose_each(scene.world))
    assert [(one.names, one.inaction) for one in tried] == [(("h1",), ""), (("h2",), "")]
    assert not guarantee.is_kept(tried), "web1 does not fit on h2"
    scene.mode("h1", HostMode.REPORT)
    tried = list(guarantee.lose_each(scene.world))
    assert [one.inaction for one in tried] == ["h1 is in report mode", ""]
    assert guarantee.is_kept(tried), "of the others"


def test_the_costly_losses_are_tried_and_no_more_than_are_allowed() -> None:
    scene = FenceScene(hosts=40)
    scene.promise("second", "h7")
    tried = list(guarantee.lose_each(scene.world, 2))
    assert len(tried) == guarantee.MOST_LOSSES < 40 * 39 / 2
    assert tried[0].names[0] == "h7", "it runs most"
    of_h3 = list(guarantee.Paper(scene.world).lose_each(2, "h3"))
    assert len(of_h3) == 39
    assert all("h3" in one.hosts for one in of_h3)


def test_a_vm_that_moves_is_at_stake_at_both_ends_and_a_drained_host_takes_none() -> None:
    scene = FenceScene(hosts=3)
    moves = Migration(
        vm="web1",
        name="web1",
        number=1,
        generation=1,
        revision=1,
        limit_s=60,
        source="h1",
        source_boot=boot_of("h1", 1),
        target="h2",
        target_boot=boot_of("h2", 1),
        step=MigrationStep.BEGUN,
        term=1,
    )
    scene.world.migrations["web1"] = moves
    assert [guarantee.lose(scene.world, (host,)).vms for host in ("h1", "h2", "h3")] == [1, 2, 1]
    scene.world.drains["h2"] = Drain(host="h2", by="ann", limit_s=60)
    scene.world.drains["h3"] = Drain(host="h3", by="ann", limit_s=60)
    assert "h2: it is in maintenance" in stays(scene, "h1")["web1"]


def hindered(scene: FenceScene, host: str, **unfenceable: str) -> str:
    return guarantee.Paper(scene.world, unfenceable).lose((host,)).hindered


def test_a_promise_that_cannot_be_kept_now_says_what_hinders_it() -> None:
    scene = FenceScene()
    assert hindered(scene, "h1") == ""
    wrong = "fence_ipmilan: the password is wrong"
    assert hindered(scene, "h1", h1=wrong) == f"h1 could not be switched off now: {wrong}"
    assert hindered(scene, "h2", h1=wrong) == "", "of the other one it is no matter"
    scene.disarm()
    assert "disarmed recovery" in hindered(scene, "h1")
    scene.arm()
    assert hindered(scene, "h1") == ""
    scene.mode("h3", HostMode.REPORT)
    assert hindered(scene, "h3", h3=wrong) == "", "nobody is to act on it anyway"


def test_while_a_host_is_silent_no_further_loss_is_promised_to_be_absorbed() -> None:
    scene = FenceScene()
    scene.lose("h4")
    assert hindered(scene, "h4").startswith("h4 is silent")
    assert hindered(scene, "h1") == (
        "h4 is silent, or was fenced a moment ago: one more is for a person"
    )


def test_what_hinders_now_hides_no_lack_of_room() -> None:
    scene = FenceScene(hosts=2)
    scene.size("h2", HostSize(memory_mib=1_000, cpus=4, bridges=("br0",)))
    scene.disarm()
    assert not guarantee.is_kept(guarantee.lose_each(scene.world))


def test_where_every_other_host_is_in_maintenance_nothing_is_promised() -> None:
    """Also of a host that has no VM now: it may be given one, and is shown."""
    scene = FenceScene(hosts=3)
    scene.world.promises.clear()
    for host in ("h1", "h2"):
        drain = Drain(host=host, by="ann", limit_s=1, since_utc_ms=0)
        scene.world.drains[host] = drain
    assert hindered(scene, "h3") == "every other host is in maintenance (drained), and takes no VM"
    assert hindered(scene, "h1") == ""
