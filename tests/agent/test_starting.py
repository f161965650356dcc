"""The leader's orders to start a VM of a dead host here: taken once, or refused for good.

covers: H9 H15
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.drivers.vm_disks import Place
from holdfast.adapters.simulated.archive import ArchiveInMemory
from holdfast.agent.answers import Answers
from holdfast.agent.commands import Commands
from holdfast.agent.health import Health
from holdfast.agent.loop import now
from holdfast.agent.terms import Terms
from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.facts.cpus import HostCpu
from holdfast.facts.definitions import HostSize, VmDefinition
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.promises import Disarm
from holdfast.policy.vm_states import VmState
from holdfast.ports.hypervisor import CallFailed
from tests.agent.scene import domain_of, wait_for
from tests.agent.starting_scene import DEFINITION, NAME, VM, XML, Scene, ordered, play, run_unasked


def test_an_order_is_on_the_disk_before_it_is_answered_and_before_it_starts() -> None:
    async def story(scene: Scene) -> None:
        await scene.taken()
        assert scene.disk.has("StartOrdered")
        await scene.runs()
        assert scene.started_with == [True]
        shown = scene.summary()
        assert (shown.generation, shown.is_running, shown.is_given_up) == (2, True, False)
        assert not shown.is_serving, "its answer is awaited"
        assert (await scene.hypervisor.domain(VM)).on_crash == "preserve", "as protect does it"
        incident = scene.decider.world.incidents[scene.record.incident]
        age_ms = (now() - incident.fault_at) / NS_PER_MS
        assert 2_000 <= age_ms < 20_000, "its outage began with the death of its host"

    play(story)


def test_a_repeat_of_an_order_is_harmless() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.gather(scene.taken(), scene.taken(), scene.taken())
        await scene.runs()
        await scene.taken()
        assert scene.started_with == [True]
        assert scene.hypervisor.calls.count(("define", VM)) == 1

    play(story)


Prepare = Callable[[Scene], None]


def disarm(scene: Scene) -> None:
    said = Disarm(owner="ann", reason="upgrade", since_utc_ms=0, until_utc_ms=1 << 50)
    scene.loop.consume(told.Disarmed(at=now(), disarm=said, until=Instant(1 << 60)))


def lack_bridge(scene: Scene) -> None:
    scene.hypervisor.has = HostSize(memory_mib=4_096, cpus=4)


def lack_kvm(scene: Scene) -> None:
    """What QEMU emulates is all that this host has."""
    emulated = HostCpu(kind="qemu", arch="x86_64")
    scene.hypervisor.has = HostSize(
        memory_mib=4_096, cpus=4, bridges=("br0",), processors=(emulated,)
    )


def lack_disk(scene: Scene) -> None:
    scene.hypervisor.disks.places["/srv/web.img"] = Place.MISSING


def have_it_local(scene: Scene) -> None:
    scene.hypervisor.disks.places["/srv/web.img"] = Place.LOCAL


def hang(scene: Scene) -> None:
    scene.hypervisor.hangs.add(VM)


def name_another_so(scene: Scene) -> None:
    scene.hypervisor.add(structs.replace(domain_of("vm-9"), name=NAME))


def know_newer(scene: Scene) -> None:
    scene.loop.consume(told.ProtectionGranted(at=now(), protection=ordered(5), by="ann"))


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (run_unasked, "it runs here already, and not by this order"),
        (disarm, "recovery is disarmed here by ann (upgrade)"),
        (lack_bridge, "there is no bridge br0 on this host"),
        (lack_kvm, "this host has no hardware virtualization (KVM)"),
        (lack_disk, "its disk /srv/web.img is missing on this host"),
        (have_it_local, "its disk /srv/web.img is on local storage"),
        (hang, "libvirt on this host: libvirt did not answer judge"),
        (name_another_so, "already exists with another uuid"),
        (know_newer, "this host knows generation 5 of it"),
    ],
)
def test_what_forbids_a_start_refuses_the_order_for_good(before: Prepare, said: str) -> None:
    async def story(scene: Scene) -> None:
        before(scene)
        assert said in await scene.refused()
        if before is not know_newer:  # Whatever was in the way is over: a late duplicate comes.
            scene.hypervisor.hangs.clear()
            scene.hypervisor.disks.places.clear()
            scene.hypervisor.has = HostSize(memory_mib=4_096, cpus=4, bridges=("br0",))
            scene.decider.world.disarm = scene.decider.world.disarmed_until = None
            assert "was refused or given back here" in await scene.refused()
            assert "was refused or given back here" in await scene.refused(generation=1)
        assert scene.started_with == []
        assert ("start", VM) not in scene.hypervisor.calls

    play(story)


def test_a_refused_host_may_be_told_anew_in_a_newer_generation() -> None:
    async def story(scene: Scene) -> None:
        lack_disk(scene)
        await scene.refused(2)
        scene.hypervisor.disks.places.clear()
        await scene.taken(4)
        await scene.runs()

    play(story)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": "host-2"}, "the order is for host host-2"),
        ({"boot": "boot-0"}, "an earlier boot of this host"),
        ({"state": "recovering"}, "its tenure says recovering"),
        ({"wanted": "stopped"}, "its tenure says held, wanted stopped"),
    ],
)
def test_an_order_for_another_host_boot_or_wish_is_refused(
    fields: dict[str, Any], said: str
) -> None:
    async def story(scene: Scene) -> None:
        assert said in await scene.refused(**fields)
        assert scene.hypervisor.calls == []

    play(story)


def test_a_definition_of_another_vm_is_not_defined() -> None:
    async def story(scene: Scene) -> None:
        other = structs.replace(DEFINITION, xml=XML.replace(VM, "vm-2"))
        assert "that of another VM" in await scene.refused(definition=other)
        broken = structs.replace(DEFINITION, xml="<domain>")
        assert "no XML" in await scene.refused(3, definition=broken)
        assert await scene.hypervisor.domains() == []

    play(story)


def test_an_order_that_cannot_be_written_down_is_not_taken_and_nothing_starts() -> None:
    async def story(scene: Scene) -> None:
        scene.disk.may_sync = False
        reply = await scene.order()
        assert "journal cannot be written" in reply.error, "no answer: neither taken nor refused"
        await wait_for(lambda: scene.record.state is VmState.HANDED_OVER, "it is handed over")
        assert scene.started_with == []
        scene.disk.may_sync, scene.disk.is_full = True, False
        assert await scene.take_back() == {"is_gone": True, "reason": ""}

    play(story)


def test_a_start_that_fails_for_good_is_given_up_and_says_why() -> None:
    async def story(scene: Scene) -> None:
        scene.hypervisor.refuses[VM] = CallFailed("no such emulator", is_final=True)
        await scene.taken()
        await wait_for(lambda: scene.summary().is_given_up, "it is given up")
        shown = scene.summary()
        assert (shown.generation, shown.is_running) == (2, False)
        incident = scene.decider.world.incidents[shown.incident]
        assert "no such emulator" in incident.step
        assert await scene.take_back() == {"is_gone": True, "reason": ""}
        assert "was refused or given back here" in await scene.refused()

    play(story)


def test_only_the_newest_leader_orders() -> None:
    async def story(scene: Scene) -> None:
        terms = Terms()
        terms.heard("store", 5)
        guarded = terms.guard(scene.questions.answer)
        for name in ("start-here", "take-back"):
            question = wire.Question(id=1, name=name, args={}, term=4, store_id="store")
            assert "is not obeyed" in (await guarded(question)).error

    play(story)


def test_who_unprotects_while_an_order_is_prepared_has_it_nowhere_started(tmp_path: Path) -> None:
    """Whoever unprotects it may start it by hand, on any host, in the next moment."""

    async def story(scene: Scene) -> None:
        hypervisor, may_go_on = scene.hypervisor, asyncio.Event()
        define = hypervisor.define

        async def slow(definition: VmDefinition, limit_ms: int = 5_000) -> None:
            await may_go_on.wait()
            await define(definition, limit_ms)

        hypervisor.define = slow  # type: ignore[method-assign]
        Commands(
            scene.loop,
            scene.view,
            hypervisor,
            ArchiveInMemory(tmp_path),
            tmp_path,
            Health(tmp_path / "memo.json", dict),
            Answers(hypervisor, lambda _: True, lambda _: False),
            scene.starting.turn,
        ).add_to(scene.questions)
        order = asyncio.create_task(scene.order())
        await asyncio.sleep(0.05)
        release = wire.Question(id=2, name="release", args={"vm": VM})
        released = asyncio.create_task(scene.questions.answer(release))
        await asyncio.sleep(0.05)
        may_go_on.set()
        assert not (await released).error
        await order
        await asyncio.sleep(0.2)
        assert scene.record.protection is None
        assert scene.started_with == []

    play(story)
