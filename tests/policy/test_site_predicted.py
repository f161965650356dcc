"""A host that is expected to fail: it is told, nothing is placed there, and its VMs leave in time.

covers: H2 H5
"""

from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.commands import GroupSet
from holdfast.facts.fencing import HostMode
from holdfast.facts.migrations import End
from holdfast.facts.promises import Group, Owner
from holdfast.policy import site_drains
from tests.policy.migration_scene import ROOMY, MigrationScene

HERE, AWAY = End.RUNS, End.NOTHING
ALARM = "host-failure-predicted"


def stays(scene: MigrationScene, host: str) -> str:
    return site_drains.why_kept(scene.world, scene.world.predictions[host])


def test_its_vms_move_away_one_after_the_other() -> None:
    scene = MigrationScene()
    scene.size("h1", ROOMY)
    scene.promise("db1", "h1")
    scene.runs("h1", "web1", "db1")
    scene.did.clear()
    scene.predict("h1")
    assert scene.did == ["put begun of web1 to h3", "move web1 from h1 to h3"]
    assert scene.world.migrations["web1"].by == "the prediction of ann"
    scene.say("web1", AWAY, HERE)
    scene.runs("h1", "db1")
    assert "move db1 from h1 to h3" in scene.did
    assert scene.did.count("put begun of db1 to h3") == 1


def test_it_is_told_until_it_is_taken_back() -> None:
    scene = MigrationScene()
    scene.mode("h1", HostMode.REPORT)
    scene.predict("h1")
    assert scene.open_alarms == {
        f"{ALARM} h1": "h1 is expected to fail: its memory fails (said by ann)"
    }
    scene.predict("h1", "its disk fails, too")
    assert scene.open_alarms == {
        f"{ALARM} h1": "h1 is expected to fail: its disk fails, too (said by ann)"
    }
    scene.unpredict("h1")
    assert scene.open_alarms == {}


def test_nothing_is_placed_there() -> None:
    scene = MigrationScene()
    scene.mode("h3", HostMode.REPORT)
    scene.predict("h3")
    assert scene.begin("web1", "h3") == "not to h3: it is expected to fail (its memory fails)"
    scene.lose("h2")
    assert [line for line in scene.did if line.startswith("put placed")] == [
        "put placed of web2 on h1 (2)"
    ]
    scene.unpredict("h3")
    assert scene.begin("web4", "h3") == ""


def test_in_report_mode_its_vms_stay() -> None:
    scene = MigrationScene()
    scene.mode("h1", HostMode.REPORT)
    scene.predict("h1")
    scene.wait(60_000)
    assert scene.did == []
    assert stays(scene, "h1") == "h1 is in report mode"
    scene.mode("h1", HostMode.ACT)
    assert scene.did[0] == "put begun of web1 to h3"


def test_while_disarmed_its_vms_stay() -> None:
    scene = MigrationScene()
    scene.disarm()
    scene.predict("h1")
    scene.wait(60_000)
    assert scene.did == []
    assert stays(scene, "h1") == "ann disarmed recovery: works"
    scene.arm()
    assert scene.did[0] == "put begun of web1 to h3"


def test_if_many_hosts_are_expected_to_fail_at_once_a_person_decides() -> None:
    scene = MigrationScene()
    scene.disarm()
    scene.predict("h1")
    scene.predict("h2")
    scene.arm()
    scene.wait(60_000)
    assert scene.did == []
    assert stays(scene, "h1").startswith("2 of 4 hosts are expected to fail (h1, h2): more than 1")
    scene.unpredict("h2")
    assert scene.did[0] == "put begun of web1 to h3"


def test_a_person_drains_it_all_the_same() -> None:
    scene = MigrationScene()
    scene.mode("h1", HostMode.REPORT)
    scene.predict("h1")
    scene.drain("h1")
    assert scene.did[0] == "put begun of web1 to h3"
    assert scene.world.migrations["web1"].by == "ann"


def test_what_others_recover_stays() -> None:
    scene = MigrationScene()
    group = Group(name="theirs", owner=Owner.EXTERNAL)
    scene.give(GroupSet(at=scene.now, group=group))
    scene.promise("web1", "h1", group="theirs")
    scene.predict("h1")
    assert scene.did == []
    assert "not Holdfast's" in scene.world.moving["web1"].stuck


def test_what_cannot_move_stays_and_it_is_said_why() -> None:
    scene = MigrationScene()
    needs = scene.world.promises["web1"].needs
    assert needs is not None
    scene.promise("web1", "h1", structs.replace(needs, obstacle="its disk is a local file"))
    scene.predict("h1")
    assert scene.did == []
    assert scene.world.moving["web1"].stuck == "its disk is a local file"


def test_a_host_that_leaves_the_site_takes_its_alarm_along() -> None:
    scene = MigrationScene()
    scene.mode("h1", HostMode.REPORT)
    scene.predict("h1")
    scene.give(told.HostLeft(at=scene.now, host="h1"))
    assert scene.open_alarms == {}
    assert scene.world.predictions == {}
