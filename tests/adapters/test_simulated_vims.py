"""The VIMs in memory keep the contract; the one like Nova acts by itself, as Nova does."""

import asyncio

import pytest

from holdfast.adapters.simulated.vims import VimInMemory, VimLikeNova
from holdfast.ports.vim import Ownership, VimAway, VimRefused
from tests.adapters.contract_vim import VMS, VimContract, told


class TestVimInMemory(VimContract):
    owns = Ownership(definitions=False, placement=False)

    def make(self) -> VimInMemory:
        return VimInMemory(VMS)


class TestVimLikeNova(VimContract):
    owns = Ownership(definitions=True, placement=True)

    def make(self) -> VimLikeNova:
        return VimLikeNova(VMS)


def test_a_crashed_vm_shows_as_active_until_nova_stops_it_itself() -> None:
    async def work() -> None:
        nova = VimLikeNova(VMS)
        nova.crash("vm-1")
        nova.pass_time(14.9)
        assert [vm.state for vm in await nova.vms("host-a")] == ["ACTIVE"]
        nova.pass_time(0.2)
        assert [vm.state for vm in await nova.vms("host-a")] == ["SHUTOFF"]

    asyncio.run(work())


def test_a_vm_that_was_restarted_in_time_is_not_stopped() -> None:
    async def work() -> None:
        nova = VimLikeNova(VMS)
        nova.crash("vm-1")
        nova.pass_time(5)
        nova.restart("vm-1")
        nova.pass_time(60)
        assert [vm.state for vm in await nova.vms("host-a")] == ["ACTIVE"]

    asyncio.run(work())


def test_its_task_in_flight_and_its_placement_are_seen() -> None:
    async def work() -> None:
        nova = VimLikeNova(VMS)
        nova.begin_task("vm-1", "migrating")
        assert await nova.task_in_flight("vm-1") == "migrating"
        nova.move("vm-1", "host-b")
        nova.end_task("vm-1", "ACTIVE")
        assert await nova.task_in_flight("vm-1") == ""
        assert [vm.vm for vm in await nova.vms("host-b")] == ["vm-1", "vm-2"]

    asyncio.run(work())


def test_it_can_be_away_slow_or_refuse() -> None:
    async def work() -> None:
        vim = VimInMemory()
        vim.is_away = True
        with pytest.raises(VimAway):
            await vim.report(told())
        vim.is_away = False
        vim.refuses = "vm-gone"
        with pytest.raises(VimRefused):
            await vim.report(told())
        vim.refuses, vim.delay_s = "", 30.0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(vim.report(told()), 0.01)
        vim.delay_s = 0.0
        assert (await vim.report(told())).was_new, "what was slow did not half arrive"

    asyncio.run(work())
