"""The Redfish of a lab host's BMC: sushy-tools' own service, with a lab host for a machine.

A program of its own: python -m holdfast.lab.bmc.redfish LAB HOST PLACE ADDRESS USERS UUID
"""

import sys

from sushy_tools.emulator import main as sushy
from sushy_tools.emulator.resources.systems.base import AbstractSystemsDriver
from sushy_tools.error import NotFound, NotSupportedError

from holdfast.lab.bmc.chassis import Chassis

PORT = 443
BOOTS = {"On", "ForceOn"}
CUTS = {"ForceOff"}


class LabMachine(AbstractSystemsDriver):  # type: ignore[misc]  # sushy-tools carries no types.
    """The one machine of this BMC."""

    def __init__(self, chassis: Chassis, uuid: str) -> None:
        super().__init__()
        self._chassis, self._uuid = chassis, uuid

    @property
    def driver(self) -> str:
        return "<lab host>"

    @property
    def systems(self) -> list[str]:
        return [self._uuid]

    def uuid(self, identity: str) -> str:
        if identity not in (self._uuid, self._chassis.name):
            raise NotFound(f"this BMC knows no machine {identity}")
        return self._uuid

    def name(self, identity: str) -> str:
        self.uuid(identity)
        return self._chassis.name

    def get_power_state(self, identity: str) -> str:
        self.uuid(identity)
        return "On" if self._chassis.has_power() else "Off"

    def set_power_state(self, identity: str, state: str) -> None:
        self.uuid(identity)
        if state not in BOOTS | CUTS:
            raise NotSupportedError(f"a lab host cannot do {state}")
        self._chassis.set_power(state in BOOTS)

    def get_boot_device(self, _identity: str) -> str:
        return "Hdd"

    def set_boot_device(self, _identity: str, _boot_source: str) -> None:
        raise NotSupportedError("a lab host boots from its disks")


class LabService(sushy.Application):  # type: ignore[misc]  # As above.
    """sushy-tools' service takes its machines from this property."""

    systems: LabMachine


def main(words: list[str]) -> None:
    lab, host, place, address, users, uuid = words
    machine = LabMachine(Chassis(lab, host, int(place)), uuid)
    # Its routes belong to the one application that the module makes: that one is ours from here.
    sushy.app.__class__ = LabService
    LabService.systems = machine
    sushy.app.configure(
        extra_config={"SUSHY_EMULATOR_AUTH_FILE": users, "SUSHY_EMULATOR_FEATURE_SET": "minimum"}
    )
    # With a certificate of its own making, as most BMCs have.
    sushy.app.run(host=address, port=PORT, ssl_context="adhoc", threaded=True)


if __name__ == "__main__":
    main(sys.argv[1:])
