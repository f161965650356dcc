"""What the agent sees of this host's networks: the kernel's links, and the virtual switch.

It keeps on record what the switch is, so that it can be mended.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any

from holdfast.adapters.sensors.links import Links
from holdfast.adapters.sensors.open_vswitch import OpenVswitch
from holdfast.adapters.sensors.vswitch_flows import VswitchFlows
from holdfast.adapters.switches.open_vswitch import OpenVswitchMender
from holdfast.facts.observations import Observation
from holdfast.facts.vswitch import FlowsCounted, InterfaceGone, InterfaceSeen
from holdfast.ports.sensor import Sensor

log = logging.getLogger(__name__)

SETTLES_S = 2.0  # What is being changed is recorded when it is done.
RECORD_EVERY_S = 60.0  # Some bridges learn flows all the time, and have thousands.


class Switches:
    """Its sensors run with the others; `see` is handed what they saw."""

    def __init__(self, state: Path, boot: str, *, has_canaries: bool = False) -> None:
        self.mender = OpenVswitchMender(state / "vswitch.json", boot)
        self._is_new = asyncio.Event()
        self._open_vswitch = OpenVswitch(recorded=self.mender.recorded_ports)
        flows = VswitchFlows(
            lambda: self._open_vswitch.bridges,
            canaries=has_canaries,
            recorded=self.mender.recorded_flows,
        )
        self.sensors: tuple[Sensor, ...] = (Links(), self._open_vswitch, flows)

    def see(self, seen: Observation) -> None:
        """What is new of the switch is to be recorded."""
        if isinstance(seen, InterfaceSeen | InterfaceGone | FlowsCounted):
            self._is_new.set()

    async def run(self) -> None:
        """Record what the switch is, some time after it changed; until cancelled."""
        is_begun = False
        while True:
            await self._is_new.wait()
            await asyncio.sleep(SETTLES_S)
            self._is_new.clear()
            try:
                if not is_begun:
                    await self.mender.clean_up()
                    is_begun = True
                await self.mender.record()
            except OSError as trouble:
                log.warning("what the virtual switch is cannot be recorded: %s", trouble)
            await asyncio.sleep(RECORD_EVERY_S)

    def shown(self) -> dict[str, Any]:
        """For status."""
        return {"state": self._open_vswitch.state, "bridges": self._open_vswitch.bridges}
