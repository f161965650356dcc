"""Disks of a VM that are lost with its host: made anew here, after the order is kept, and once.

covers: H9 H15
"""

import pytest
from msgspec import structs

from holdfast.adapters.drivers.vm_disks import Place
from holdfast.agent.loop import now
from holdfast.facts.definitions import RebuiltDisk
from holdfast.policy.vm_states import VmState
from tests.agent.scene import wait_for
from tests.agent.starting_scene import VM, Scene, play
from tests.policy.inputs import failed

PATH, IMAGE = "/srv/web.img", "/images/base.qcow2"
DISK = RebuiltDisk(name="vda", path=PATH, format="raw", size_bytes=1 << 30, image=IMAGE)


def made(scene: Scene) -> dict[str, int]:
    """For which generation, by path."""
    return {path: generation for path, (generation, _) in scene.hypervisor.disks.made.items()}


def lost(scene: Scene) -> None:
    scene.hypervisor.disks.places[PATH] = Place.MISSING


def test_it_is_made_once_the_order_is_on_the_disk_and_before_it_starts() -> None:
    async def story(scene: Scene) -> None:
        lost(scene)
        await scene.taken(rebuilds=(DISK,))
        await scene.runs()
        assert made(scene) == {PATH: 2}
        assert (scene.made_with, scene.started_with) == ([True], [True])
        order = [call for call, vm in scene.hypervisor.calls if call in ("rebuild", "start")]
        assert order == ["rebuild", "start"]

    play(story)


def test_without_an_order_to_make_it_a_lost_disk_refuses_the_start() -> None:
    async def story(scene: Scene) -> None:
        lost(scene)
        assert "is missing on this host" in await scene.refused()
        assert made(scene) == {}

    play(story)


def test_a_repeat_of_the_order_makes_it_no_second_time() -> None:
    async def story(scene: Scene) -> None:
        lost(scene)
        await scene.taken(rebuilds=(DISK,))
        await scene.runs()
        await scene.taken(rebuilds=(DISK,))
        assert scene.made_with == [True]

    play(story)


def test_what_it_wrote_since_outlives_its_next_start_here() -> None:
    async def story(scene: Scene) -> None:
        lost(scene)
        await scene.taken(rebuilds=(DISK,))
        await scene.runs()
        first = scene.hypervisor.life(VM)
        assert first is not None
        scene.loop.consume(structs.replace(failed(0, first), fault_at=now(), detected_at=now()))
        scene.hypervisor.kill(VM)
        await wait_for(
            lambda: scene.hypervisor.life(VM) not in (None, first), "it was restarted in place"
        )
        assert scene.made_with == [True]

    play(story)


@pytest.mark.parametrize(
    ("path", "place", "why"),
    [
        (IMAGE, Place.MISSING, f"its image {IMAGE} is missing on this host"),
        (PATH, Place.LOCAL, f"there is a file {PATH} already"),
    ],
)
def test_what_cannot_be_made_here_is_refused_before_anything_is_done(
    path: str, place: Place, why: str
) -> None:
    async def story(scene: Scene) -> None:
        lost(scene)
        scene.hypervisor.disks.places[path] = place
        assert why in await scene.refused(rebuilds=(DISK,))
        assert scene.made_with == []

    play(story)


def test_what_fails_after_all_starts_nothing_and_is_tried_again() -> None:
    async def story(scene: Scene) -> None:
        lost(scene)

        def take_image_away() -> None:
            attempts = len(scene.made_with)
            places = scene.hypervisor.disks.places
            places[IMAGE] = Place.MISSING if not attempts else Place.SHARED
            scene.made_with.append(scene.disk.has("StartOrdered"))

        scene.hypervisor.on_rebuild = take_image_away
        await scene.taken(rebuilds=(DISK,))
        await scene.runs()
        assert scene.made_with == [True, True]
        assert scene.started_with == [True]

    play(story)


def test_an_order_for_two_makes_both_or_starts_nothing() -> None:
    async def story(scene: Scene) -> None:
        lost(scene)
        other = structs.replace(DISK, name="nvram", path="/srv/web.fd", format="")
        await scene.taken(rebuilds=(DISK, other))
        await scene.runs()
        assert made(scene) == {PATH: 2, "/srv/web.fd": 2}
        assert scene.record.state is not VmState.HANDED_OVER

    play(story)
