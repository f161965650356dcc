"""The leader takes a VM back: it is said to be gone only when it is, and is not taken again.

covers: H9 H15
"""

from holdfast.policy.vm_states import VmState
from holdfast.ports.hypervisor import CallOverran
from tests.agent.scene import wait_for
from tests.agent.starting_scene import VM, Scene, play, run_unasked


def test_what_runs_is_ended_shown_gone_and_not_taken_again() -> None:
    async def story(scene: Scene) -> None:
        await scene.taken()
        await scene.runs()
        assert await scene.take_back() == {"is_gone": True, "reason": ""}
        assert scene.hypervisor.life(VM) is None
        assert ("end", VM) in scene.hypervisor.calls, "its disks are its own until it is gone"
        assert scene.disk.has("CopyOutranked"), "that is on the disk before it is said"
        assert scene.record.protection is None
        assert scene.record.state is VmState.STOPPED
        assert "was refused or given back here" in await scene.refused()
        assert await scene.take_back() == {"is_gone": True, "reason": ""}, "once more"
        assert scene.started_with == [True]

    play(story)


def test_an_order_that_never_came_can_be_taken_back_and_is_refused_when_it_comes() -> None:
    async def story(scene: Scene) -> None:
        assert await scene.take_back() == {"is_gone": True, "reason": ""}
        assert "was refused or given back here" in await scene.refused()
        await scene.taken(3)

    play(story)


def test_a_newer_order_stands_against_a_late_taking_back() -> None:
    async def story(scene: Scene) -> None:
        await scene.taken(3)
        await scene.runs()
        said = await scene.take_back(2)
        assert said == {"is_gone": False, "reason": "this host holds generation 3 of it by now"}
        assert scene.hypervisor.life(VM) is not None

    play(story)


def test_what_runs_here_by_nobodys_order_is_not_ended_and_not_said_to_be_gone() -> None:
    async def story(scene: Scene) -> None:
        run_unasked(scene)
        said = await scene.take_back()
        assert said["is_gone"] is False
        assert "not by a tenure of this host" in said["reason"]
        assert [call for call, _ in scene.hypervisor.calls if call.startswith("end")] == []

    play(story)


def test_what_cannot_be_shown_gone_is_not_said_to_be() -> None:
    async def story(scene: Scene) -> None:
        await scene.taken()
        await scene.runs()
        scene.hypervisor.leftovers[VM] = "its disk is still in use"
        said = await scene.take_back()
        assert said["is_gone"] is False
        assert "is not shown to be gone yet" in said["reason"]
        scene.hypervisor.leftovers.clear()
        await wait_for(lambda: not scene.record.is_copy, "it is looked for until it is gone")
        assert await scene.take_back() == {"is_gone": True, "reason": ""}

    play(story)


def test_a_start_whose_outcome_nobody_knows_is_not_said_to_be_gone() -> None:
    """Libvirt was told to start it and hangs: it may run at any moment."""

    async def story(scene: Scene) -> None:
        scene.hypervisor.refuses[VM] = CallOverran("libvirt did not answer start")
        scene.hypervisor.leftovers[VM] = "libvirt does not answer"
        scene.hypervisor.on_start = lambda: scene.started_with.append(True)
        await scene.taken()
        assert (await scene.take_back())["is_gone"] is False
        del scene.hypervisor.leftovers[VM]
        await wait_for(lambda: not scene.record.is_copy, "a later look shows that it never ran")
        assert await scene.take_back() == {"is_gone": True, "reason": ""}

    play(story)
