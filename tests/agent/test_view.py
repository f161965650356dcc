"""What a controller is told of a VM, by which it places and follows VMs of dead hosts.

covers: H9 H15
"""

import asyncio

from msgspec import structs

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.agent.inventory import Inventory
from holdfast.agent.loop import Loop
from holdfast.agent.view import View
from holdfast.detectors.panel import Panel
from holdfast.facts import wire
from holdfast.facts.definitions import HostRole, HostSize, VmNeeds
from holdfast.ports.hypervisor import Domain
from tests.agent.scene import domain_of
from tests.policy import inputs
from tests.policy.scene import UUID, WEB1, Scene


def needs_of(vm: str) -> VmNeeds:
    return VmNeeds(memory_mib=1, vcpus=1, obstacle=f"why of {vm}")


def told(scene: Scene, domain: Domain | None = None) -> wire.VmSummary:
    """What is told of web."""
    found: list[wire.VmSummary] = []

    async def look() -> None:
        decider = scene.lawful.decider
        loop = Loop(Panel({}), decider, JournalInMemory(1, lambda: b"{}"), lambda _: None)
        domains = {UUID: domain} if domain else {}
        view = View(loop, lambda: domains, lambda _: "threads", needs_of)
        found.extend(view.vms())
        loop.close()

    asyncio.run(look())
    return found[0]


def test_what_runs_serves_unless_its_answer_is_awaited() -> None:
    scene = Scene()
    domain = structs.replace(domain_of(UUID, "running"), memory_mib=2_048)
    shown = told(scene, domain)
    assert (shown.is_serving, shown.generation, shown.memory_mib) == (True, 1, 2_048)
    assert shown.elsewhere == f"why of {UUID}"
    assert shown.local_disk == "keep"
    scene.restart()
    assert not told(scene).is_serving
    assert told(scene).is_running


def test_a_tenure_of_an_earlier_boot_or_one_that_moved_away_is_not_held() -> None:
    scene = Scene()
    scene.step(inputs.booted(5, "boot-2"))
    assert told(scene).generation == 0
    scene = Scene()
    scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    assert told(scene).generation == 0


def test_what_is_left_of_a_vm_that_another_host_holds_did_not_stop_on_purpose() -> None:
    scene = Scene()
    scene.step(inputs.stopped(scene.later(), WEB1, moved_away=True))
    here = domain_of(UUID, "shut off")
    assert told(scene, here).state == "stopped on purpose", "nobody has said who holds it"
    scene.step(inputs.outranked(scene.later()))
    assert told(scene, here).state == "held by h2"


def test_what_is_handed_over_is_given_up_only_if_it_can_not_start_any_more() -> None:
    scene = Scene()
    for old, new in ((1, 2), (2, 3), (3, 4)):
        scene.restart(inputs.life(old), inputs.life(new))
    assert not told(scene).is_given_up
    scene.kill(inputs.life(4))
    scene.prove(inputs.life(4))
    assert told(scene).is_given_up
    scene.web.start_in_flight = scene.incident
    assert not told(scene).is_given_up, "a start of it may happen yet"


def test_nothing_of_this_is_told_of_what_is_not_protected() -> None:
    shown = told(Scene(is_protected=False))
    assert (shown.generation, shown.elsewhere, shown.is_given_up) == (0, "", False)
    assert shown.is_serving


def test_the_room_of_a_host_and_what_it_is_for_are_told_with_its_vms_and_when_it_changes() -> None:
    hypervisor = HypervisorInMemory()
    frames: list[wire.Inventory] = []

    async def story() -> None:
        inventory = Inventory(hypervisor, list, (HostRole.STORAGE,))
        inventory.tell = frames.append
        await inventory.read()
        await inventory.read()
        hypervisor.has = HostSize(memory_mib=1_024, cpus=1, bridges=("br0",))
        await inventory.read()

    asyncio.run(story())
    assert [frame.size for frame in frames] == [
        HostSize(memory_mib=65_536, cpus=16, roles=(HostRole.STORAGE,)),
        HostSize(memory_mib=1_024, cpus=1, bridges=("br0",), roles=(HostRole.STORAGE,)),
    ]
