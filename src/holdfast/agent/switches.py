"""What the agent sees of this host's networks: the kernel's links, and the virtual switch."""

from typing import Any

from holdfast.adapters.sensors.links import Links
from holdfast.adapters.sensors.open_vswitch import OpenVswitch
from holdfast.adapters.sensors.vswitch_flows import VswitchFlows
from holdfast.ports.sensor import Sensor


class Switches:
    """Its sensors run with the others."""

    def __init__(self, *, has_canaries: bool = False) -> None:
        self._open_vswitch = OpenVswitch()
        flows = VswitchFlows(lambda: self._open_vswitch.bridges, canaries=has_canaries)
        self.sensors: tuple[Sensor, ...] = (Links(), self._open_vswitch, flows)

    def shown(self) -> dict[str, Any]:
        """For status."""
        return {"state": self._open_vswitch.state, "bridges": self._open_vswitch.bridges}
