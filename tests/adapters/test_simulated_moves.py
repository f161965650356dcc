"""Moves between simulated machines keep the contract of all migrators, and break as real ones do.

covers: H2
"""

import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.moves import COPY_MS, Move, Roads, SimulatedMigrator, Step
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.vm import SimulatedVm
from holdfast.facts.instants import NS_PER_S
from holdfast.facts.migrations import End
from holdfast.ports.migrator import Place
from tests.adapters.contract_migrator import CONTRACT, Bench

VM = "vm-1"
LONG_MS, WAIT_S = 3_600_000.0, 300


class Site:
    """Two machines with an agent each, and a VM that runs on `a`."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock, random.Random(1), ["lan"])
        self.roads = Roads(self.clock, self.network, "lan")
        names = ("a", "b")
        self.machines = {name: Machine(self.clock, self.network, name) for name in names}
        self.roads.machines = self.machines
        for machine in self.machines.values():
            machine.begin("agent")
        self.vm = VM
        self.here, self.there = (one.vms for one in self.machines.values())
        self.here.define(SimulatedVm(name="web", uuid=VM, memory_gb=0.1))
        self.here.begin("web")
        self.a, self.b = (SimulatedMigrator(one, self.roads) for one in self.machines.values())

    def place(self, port: int) -> Place:
        return Place(host="b", address="127.0.0.1", port=port)

    def hold(self) -> None:
        self.roads.copy_ms = LONG_MS

    def let_go(self) -> None:
        self.roads.copy_ms = COPY_MS

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        task = self.machines["a"].loops["agent"].create_task(work)
        self.pass_s(WAIT_S)
        for machine in self.machines.values():
            machine.bury()
        return task.result()

    def pass_s(self, seconds: float) -> None:
        self.clock.run_until(self.clock.now + round(seconds * NS_PER_S))

    def begin(self, until: Step) -> Move:
        """By hand."""
        self.roads.switch_ms = 1_000.0
        move = self.roads.begin(self.here.vms["web"], *self.machines.values())
        while move.step is not until:
            self.pass_s(0.01)
        return move

    @property
    def writers(self) -> list[str]:
        found = {name: one.vms.by_uuid(VM) for name, one in self.machines.items()}
        return [name for name, vm in found.items() if vm is not None and vm.can_write]


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
def test_it_keeps_the_contract(rule: Callable[[Bench], Awaitable[Any]]) -> None:
    site = Site()

    async def story() -> None:
        await rule(site)

    site.run(story())


@pytest.mark.parametrize(
    ("step", "befalls", "left"),
    [
        (Step.COPIES, lambda site: site.machines["b"].cut_power(), ["a"]),
        (Step.COPIES, lambda site: site.there.kill_libvirt(), ["a"]),
        (Step.COPIES, lambda site: site.here.kill_libvirt(), ["a"]),
        (Step.COPIES, lambda site: site.network.cut("lan", "a", "b"), ["a"]),
        (Step.COPIES, lambda site: site.machines["a"].cut_power(), []),
        (Step.SENT, lambda site: site.network.cut("lan", "a", "b"), ["a"]),
        (Step.SENT, lambda site: site.machines["b"].cut_power(), ["a"]),
        (Step.SENT, lambda site: site.machines["a"].cut_power(), []),
        (Step.SENT, lambda site: site.here.kill_libvirt(), []),
        (Step.CAME, lambda site: site.network.cut("lan", "a", "b"), ["b"]),
        (Step.CAME, lambda site: site.machines["a"].cut_power(), ["b"]),
        (Step.CAME, lambda site: site.there.kill("web"), []),
    ],
)
def test_whatever_befalls_it_at_whatever_step_one_copy_is_left_at_most(
    step: Step, befalls: Callable[[Site], None], left: list[str]
) -> None:
    site = Site()
    move = site.begin(step)
    befalls(site)
    site.pass_s(8)
    for host in (site.here, site.there):
        if host.libvirt == "dead":
            host.restore_libvirt()
    site.pass_s(2)
    assert (move.is_over, site.writers) == (True, left)
    for machine in site.machines.values():
        machine.bury()


def test_a_source_without_libvirt_as_its_guest_went_on_stands_still_and_says_so() -> None:
    site = Site()
    site.begin(Step.CAME)
    site.here.kill_libvirt()
    site.pass_s(1)
    site.here.restore_libvirt()
    site.pass_s(1)
    assert site.writers == ["b"]
    looked = site.run(site.a.look(VM))
    assert (looked.end, looked.is_left) == (End.MOVING, True)


def test_an_agent_that_dies_takes_its_tunnel_along() -> None:
    site = Site()

    async def begin() -> None:
        port = await site.b.receive(VM, "a", "127.0.0.1")
        await site.a.send(VM, site.place(port), 60)

    site.machines["a"].loops["agent"].create_task(begin())
    site.pass_s(1)
    [move] = site.roads.moves
    site.machines["b"].kill("agent")
    site.pass_s(1)
    assert (move.failure, site.writers) == ("the migration's tunnel has ended", ["a"])
    for machine in site.machines.values():
        machine.bury()
