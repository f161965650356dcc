"""How a simulated controller holds the number of a group's VMs: the program's own way."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from holdfast.controller.instance_alarms import InstanceAlarms
from holdfast.controller.instancing import Instances
from holdfast.ports import clock
from holdfast.ports.vim import VimAway, VimRefused

if TYPE_CHECKING:
    from tests.simulation.controllers import SimulatedController


def hold_instances(one: "SimulatedController") -> Callable[[], Awaitable[None]]:
    """As controller/instance_parts.py, where nobody asks about groups. Returns what is to run."""
    world = one.watch.decider.world
    instances = Instances(
        registry=one.registry,
        agents=one.agents,
        world=world,
        term=lambda: one.leadership.term if one.leadership is not None else None,
        say=lambda _text: None,
    )
    alarms = InstanceAlarms(one.registry, world, one.vim, instances.why, one.name, one.machine.boot)

    async def look() -> None:
        await instances.look()
        if one.leads() and one.registry.is_whole:
            try:
                await alarms.settle(clock.now())
            except (VimAway, VimRefused):
                return

    return lambda: instances.run(look)
