"""What a host offers is told with what keeps it from offering that just now."""

import asyncio

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.agent.inventory import Inventory
from holdfast.facts import wire
from holdfast.facts.observations import LibvirtAnswered, LibvirtGone, LibvirtSilent, Observation
from holdfast.ports.clock import now


def test_a_libvirt_in_trouble_is_told_until_it_answers() -> None:
    told: list[wire.Inventory] = []

    def troubles(seen: Observation) -> str:
        inventory.see(seen)
        inventory.tell_changes()
        size = told[-1].size
        assert size is not None
        return size.trouble

    async def work() -> None:
        await inventory.read()
        assert troubles(LibvirtSilent(at=now(), since=now())) == "its libvirt does not answer"
        assert troubles(LibvirtGone(at=now(), reason="closed")) == "its libvirt does not run"
        assert len(told) == 3
        assert troubles(LibvirtAnswered(at=now(), after_gap=True)) == ""

    inventory = Inventory(HypervisorInMemory(), list)
    inventory.tell = told.append
    asyncio.run(work())
