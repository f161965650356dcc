"""The number of VMs that a group was promised is held, step by step, whoever leads.

covers: H9 H15
"""

from typing import Any

import pytest
from msgspec import structs

from holdfast.facts.commands import GroupSet
from holdfast.facts.instances import Instance, InstanceStep
from holdfast.facts.promises import Disarm, Group, LocalDisk, Spread
from holdfast.facts.site import HostVm
from holdfast.facts.tenure import RESTORED, TenureState, Wanted
from holdfast.ports.answers import Unanswerable
from tests.controller.instancing_scene import GROUP, IMAGES, XML, Scene, run
from tests.policy.site_scene import boot_of

RUNS = InstanceStep.RUNS


def test_so_many_are_made_as_were_promised_each_once() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=3)
        await scene.look(6)
        assert scene.steps() == {"front-1": RUNS, "front-2": RUNS, "front-3": RUNS}
        assert [(name, generation) for name, _, generation in scene.started] == [
            ("front-1", 1),
            ("front-2", 1),
            ("front-3", 1),
        ]
        assert {host for _, host, _ in scene.started} == {"h1", "h2", "h3"}, "where room is"
        assert scene.tenure("front-1").state is TenureState.HELD
        [disk] = scene.rebuilds[0]
        assert (disk["path"], disk["image"]) == ("/vms/front-1.vda.qcow2", IMAGES["vda"])
        assert scene.instances.why[GROUP] == ""

    run(work)


def test_a_leader_may_die_after_every_step() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=2)
        for _ in range(10):
            scene.begin_anew()
            await scene.look()
        assert [name for name, _, _ in scene.started] == ["front-1", "front-2"]
        assert set(scene.steps().values()) == {RUNS}

    run(work)


def test_a_leader_that_dies_before_it_told_anybody_is_followed_by_one_that_does() -> None:
    async def work(scene: Scene) -> None:
        scene.deaf = {"h1", "h2", "h3"}
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(2)
        assert (scene.started, scene.steps()) == ([], {"front-1": InstanceStep.PLACED})
        placed = scene.tenure("front-1")
        assert placed.state is TenureState.RECOVERING
        scene.deaf = set()
        for host in scene.running:
            scene.link(host)
        scene.begin_anew()
        await scene.look(3)
        assert scene.started == [("front-1", placed.host, 1)], "and no second one is made"
        assert scene.steps() == {"front-1": RUNS}

    run(work)


def test_who_does_not_lead_makes_nothing() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=1)
        scene.term = None
        await scene.look(3)
        assert scene.started == []

    run(work)


def test_a_host_that_refuses_is_followed_by_another_in_a_newer_generation() -> None:
    async def work(scene: Scene) -> None:
        scene.refuses = {"h1": "its image is missing on this host"}
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(4)
        [(name, host, generation)] = scene.started
        assert (name, generation) == ("front-1", 2)
        assert host in ("h2", "h3")
        assert scene.tenure("front-1").generation == 2

    run(work)


def test_what_no_host_can_make_is_said_and_tried_again() -> None:
    async def work(scene: Scene) -> None:
        scene.refuses = dict.fromkeys(scene.running, "its image is missing on this host")
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(8)
        assert scene.started == []
        assert "its image is missing on this host" in scene.instances.why[GROUP]
        for _ in range(6):  # What was refused uses up no budget.
            scene.begin_anew()
            await scene.look(4)
        scene.refuses = {}
        scene.begin_anew()
        await scene.look(3)
        assert scene.steps() == {"front-1": RUNS}

    run(work)


def test_one_that_its_host_gave_up_is_made_anew_once_nothing_is_left_of_it() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(3)
        [(_, first, _)] = scene.started
        scene.tell("front-1")
        await scene.instances.look()
        assert scene.steps() == {"front-1": InstanceStep.TAKEN_BACK}
        assert scene.names() == [], "it was shown to be gone first"
        await scene.look(3)
        assert [generation for _, _, generation in scene.started] == [1, 2]
        assert scene.started[1][1] != first
        assert scene.steps() == {"front-1": RUNS}

    run(work)


def test_one_that_fails_everywhere_uses_up_its_budget_and_is_told() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(3)
        for _ in range(12):
            scene.tell("front-1")
            scene.begin_anew()  # It forgets which hosts failed.
            await scene.instances.look()
        assert len(scene.started) == 4, "once, and three times of its budget"
        assert "failed 4 times of late" in scene.instances.why[GROUP]

    run(work)


def test_nothing_is_made_while_people_have_disarmed_recovery() -> None:
    async def work(scene: Scene) -> None:
        disarm = Disarm(owner="ann", reason="works", since_utc_ms=0, until_utc_ms=1 << 50)
        await scene.registry.change(lambda: {"disarm": disarm})
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(3)
        assert scene.started == []
        assert scene.instances.why[GROUP] == "ann disarmed recovery: works"

    run(work)


def test_one_that_was_named_leaves_also_while_recovery_is_disarmed() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(3)
        disarm = Disarm(owner="ann", reason="works", since_utc_ms=0, until_utc_ms=1 << 50)
        await scene.registry.change(lambda: {"disarm": disarm})
        await scene.set(count=0, remove=("front-1",))
        await scene.look(3)
        assert (scene.names(), scene.steps()) == ([], {})

    run(work)


def test_a_host_that_hangs_holds_up_no_other() -> None:
    async def work(scene: Scene) -> None:
        scene.hangs, scene.patience_s = {"h1"}, 0.05
        scene.begin_anew()
        await scene.set(xml=XML, images=IMAGES, count=3)
        await scene.look(5)
        assert sorted(host for _, host, _ in scene.started) == ["h2", "h3"]
        scene.instances.close()

    run(work)


def test_they_are_kept_apart_and_what_does_not_fit_is_said() -> None:
    async def work(scene: Scene) -> None:
        group = Group(name=GROUP, spread=Spread.HOST, local_disk=LocalDisk.REBUILD, images=IMAGES)
        await scene.registry.change(lambda: {f"groups/{GROUP}": group})
        scene.site.give(GroupSet(at=scene.site.now, group=group))
        await scene.set(xml=XML, images=IMAGES, count=4)
        await scene.look(8)
        assert sorted(host for _, host, _ in scene.started) == ["h1", "h2", "h3"]
        assert "front-4: no host is left to start it on" in scene.instances.why[GROUP]
        assert "they are kept apart" in scene.instances.why[GROUP]

    run(work)


def test_fewer_end_only_those_that_somebody_named() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=3)
        await scene.look(6)
        with pytest.raises(Unanswerable, match="say which of them end") as refused:
            await scene.set(count=2)
        assert refused.value.hint == "holdfast group set front --count 2 --remove front-3"
        assert len(scene.names()) == 3
        await scene.set(count=2, remove=("front-2",))
        assert scene.tenure("front-2").wanted is Wanted.STOPPED
        vm = scene.one("front-2").vm
        await scene.look(3)
        assert scene.names() == ["front-1", "front-3"]
        assert set(scene.steps()) == {"front-1", "front-3"}
        assert (scene.registry.protection(vm), scene.registry.released(vm)) == (None, 1)
        assert any("front-2 is gone" in text for text in scene.said)

    run(work)


def test_one_that_leaves_waits_for_its_host_and_no_number_is_used_twice() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(3)
        host = scene.tenure("front-1").host
        scene.deaf = {host}
        await scene.set(remove=("front-1",))
        await scene.look(4)
        assert scene.steps()["front-1"] is InstanceStep.LEAVING
        assert scene.steps()["front-2"] is RUNS, "its place is taken meanwhile"
        assert scene.registry.templates()[GROUP].next_number == 3

    run(work)


def test_what_is_not_believed_yet_is_not_forgotten() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(3)
        vm = scene.one("front-1").vm
        del scene.site.world.promises[vm]  # The store has it, and tells it in a moment.
        await scene.look(2)
        assert scene.steps() == {"front-1": RUNS}
        assert scene.registry.protection(vm) is not None

    run(work)


def test_a_new_template_of_a_group_uses_no_number_of_the_old_one() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(3)
        await scene.set(count=0, remove=("front-1",))
        await scene.look(3)
        await scene.registry.change(lambda: {f"templates/{GROUP}": None})
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(5)
        assert scene.steps() == {"front-2": RUNS}

    run(work)


def test_one_that_a_person_unprotects_is_theirs_and_another_is_made() -> None:
    async def work(scene: Scene) -> None:
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(3)
        vm = scene.one("front-1").vm
        await scene.registry.change(lambda: {f"protections/{vm}": None})
        await scene.look(4)
        assert set(scene.steps()) == {"front-2"}
        assert scene.names() == ["front-1", "front-2"], "it runs on: nobody ended it"

    run(work)


def test_the_death_of_its_host_is_recovered_as_that_of_any_vm() -> None:
    async def work(scene: Scene) -> None:
        scene.refuses = {"h1": "the leader is there"}
        await scene.set(xml=XML, images=IMAGES, count=1)
        await scene.look(5)
        vm, host = scene.one("front-1").vm, scene.tenure("front-1").host
        scene.site.tenures[vm], scene.site.groups[vm] = scene.tenure("front-1"), GROUP
        scene.site.lose(host)
        generation = scene.tenure("front-1").generation
        [made] = [one for one in scene.site.world.recoveries.values() if one.vm == vm]
        assert made.generation == generation + 1
        assert [disk.image for disk in made.rebuilds] == [IMAGES["vda"]]
        await scene.instances.look()
        assert len(scene.started) == 1, "no second one is made beside it"

    run(work)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"count": 1}, "group front has no template"),
        ({"xml": "<pool/>", "count": 1}, "is no domain but a pool"),
        ({"xml": XML, "count": 1}, "every VM would write to the disk vda"),
        ({"xml": XML, "images": {**IMAGES, "vdb": "/b"}, "count": 1}, "has no disk vdb"),
        ({"xml": XML, "images": IMAGES, "remove": ("front-7",)}, "group front made no VM front-7"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_changed(
    wish: dict[str, Any], why: str
) -> None:
    async def work(scene: Scene) -> None:
        with pytest.raises(Unanswerable, match=why):
            await scene.set(**wish)
        assert scene.registry.templates() == {}

    run(work)


async def taken_back(scene: Scene, **tenure: Any) -> tuple[Instance, HostVm]:
    """Its host was shown to hold nothing of it, and before it was placed anew its tenure became
    this: by a recovery, or since the store was restored."""
    await scene.set(xml=XML, images=IMAGES, count=1)
    await scene.look(3)
    one = scene.one("front-1")
    held = scene.registry.protection(one.vm)
    assert held is not None
    back = structs.replace(one, step=InstanceStep.TAKEN_BACK, reason="its host could not")
    changed = structs.replace(held, tenure=structs.replace(held.tenure, **tenure))
    await scene.registry.change(
        lambda: {f"instances/{one.vm}": back, f"protections/{one.vm}": changed}
    )
    return one, scene.running[one.host].pop(one.vm)


def test_what_was_taken_back_at_a_backup_is_not_made_beside_what_was_made_since() -> None:
    async def work(scene: Scene) -> None:
        await taken_back(scene, boot=RESTORED)
        await scene.look(3)
        assert len(scene.started) == 1, "whoever has it since may not have greeted yet"

    run(work)


def test_what_was_recovered_between_its_host_and_the_next_is_followed_there() -> None:
    async def work(scene: Scene) -> None:
        one, vm = await taken_back(scene, generation=2, state=TenureState.HELD, revision=5)
        other = next(name for name in scene.running if name != one.host)
        held = scene.registry.protection(one.vm)
        assert held is not None
        there = structs.replace(held.tenure, host=other, boot=boot_of(other, 1))
        await scene.registry.change(
            lambda: {f"protections/{one.vm}": structs.replace(held, tenure=there)}
        )
        scene.running[other][one.vm] = structs.replace(vm, generation=2)
        scene.tell()
        await scene.look(5)
        assert scene.steps() == {"front-1": RUNS}
        scene.tell("front-1")
        for _ in range(6):
            await scene.instances.look()
        assert len(scene.started) == 2, "given up there, it is made anew"

    run(work)
