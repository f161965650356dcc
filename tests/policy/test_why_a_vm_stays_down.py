"""Whoever reads the alarm of a VM alone sees why nothing is done about it.

covers: H6 H9
"""

from msgspec import structs

from holdfast.facts.commands import GroupSet
from holdfast.facts.fencing import FenceStep, HostMode
from holdfast.facts.promises import Group, Owner
from holdfast.facts.tenure import RESTORED, Wanted
from tests.policy.fence_scene import NEEDS, FenceScene

SILENT = "web4 may be lost with its host: "


def told(scene: FenceScene, vm: str = "web4") -> str:
    """What follows the loss in the alarm of a VM of h4."""
    text = scene.open_alarms[f"vm-on-lost-host {vm}"]
    _, _, why = text.partition("; it is not started elsewhere: ")
    return why


def lost(scene: FenceScene, wait_ms: float = 3_100) -> FenceScene:
    scene.runs("h4", "web4")
    scene.wrong("h4", "host-lost")
    scene.wait(wait_ms)
    return scene


def test_while_nothing_hinders_it_nothing_is_said() -> None:
    scene = lost(FenceScene())
    assert scene.open_alarms["vm-on-lost-host web4"].startswith(SILENT)
    assert told(scene) == ""


def test_report_mode_is_said_from_the_first_word_on() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.REPORT)
    lost(scene, wait_ms=0)
    assert told(scene) == "h4 is in report mode"
    scene.mode("h4", HostMode.ACT)
    assert told(scene) == ""


def test_a_brake_is_said_and_that_it_is_over() -> None:
    scene = lost(FenceScene(), wait_ms=500)
    scene.wrong("h1", "host-lost")
    assert told(scene) == "too many hosts are lost at once (recovery-braked)"
    scene.heard("h1")
    assert told(scene) == ""


def test_a_brake_that_grows_is_not_said_once_more_of_each_vm() -> None:
    scene = FenceScene(hosts=9)
    lost(scene, wait_ms=500)
    for host in ("h1", "h2"):
        scene.wrong(host, "host-lost")
    before = scene.world.reported
    revisions = {key: one.revision for key, one in before.items() if key.startswith("web4/")}
    scene.wrong("h3", "host-lost")
    assert revisions
    for key, revision in revisions.items():
        assert scene.world.reported[key].revision == revision


def test_a_disarm_is_said() -> None:
    scene = FenceScene()
    scene.disarm()
    lost(scene)
    assert told(scene) == "ann disarmed recovery: works"
    scene.arm()
    assert told(scene) == ""


def test_a_host_that_cannot_be_switched_off_is_said() -> None:
    scene = lost(FenceScene())
    scene.not_off("h4")
    assert told(scene) == "h4 could not be switched off yet"
    scene.off("h4")
    scene.wait(600)
    text = scene.open_alarms["vm-on-lost-host web4"]
    assert text == "web4 is down with h4, and is being started on h1"


def test_a_proof_that_is_in_doubt_is_said() -> None:
    scene = lost(FenceScene())
    fence = scene.world.fences["h4"]
    assert fence.step is FenceStep.INTENDED
    scene.fence_set(structs.replace(fence, doubt="h3 fell silent, too"))
    assert told(scene) == "whether h4 is off is in doubt, and a person must look"


def test_what_is_about_the_vm_itself_comes_first() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.REPORT)
    scene.promise("local", "h4", structs.replace(NEEDS, obstacle="its disk a.img is local"))
    scene.promise("idle", "h4")
    scene.hold("idle", structs.replace(scene.tenures["idle"], wanted=Wanted.STOPPED))
    scene.tenures["stray"] = scene.tenures["web4"]
    scene.runs("h4", "web4", "local", "idle", "stray")
    scene.wrong("h4", "host-lost")
    assert told(scene, "local") == "its disk a.img is local"
    assert told(scene, "idle") == "somebody stopped it on purpose"
    assert told(scene, "stray") == "it is not protected"
    assert told(scene) == "h4 is in report mode"


def test_each_alarm_is_told_once_when_nothing_changes() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.REPORT)
    scene.runs("h4", "web4")
    scene.wrong("h4", "host-lost")
    scene.wait(60_000)
    [alarm] = [one for one in scene.world.reported.values() if one.subject.name == "web4"]
    assert alarm.revision == 1


def test_a_vm_of_a_restored_store_is_to_be_protected_again() -> None:
    scene = FenceScene()
    scene.hold("web4", structs.replace(scene.tenures["web4"], boot=RESTORED))
    scene.wrong("h4", "host-lost")
    assert told(scene) == (
        "which host may run it is in doubt: see where it runs, and protect it again"
    )


def test_a_vm_of_another_owner_is_left_to_it_by_name() -> None:
    scene = FenceScene()
    group = Group(name="default", owner=Owner.EXTERNAL)
    scene.give(GroupSet(at=scene.now, group=group))
    scene.wrong("h4", "host-lost")
    assert told(scene) == "the owner of recovery of group default is external"
