"""The fencer in memory keeps the contract of the real ones, and its BMCs have their bad days."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest

from holdfast.adapters.simulated.bmc import PLANE, Bmcs, SimulatedFencer
from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.virtual_loop import VirtualLoop
from holdfast.facts.fencing import FenceDevice
from holdfast.facts.instants import NS_PER_S
from holdfast.ports.fencer import FenceFailed, Fencer, PowerState
from tests.adapters.contract_fencer import FENCE, FencerContract

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
        self.run(self.fencer.switch_off(FENCE, self.device))


@pytest.fixture
def world() -> World:
    return World()


class TestSimulatedFencer(FencerContract):
    @pytest.fixture(autouse=True)
    def _world(self) -> None:
        self.world = World()

    def make(self) -> SimulatedFencer:
        return self.world.fencer

    def device(self, deadline_s: int = 20) -> FenceDevice:
        return msgspec.structs.replace(self.world.device, deadline_s=deadline_s)

    def has_power(self) -> bool:
        return self.world.h4.has_power

    def give_power(self, power: bool) -> None:
        if not power:
            self.world.h4.switch_off()
        elif not self.world.h4.has_power:
            self.world.h4.boot_again()

    def fail(self, how: str) -> None:
        bmc = self.world.bmc
        bmc.is_dead, bmc.is_deaf = how == "away", how == "stuck"
        bmc.late_ms = 1e9 if how == "hung" else 0.0

    def run(self, call: Callable[[Fencer], Awaitable[Result]]) -> Result:
        return self.world.run(call(self.world.fencer))


@pytest.mark.parametrize("trouble", ["is_half", "ignores_every_other"])
def test_who_did_it_badly_did_it(world: World, trouble: str) -> None:
    setattr(world.bmc, trouble, True)
    world.switch_off()
    assert not world.h4.has_power


@pytest.mark.parametrize("trouble", ["lies", "refuses"])
def test_who_is_not_read_back_off_is_not_proven_off(world: World, trouble: str) -> None:
    setattr(world.bmc, trouble, "on" if trouble == "lies" else True)
    with pytest.raises(FenceFailed) as failed:
        world.switch_off()
    assert world.h4.has_power is (trouble == "refuses")
    assert world.bmc.password not in str(failed.value)
    assert world.clock.now <= world.device.deadline_s * NS_PER_S


@pytest.mark.parametrize(
    "bad",
    [
        {"agent": "fence_nobody"},
        {"options": {}},
        {"options": {"ip": "h4-bmc", "colour": "red"}},
        {"secrets": {"key": "x"}},
    ],
)
def test_what_could_never_work_is_said_without_touching_the_host(
    world: World, bad: dict[str, Any]
) -> None:
    with pytest.raises(FenceFailed):
        world.run(world.fencer.check(msgspec.structs.replace(world.device, **bad)))
    assert world.h4.has_power


def test_what_a_late_one_was_told_it_does_when_nobody_waits_any_more(world: World) -> None:
    world.bmc.late_ms = 5_000
    device = msgspec.structs.replace(world.device, deadline_s=4)
    with pytest.raises(FenceFailed):
        world.run(world.fencer.switch_off(FENCE, device))
    assert world.h4.has_power
    world.clock.run_until(6 * NS_PER_S)
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
    assert ordered == ["h1 host-4", "h1 host-4"]
    assert switched == [True]
