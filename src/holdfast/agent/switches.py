"""What the agent sees of this host's networks: the kernel's links, and the virtual switch.

It keeps on record what the switch is, so that it can be mended.
"""

import asyncio
import logging
import math
from pathlib import Path
from typing import Any

from holdfast.adapters.menders.switch import SwitchMender
from holdfast.adapters.sensors.links import Links
from holdfast.adapters.sensors.open_vswitch import OpenVswitch
from holdfast.adapters.sensors.vswitch_flows import VswitchFlows
from holdfast.adapters.switches.open_vswitch import OpenVswitchMender
from holdfast.facts.observations import Observation
from holdfast.facts.vswitch import FlowsCounted, InterfaceGone, InterfaceSeen
from holdfast.ports.sensor import Sensor

log = logging.getLogger(__name__)

SOON_S = 1.0
GROWN = 1.2  # So many more flows than on record are recorded soon.
RECORD_EVERY_S = 60.0  # Some bridges learn flows all the time, and have thousands.


class Switches:
    """Its sensors run with the others; `see` is handed what they saw."""

    def __init__(self, state: Path, boot: str, *, has_canaries: bool = False) -> None:
        self.mender = OpenVswitchMender(state / "vswitch.json", boot)
        self.menders = {"switch": SwitchMender(self.mender)}
        self._is_new = False
        self._ports: set[str] = set()
        self._open_vswitch = OpenVswitch(
            recorded=self.mender.recorded_ports, port_set=self._note_change
        )
        flows = VswitchFlows(
            lambda: self._open_vswitch.bridges,
            canaries=has_canaries,
            recorded=self.mender.recorded_flows,
        )
        self.sensors: tuple[Sensor, ...] = (Links(), self._open_vswitch, flows)

    def _note_change(self) -> None:
        self._is_new = True

    def see(self, seen: Observation) -> None:
        """A port that comes or goes is to be recorded soon."""
        match seen:
            case InterfaceSeen():
                self._is_new |= seen.interface not in self._ports
                self._ports.add(seen.interface)
            case InterfaceGone():
                self._is_new = True
                self._ports.discard(seen.interface)
            case FlowsCounted() if seen.flows > seen.recorded * GROWN:
                self._is_new = True
            case _:
                pass

    async def run(self) -> None:
        """Record what the switch is: soon after its ports changed, and now and then all the same,
        since of flows and settings nobody tells each change. Until cancelled."""
        loop = asyncio.get_running_loop()
        recorded_at, is_begun = -math.inf, False
        while True:
            await asyncio.sleep(SOON_S)
            is_due = bool(self._ports) and loop.time() - recorded_at > RECORD_EVERY_S
            if not self._is_new and not is_due:
                continue
            self._is_new, recorded_at = False, loop.time()
            try:
                if not is_begun:
                    await self.mender.clean_up()
                    is_begun = True
                await self.mender.record()
            except OSError as trouble:
                log.warning("what the virtual switch is cannot be recorded: %s", trouble)

    def shown(self) -> dict[str, Any]:
        """For status."""
        bridges = self._open_vswitch.bridges
        return {
            "state": self._open_vswitch.state,
            "bridges": bridges,
            "flows_on_record": {name: self.mender.recorded_flows(name) for name in bridges},
        }
