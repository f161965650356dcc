"""What is on one host alone: kept in place, only alarmed, or made anew elsewhere from an image.

covers: H9 H15
"""

from typing import Any

import pytest
from msgspec import structs

from holdfast.facts import commands as told
from holdfast.facts.actions import RestartElsewhere, RestartHere
from holdfast.facts.commands import GroupSet
from holdfast.facts.definitions import DiskKind, Rebuild, RebuiltDisk, VmDisk, VmNeeds
from holdfast.facts.promises import Answer, Group, LocalDisk, Protection
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.policy import admission, rebuilding
from holdfast.policy.vm_states import VmState
from tests.policy import inputs
from tests.policy.fence_scene import NEEDS, FenceScene
from tests.policy.scene import UUID, WEB1, Scene

TIE = "its disk /vms/web.qcow2 is on local storage"
DISK = VmDisk(
    name="vda",
    kind=DiskKind.REMAKEABLE,
    path="/vms/web.qcow2",
    format="qcow2",
    size_bytes=1 << 30,
    obstacle=TIE,
)
LOCAL = structs.replace(NEEDS, obstacle=TIE, disks=(DISK,))
MADE = RebuiltDisk(
    name="vda", path=DISK.path, format="qcow2", size_bytes=1 << 30, image="/images/base"
)
DEFAULT = Group(name="default")
IMAGES = {"vda": "/images/base"}
TENURE = Tenure(
    vm="web", generation=1, host="h4", boot="b", state=TenureState.HELD, wanted=Wanted.RUNNING
)


def kept(**fields: Any) -> Protection:
    return Protection(
        vm="web", name="web", group="default", answer=Answer(), tenure=TENURE, **fields
    )


REBUILD = kept(local_disk=LocalDisk.REBUILD, images=IMAGES)


def test_it_is_kept_in_place_unless_somebody_says_otherwise() -> None:
    assert rebuilding.obstacle(LOCAL, kept(), DEFAULT) == (
        f"{TIE}: it is kept in place, and waits for its host"
    )
    assert rebuilding.disks(LOCAL, kept(), DEFAULT) == ()
    assert rebuilding.helps(LOCAL, kept(), DEFAULT) == (
        "if its data may be lost with its host:"
        " holdfast vm protect web --local-disk rebuild --image vda=FILE"
    )


def test_only_alarmed_says_that_a_person_decides() -> None:
    said = rebuilding.obstacle(LOCAL, kept(local_disk=LocalDisk.ALARM), DEFAULT)
    assert said.startswith(f"{TIE}: it is only alarmed")
    assert said.endswith("yours to decide")


def test_rebuilt_it_has_no_obstacle_and_says_what_is_lost() -> None:
    assert rebuilding.obstacle(LOCAL, REBUILD, DEFAULT) == ""
    assert rebuilding.disks(LOCAL, REBUILD, DEFAULT) == (MADE,)
    assert rebuilding.words(LOCAL, REBUILD, DEFAULT) == (
        "rebuilt: vda from /images/base; what is on it now is lost with its host"
    )


@pytest.mark.parametrize(
    ("own", "of_group", "of_disk", "image"),
    [
        ("/own", "/group", "/below", "/own"),
        ("", "/group", "/below", "/group"),
        ("", "", "/below", "/below"),
    ],
)
def test_the_nearest_word_names_the_image(
    own: str, of_group: str, of_disk: str, image: str
) -> None:
    needs = structs.replace(LOCAL, disks=(structs.replace(DISK, image=of_disk),))
    protection = kept(images={"vda": own} if own else {})
    images = {"vda": of_group} if of_group else {}
    group = Group(name="default", local_disk=LocalDisk.REBUILD, images=images)
    [made] = rebuilding.disks(needs, protection, group)
    assert made.image == image


def test_a_vm_says_otherwise_than_its_group() -> None:
    group = Group(name="default", local_disk=LocalDisk.REBUILD, images=IMAGES)
    assert rebuilding.obstacle(LOCAL, kept(), group) == ""
    assert "kept in place" in rebuilding.obstacle(LOCAL, kept(local_disk=LocalDisk.KEEP), group)


def test_without_an_image_that_is_the_obstacle() -> None:
    protection = kept(local_disk=LocalDisk.REBUILD)
    assert rebuilding.obstacle(LOCAL, protection, DEFAULT) == (
        f"{TIE}, and no image is named to rebuild it from"
    )
    assert rebuilding.words(LOCAL, protection, DEFAULT) == ""


def test_what_else_ties_it_is_the_obstacle() -> None:
    needs = structs.replace(LOCAL, rest="its TPM is a device of this host")
    assert rebuilding.obstacle(needs, REBUILD, DEFAULT) == "its TPM is a device of this host"
    assert rebuilding.helps(needs, REBUILD, DEFAULT) == ""


def test_what_an_earlier_agent_says_is_an_obstacle_whatever_the_policy() -> None:
    needs = VmNeeds(memory_mib=1, vcpus=1, obstacle=TIE)
    assert rebuilding.obstacle(needs, REBUILD, DEFAULT) == TIE
    assert rebuilding.disks(needs, REBUILD, DEFAULT) == ()


def test_what_is_shared_is_never_made_anew() -> None:
    needs = structs.replace(NEEDS, disks=(structs.replace(DISK, kind=DiskKind.SHARED),))
    assert rebuilding.obstacle(needs, REBUILD, DEFAULT) == ""
    assert rebuilding.disks(needs, REBUILD, DEFAULT) == ()


# The site.


def site(group: Group) -> FenceScene:
    scene = FenceScene()
    scene.give(GroupSet(at=scene.now, group=group))
    scene.promise("web", "h4", LOCAL, group=group.name)
    return scene


CLOUD = Group(name="front", local_disk=LocalDisk.REBUILD, images=IMAGES)


def test_what_is_to_be_made_anew_is_in_the_record_before_anybody_is_told() -> None:
    scene = site(CLOUD)
    scene.lose("h4")
    assert scene.world.recoveries["web"].rebuilds == (MADE,)
    [order] = [
        one for one in scene.acts if isinstance(one, RestartElsewhere) and one.recovery.vm == "web"
    ]
    assert order.recovery.rebuilds == (MADE,)
    assert "with vda made anew from its image" in scene.open_alarms["vm-on-lost-host web"]


def test_the_next_target_makes_it_anew_too() -> None:
    scene = site(CLOUD)
    scene.lose("h4")
    first = scene.world.recoveries["web"]
    scene.given_back("web", "its image is missing")
    scene.wait(3_000)
    second = scene.world.recoveries["web"]
    assert (second.attempt, second.rebuilds) == (2, (MADE,))
    assert second.target != first.target


@pytest.mark.parametrize("wish", [LocalDisk.KEEP, LocalDisk.ALARM])
def test_what_may_not_be_made_anew_starts_nowhere(wish: LocalDisk) -> None:
    scene = site(Group(name="front", local_disk=wish, images=IMAGES))
    scene.lose("h4")
    assert "web" not in scene.world.recoveries
    assert TIE in scene.open_alarms["vm-on-lost-host web"]


def test_a_host_is_worth_fencing_for_what_can_be_made_anew() -> None:
    scene = site(CLOUD)
    scene.give(told.GroupSet(at=scene.now, group=Group(name="default")))
    del scene.world.promises["web4"]
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    assert "switch off h4" in scene.did


def test_who_protects_it_hears_what_helps() -> None:
    scene = site(Group(name="front"))
    found = admission.obstacle(scene.world, scene.world.promises["web"])
    assert found is not None
    assert found.helps.endswith("--local-disk rebuild --image vda=FILE")
    assert admission.obstacle(site(CLOUD).world, scene.world.promises["web"]) is None


# The host that makes it.


def ordered(generation: int, *rebuilds: RebuiltDisk) -> told.StartOrdered:
    tenure = structs.replace(
        TENURE, vm="uuid-new", generation=generation, host=inputs.HOST, boot=inputs.BOOT
    )
    protection = structs.replace(kept(), vm="uuid-new", name="new", tenure=tenure)
    return told.StartOrdered(
        at=inputs.at(1_001),
        protection=protection,
        was="h4",
        fault_at=inputs.at(500),
        incident="h4-1",
        rebuilds=rebuilds,
    )


def started(scene: Scene) -> RestartHere:
    """What is started next, once nothing is shown to be left of it."""
    record = scene.lawful.decider.world.vms["uuid-new"]
    assert record.life is not None
    proof = inputs.proven(scene.later(), record.incident, record.life)
    while record.state is VmState.PROVING or record.state is VmState.WAITING:
        starts = [one for one in scene.step(proof) if isinstance(one, RestartHere)]
        if starts:
            return starts[0]
        scene.wake()
        proof = inputs.proven(scene.later(), record.incident, record.life)
    raise AssertionError(f"it {record.state}")


def test_it_is_made_before_its_first_start_here_and_never_again() -> None:
    scene = Scene()
    scene.step(ordered(2, MADE))
    assert started(scene).rebuild == Rebuild(generation=2, disks=(MADE,))
    life, incident = inputs.life(7, "new"), scene.lawful.decider.world.vms["uuid-new"].incident
    scene.step(inputs.ran(scene.later(), life), inputs.started(scene.later(), incident, life))
    scene.kill(life)
    assert started(scene).rebuild is None, "what it wrote since would be lost"


def test_it_is_made_once_more_while_it_has_not_run() -> None:
    scene = Scene()
    scene.step(ordered(2, MADE))
    started(scene)
    record = scene.lawful.decider.world.vms["uuid-new"]
    assert record.rebuild is not None, "until it ran: what is made for a generation stays"
    scene.step(ordered(2))
    assert record.rebuild is not None, "a repeat of the order changes nothing"


def test_an_order_without_any_makes_none() -> None:
    scene = Scene()
    scene.step(ordered(2))
    assert started(scene).rebuild is None


# The host that comes back.


def back(wish: LocalDisk) -> Scene:
    """It is booted anew, and granted what it held."""
    scene = Scene()
    held = scene.web.protection
    assert held is not None
    wished = structs.replace(held, local_disk=wish)
    scene.step(told.ProtectionGranted(at=inputs.at(scene.later()), protection=wished, by="ann"))
    scene.step(inputs.booted(100, "boot-2"))
    scene.step(inputs.failed(200, WEB1), inputs.ended(201, WEB1))
    tenure = structs.replace(wished.tenure, boot="boot-2", revision=9)
    granted = structs.replace(wished, tenure=tenure)
    scene.step(told.ProtectionGranted(at=inputs.at(300), protection=granted, by="ann"))
    return scene


def test_what_is_kept_in_place_comes_back_with_its_host() -> None:
    assert back(LocalDisk.KEEP).state() is VmState.PROVING


def test_what_is_only_alarmed_waits_until_a_person_asks() -> None:
    scene = back(LocalDisk.ALARM)
    assert scene.state() is VmState.HANDED_OVER
    assert "recovery-given-up" in scene.open_alarms
    scene.step(told.RecoveryAsked(at=inputs.at(400), vm=UUID, by="ann"))
    assert scene.state() is VmState.PROVING
