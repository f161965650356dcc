"""What is told of definitions: all of the protected, then what changed, and never too much.

covers: H15
"""

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import structs

from holdfast.adapters.drivers.vm_disks import Place
from holdfast.adapters.drivers.vm_needs import LARGEST_XML
from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.agent import definitions as module
from holdfast.agent.definitions import NONE, Definitions
from holdfast.facts import wire
from holdfast.facts.definitions import VmDefinition
from holdfast.facts.instants import Instant
from holdfast.facts.observations import LibvirtAnswered, LifecycleSeen
from tests.agent.scene import domain_of, wait_for


class Scene:
    def __init__(self, *vms: str) -> None:
        self.hypervisor = HypervisorInMemory()
        self.protected = {vm: f"web-{vm}" for vm in vms}
        for vm in vms:
            self.hypervisor.add(structs.replace(domain_of(vm), disks=(f"/srv/{vm}.img",)))
        self.moving: set[str] = set()
        self.definitions = Definitions(
            self.hypervisor, lambda: self.protected, lambda vm: vm in self.moving
        )
        self.frames: list[wire.Definitions] = []
        self.definitions.tell = self.frames.append
        self.changes = 0
        self.definitions.changed = self._count

    def _count(self) -> None:
        self.changes += 1

    def told(self) -> list[VmDefinition]:
        """Since it was asked last."""
        frames, self.frames = self.frames, []
        self.definitions.tell = self.frames.append
        return [one for frame in frames for one in frame.definitions]

    def names(self) -> list[str]:
        return [one.name for one in self.told()]

    async def redefine(self, vm: str, old: str, new: str) -> None:
        known = await self.hypervisor.definition(vm)
        await self.hypervisor.define(structs.replace(known, xml=known.xml.replace(old, new)))

    def seen(self, vm: str, event: str = "defined") -> None:
        self.definitions.see(LifecycleSeen(at=Instant(1), vm=vm, event=event, detail=""))


def tie(scene: Scene) -> str:
    needs = scene.definitions.needs("a")
    assert needs is not None
    return needs.obstacle


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(whole())


def test_all_protected_vms_are_told_and_then_those_that_changed() -> None:
    async def story() -> None:
        scene = Scene("a", "b")
        scene.hypervisor.add(domain_of("c"))  # Nobody protects it.
        await scene.definitions.read()
        assert scene.names() == ["web-a", "web-b"]
        await scene.redefine("b", "<vcpu>1<", "<vcpu>2<")
        await scene.definitions.read()
        assert scene.names() == [], "nobody said that it changed"
        scene.seen("b")
        await scene.definitions.read()
        [told] = scene.told()
        assert (told.name, told.needs.vcpus) == ("web-b", 2)
        scene.definitions.tell_anew()
        assert scene.names() == ["web-a", "web-b"], "somebody new listens"
        del scene.protected["b"]
        scene.definitions.tell_anew()
        assert scene.names() == ["web-a"], "its greeting was answered: another host holds it"

    play(story)


def test_who_is_protected_later_is_told_then_and_who_is_no_more_is_forgotten() -> None:
    async def story() -> None:
        scene = Scene("a", "b")
        del scene.protected["b"]
        await scene.definitions.read()
        assert scene.names() == ["web-a"]
        scene.protected = {"b": "web-b"}
        await scene.definitions.read()
        assert scene.names() == ["web-b"]
        scene.definitions.tell_anew()
        assert scene.names() == ["web-b"]

    play(story)


def test_an_obstacle_is_known_and_a_new_one_is_news() -> None:
    async def story() -> None:
        scene = Scene("a")
        assert scene.definitions.needs("a") is None, "it has not been read yet"
        await scene.definitions.read()
        assert tie(scene) == ""
        assert scene.changes == 1
        scene.told()
        scene.hypervisor.disks.places["/srv/a.img"] = Place.LOCAL
        scene.definitions.see(LibvirtAnswered(at=Instant(1), after_gap=True))
        await scene.definitions.read()
        assert tie(scene) == "its disk /srv/a.img is on local storage"
        assert scene.changes == 2
        [told] = scene.told()
        assert told.needs.obstacle == tie(scene)

    play(story)


def test_what_libvirt_does_not_define_any_more_says_so() -> None:
    async def story() -> None:
        scene = Scene("a")
        await scene.definitions.read()
        scene.told()
        scene.hypervisor.undefine("a")
        scene.seen("a", "undefined")
        assert await scene.definitions.read()
        [told] = scene.told()
        assert (told.xml, told.needs.obstacle) == ("", NONE)
        assert tie(scene) == NONE

    play(story)


def test_of_a_vm_that_moves_what_was_known_stands_until_it_is_known_where_it_is() -> None:
    async def story() -> None:
        scene = Scene("a", "b")
        await scene.definitions.read()
        [known] = [one for one in scene.told() if one.vm == "a"]
        scene.moving.add("a")
        scene.hypervisor.undefine("a")  # Its guest, and its definition, are at the other end.
        scene.seen("a", "undefined")
        assert not await scene.definitions.read(), "it is read again"
        scene.definitions.tell_anew()
        assert [one.vm for one in scene.told()] == ["b"]
        assert scene.definitions.needs("a") == known.needs
        scene.moving.clear()
        assert await scene.definitions.read()
        assert [one.needs.obstacle for one in scene.told()] == [NONE]

    play(story)


def test_a_libvirt_that_hangs_changes_nothing_and_is_asked_again() -> None:
    async def story() -> None:
        scene = Scene("a", "b")
        await scene.definitions.read()
        scene.told()
        scene.hypervisor.hangs.add("a")
        scene.seen("a")
        assert not await scene.definitions.read()
        assert scene.names() == []
        assert tie(scene) == ""
        scene.hypervisor.hangs.clear()
        await scene.redefine("a", "<vcpu>1<", "<vcpu>4<")
        assert await scene.definitions.read()
        assert [one.needs.vcpus for one in scene.told()] == [4]

    play(story)


def test_what_is_too_large_is_not_told_and_is_an_obstacle() -> None:
    async def story() -> None:
        scene = Scene("a")
        await scene.redefine("a", "<devices>", f"<title>{'x' * LARGEST_XML}</title><devices>")
        await scene.definitions.read()
        [told] = scene.told()
        assert told.xml == ""
        assert "larger than 256 KiB" in told.needs.obstacle
        assert "larger than 256 KiB" in tie(scene)

    play(story)


def test_no_frame_is_larger_than_a_controller_takes() -> None:
    async def story() -> None:
        scene = Scene(*"abcdefghij")
        for vm in "abcdefghij":
            await scene.redefine(vm, "<devices>", f"<title>{'x' * (250 << 10)}</title><devices>")
        await scene.definitions.read()
        assert max(len(wire.encode(frame)) for frame in scene.frames) < 2 * module.FRAME_BYTES
        assert len(scene.frames) >= 3
        assert sorted(scene.names()) == [f"web-{vm}" for vm in "abcdefghij"]

    play(story)


def test_it_runs_by_itself_and_wakes_for_what_is_new() -> None:
    async def story() -> None:
        scene = Scene("a", "b")
        del scene.protected["b"]
        work = asyncio.create_task(scene.definitions.run())
        try:
            await wait_for(lambda: len(scene.frames) == 1, "the first is told")
            scene.protected["b"] = "web-b"
            scene.definitions.policy_moved()
            await wait_for(lambda: len(scene.frames) == 2, "the second one is told")
            await scene.redefine("a", "<vcpu>1<", "<vcpu>2<")
            scene.seen("a")
            await wait_for(lambda: len(scene.frames) == 3, "the change is told")
            asked = scene.hypervisor.calls.count(("definition", "a"))
            scene.definitions.policy_moved()  # Nothing is new.
            await scene.redefine("b", "<vcpu>1<", "<vcpu>2<")
            scene.seen("b")
            await wait_for(lambda: len(scene.frames) == 4, "the change is told")
            assert scene.hypervisor.calls.count(("definition", "a")) == asked
        finally:
            work.cancel()

    play(story)


def test_what_cpu_a_vm_was_given_is_told_once_it_started() -> None:
    async def story() -> None:
        scene = Scene("a")
        await scene.definitions.read()
        [told] = scene.told()
        assert told.needs.live is None
        await scene.hypervisor.start("a")
        scene.seen("a", "started")
        await scene.definitions.read()
        [told] = scene.told()
        assert told.needs.live == told.needs.cpu
        assert told.needs.live is not None

    play(story)
