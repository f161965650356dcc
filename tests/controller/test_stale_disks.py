"""A host that comes back with the old disk of a VM that was rebuilt elsewhere: it is said, once.

covers: H15
"""

from msgspec import structs

from holdfast.controller.stale_disks import StaleDisks
from holdfast.facts.definitions import RebuiltDisk
from holdfast.facts.fencing import FenceStep
from tests.controller.recovery_scene import PROOF, Scene, intent, protection, recovery, run

DISK = RebuiltDisk(name="vda", path="/vms/web.img", format="raw", size_bytes=1, image="/b")


def test_what_was_rebuilt_elsewhere_is_told_when_its_first_host_is_back() -> None:
    async def work(scene: Scene) -> None:
        said: list[str] = []
        StaleDisks(scene.registry, said.append)
        await scene.put("protections/web", protection(host="h1", generation=2))
        await scene.put("recoveries/web", recovery(scene.term, rebuilds=(DISK,)))
        off = intent(scene.term, step=FenceStep.OFF, proof=PROOF)
        await scene.put("fences/h4", off)
        assert said == []
        await scene.put("fences/h4", structs.replace(off, step=FenceStep.CLOSED))
        [text] = said
        assert text.startswith("four is back, and has the old disk /vms/web.img of web")

    run(work)


def test_nothing_is_said_of_what_was_not_rebuilt_or_came_back() -> None:
    async def work(scene: Scene) -> None:
        said: list[str] = []
        StaleDisks(scene.registry, said.append)
        closed = intent(scene.term, step=FenceStep.CLOSED, proof=PROOF)
        await scene.put("protections/web", protection(host="h1", generation=2))
        await scene.put("recoveries/web", recovery(scene.term))
        await scene.put("fences/h4", closed)
        await scene.put("recoveries/web", recovery(scene.term, rebuilds=(DISK,)))
        await scene.put("protections/web", protection(host="h4", generation=3))
        await scene.put("fences/h4", structs.replace(closed, number=2))
        assert said == []

    run(work)
