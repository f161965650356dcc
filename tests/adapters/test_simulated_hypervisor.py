"""The hypervisor in memory keeps the contract of the real one, and shows bad days."""

import asyncio

import pytest

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.facts.subjects import Incarnation
from holdfast.ports.hypervisor import CallFailed, CallOverran, Domain, Hypervisor
from tests.adapters.contract_hypervisor import BOOT, HypervisorContract

WEB = Domain(
    vm="vm-1",
    name="web",
    state="shut off",
    reason="unknown",
    is_persistent=True,
    on_crash="destroy",
)


class TestHypervisorInMemory(HypervisorContract):
    vm, vm_name = WEB.vm, WEB.name

    def make(self) -> Hypervisor:
        self.hypervisor = HypervisorInMemory(BOOT)
        self.hypervisor.add(WEB)
        return self.hypervisor

    def kill(self, life: Incarnation) -> None:
        self.hypervisor.kill(life.vm)


def test_bad_days() -> None:
    async def story() -> None:
        hypervisor = HypervisorInMemory(BOOT)
        hypervisor.add(WEB)
        hypervisor.refuses["vm-1"] = CallFailed("no memory")
        with pytest.raises(CallFailed, match="no memory"):
            await hypervisor.start("vm-1")
        hypervisor.refuses.clear()
        life = await hypervisor.start("vm-1")
        hypervisor.hangs.add("vm-1")
        with pytest.raises(CallOverran):
            await hypervisor.domain("vm-1")
        hypervisor.hangs.clear()
        hypervisor.kill("vm-1")
        hypervisor.leftovers["vm-1"] = "its disk is still in use"
        with pytest.raises(CallFailed, match="its disk"):
            await hypervisor.prove_gone(life, "web")
        assert (await hypervisor.prove_gone(life, "web", is_copy=True)).is_of_copy

    asyncio.run(story())
