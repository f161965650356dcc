"""The fencer in memory keeps the contract of the real ones, and its BMCs have their bad days."""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import pytest

from holdfast.adapters.simulated.bmc import PLANE, Bmcs, SimulatedFencer
from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.virtual_loop import VirtualLoop
from holdfast.facts.fencing import FenceDevice
from holdfast.facts.instants import NS_PER_S
from holdfast.ports.fencer import FenceFailed, PowerState
from tests.adapters.contract_simulated_fencer import FencerContract, fence

Result = TypeVar("Result")


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        rng = random.Random(1)
        planes, management = (Network(self.clock, rng, [name]) for name in ("a", PLANE))
        self.h1, self.h3, self.h4 = (Machine(self.clock, planes, n) for n in ("h1", "h3", "h4"))
        self.bmcs = Bmcs(self.clock, management)
        self.bmc = self.bmcs.add(self.h4)
        self.loop = VirtualLoop(self.clock)
        self.fencer = SimulatedFencer(self.h1, self.bmcs)

    @property
    def device(self) -> FenceDevice:
        return self.bmcs.device(self.bmc)

    def run(self, work: Awaitable[Result]) -> Result:
        done: Result = self.loop.run_until_complete(work)
        return done

    def switch_off(self) -> None:
        self.run(self.fencer.switch_off(fence(), self.device))


@pytest.fixture
def world() -> World:
    return World()


class TestSimulatedFencer(FencerContract):
    @pytest.fixture(autouse=True)
    def _world(self) -> None:
        self.world = World()

    def make(self) -> SimulatedFencer:
        return self.world.fencer

    def device(self) -> FenceDevice:
        return self.world.device

    def is_on(self) -> bool:
        return self.world.h4.has_power

    def fail(self, how: str) -> None:
        bmc = self.world.bmc
        bmc.is_dead, bmc.is_half, bmc.refuses = how == "never", how == "half", how == "refuses"
        bmc.ignores_every_other = how == "second try"
        bmc.lies = "on" if how == "on" else ""

    def now_s(self) -> float:
        return self.world.clock.now / NS_PER_S

    def run(self, work: Callable[[], Awaitable[Result]]) -> Result:
        return self.world.run(work())


def test_what_a_late_one_was_told_it_does_when_nobody_waits_any_more(world: World) -> None:
    world.bmc.late_ms = 3_000
    device = msgspec.structs.replace(world.device, deadline_s=4)
    with pytest.raises(FenceFailed):
        world.run(world.fencer.switch_off(fence(), device))
    assert world.h4.has_power
    world.clock.run_until(7 * NS_PER_S)
    assert not world.h4.has_power


def test_one_that_lies_is_believed_and_does_nothing(world: World) -> None:
    world.bmc.lies = "off"
    world.switch_off()
    assert world.h4.has_power
    assert world.bmc.is_deceiving


def test_one_that_is_wired_to_another_switches_that_one(world: World) -> None:
    world.bmc.wired_to = world.h3
    world.switch_off()
    assert (world.h3.has_power, world.h4.has_power) == (False, True)
    assert world.bmc.is_deceiving


def test_one_that_shares_power_says_nothing_when_the_mains_fail(world: World) -> None:
    world.bmc.shares_power = True
    world.switch_off()
    assert world.run(world.fencer.power(world.device)) is PowerState.OFF
    world.h4.boot_again()
    world.h4.cut_power()
    with pytest.raises(FenceFailed):
        world.run(world.fencer.power(world.device))
    world.bmc.be_well()
    assert world.run(world.fencer.power(world.device)) is PowerState.OFF


def test_who_panicked_has_power(world: World) -> None:
    world.h4.panic()
    assert world.run(world.fencer.power(world.device)) is PowerState.ON
    world.switch_off()
    assert not world.h4.has_power


@pytest.mark.parametrize("way", [("h1", "h4-bmc"), ("h4-bmc", "h1")])
def test_over_a_cut_network_nothing_is_proven(world: World, way: tuple[str, str]) -> None:
    world.bmcs.network.cut(PLANE, *way)
    with pytest.raises(FenceFailed):
        world.switch_off()


def test_each_order_and_each_machine_that_goes_off_is_told(world: World) -> None:
    ordered: list[str] = []
    switched: list[bool] = []
    world.bmcs.ordered.append(lambda one: ordered.append(f"{one.by.name} {one.fence.host}"))
    world.bmcs.switched.append(lambda bmc: switched.append(bmc.wired_to.has_power))
    world.switch_off()
    world.switch_off()
    assert ordered == ["h1 h4", "h1 h4"]
    assert switched == [True]
