"""Each rule of the virtual switch's detectors is broken on purpose, and a case turns red.

covers: H18
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from holdfast.detectors.bfd_down import BfdDown
from holdfast.detectors.bond_member_lost import BondMemberLost
from holdfast.detectors.vswitch_flows_lost import VswitchFlowsLost
from holdfast.detectors.vswitch_interface_error import VswitchInterfaceError
from holdfast.detectors.vswitch_port_missing import VswitchPortMissing
from holdfast.detectors.vswitch_uplink_lost import VswitchUplinkLost
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Verdict
from holdfast.facts.vswitch import (
    BridgeGone,
    CanaryLost,
    FlowsCounted,
    InterfaceGone,
    InterfaceSeen,
    LinkGone,
    LinkSeen,
)
from holdfast.ports.detector import Detector
from tests.detectors.cases import parse_case, play, write

HERE = Path(__file__).parent


class Deaf:
    """A detector that does not hear some observations, or hears them as others."""

    def __init__(
        self, detector: Detector, hears: Callable[[Observation], Observation | None]
    ) -> None:
        self._detector, self._hears = detector, hears
        self.wake, self.deadline = detector.wake, detector.deadline

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        heard = self._hears(seen)
        return self._detector.observe(heard) if heard is not None else ()


def deaf_to(*kinds: type) -> Callable[[Observation], Observation | None]:
    return lambda seen: None if isinstance(seen, kinds) else seen


def takes_all_for_lost(seen: Observation) -> Observation:
    """Every port that goes was taken out, a stopped VM's too."""
    if isinstance(seen, InterfaceGone):
        return InterfaceGone(
            at=seen.at,
            bridge=seen.bridge,
            port=seen.port,
            interface=seen.interface,
            has_device=True,
        )
    return seen


def sees_no_switching_off(seen: Observation) -> Observation:
    """A link that somebody switched off is taken for one with a carrier."""
    if isinstance(seen, LinkSeen):
        return LinkSeen(at=seen.at, device=seen.device, has_carrier=seen.has_carrier)
    return seen


def takes_every_port_for_an_uplink(seen: Observation) -> Observation:
    if isinstance(seen, InterfaceSeen):
        return InterfaceSeen(
            at=seen.at,
            bridge=seen.bridge,
            port=seen.port,
            interface=seen.interface,
            link=seen.link,
            is_uplink=True,
        )
    return seen


def knows_no_record(seen: Observation) -> Observation:
    """An agent that is begun anew takes what it finds for what should be."""
    if isinstance(seen, FlowsCounted):
        return FlowsCounted(at=seen.at, bridge=seen.bridge, flows=seen.flows)
    return seen


MUTANTS: dict[str, tuple[str, Callable[[], Detector]]] = {
    "an uplink is cleared at once": ("vswitch_uplink_lost", lambda: VswitchUplinkLost(clear_ms=0)),
    "a boot's links have no time": (
        "vswitch_uplink_lost",
        lambda: VswitchUplinkLost(never_worked_ms=0),
    ),
    "the switch alone is believed": (
        "vswitch_uplink_lost",
        lambda: Deaf(VswitchUplinkLost(), deaf_to(LinkSeen)),
    ),
    "a taken-out uplink is none": (
        "vswitch_uplink_lost",
        lambda: Deaf(VswitchUplinkLost(), deaf_to(InterfaceGone)),
    ),
    "a link that is off is on": (
        "vswitch_uplink_lost",
        lambda: Deaf(VswitchUplinkLost(), sees_no_switching_off),
    ),
    "a VM's device is an uplink": (
        "vswitch_uplink_lost",
        lambda: Deaf(VswitchUplinkLost(), takes_every_port_for_an_uplink),
    ),
    "a moved port has no time": ("vswitch_port_missing", lambda: VswitchPortMissing(hold_ms=0)),
    "a stopped VM's port is missing": (
        "vswitch_port_missing",
        lambda: Deaf(VswitchPortMissing(), takes_all_for_lost),
    ),
    "a device that goes is not seen": (
        "vswitch_port_missing",
        lambda: Deaf(VswitchPortMissing(), deaf_to(LinkGone)),
    ),
    "a stopped VM's device has no time": (
        "vswitch_interface_error",
        lambda: VswitchInterfaceError(of_vm_ms=0),
    ),
    "an error has no time": ("vswitch_interface_error", lambda: VswitchInterfaceError(hold_ms=0)),
    "an error is cleared at once": (
        "vswitch_interface_error",
        lambda: VswitchInterfaceError(clear_ms=0),
    ),
    "only the switch names a device that is gone": (
        "vswitch_interface_error",
        lambda: Deaf(VswitchInterfaceError(), deaf_to(LinkGone)),
    ),
    "an error outlives its port": (
        "vswitch_interface_error",
        lambda: Deaf(VswitchInterfaceError(), deaf_to(InterfaceGone)),
    ),
    "a session has no time to come up": ("bfd_down", lambda: BfdDown(never_up_ms=0)),
    "a session that flaps is cleared": ("bfd_down", lambda: BfdDown(clear_ms=0)),
    "a session outlives its port": ("bfd_down", lambda: Deaf(BfdDown(), deaf_to(InterfaceGone))),
    "a member is cleared at once": ("bond_member_lost", lambda: BondMemberLost(clear_ms=0)),
    "no member's carrier is seen": (
        "bond_member_lost",
        lambda: Deaf(BondMemberLost(), deaf_to(LinkSeen)),
    ),
    "any flow less is a loss": ("vswitch_flows_lost", lambda: VswitchFlowsLost(kept_share=1)),
    "no flow less is a loss": ("vswitch_flows_lost", lambda: VswitchFlowsLost(kept_share=0)),
    "flows are cleared at once": ("vswitch_flows_lost", lambda: VswitchFlowsLost(clear_ms=0)),
    "no record is known": (
        "vswitch_flows_lost",
        lambda: Deaf(VswitchFlowsLost(), knows_no_record),
    ),
    "nobody looks for the canary": (
        "vswitch_flows_lost",
        lambda: Deaf(VswitchFlowsLost(), deaf_to(CanaryLost)),
    ),
    "a bridge's alarm outlives it": (
        "vswitch_flows_lost",
        lambda: Deaf(VswitchFlowsLost(), deaf_to(BridgeGone)),
    ),
}


@pytest.mark.parametrize("name", list(MUTANTS))
def test_a_mutant_is_found(name: str) -> None:
    folder, make = MUTANTS[name]
    for path in sorted((HERE / folder).glob("*.txt")):
        case = parse_case(path.read_text())
        told = play(make(), case.seen)
        if "".join(f"{write(at, verdict, case.zero)}\n" for at, verdict in told) != case.said:
            return
    pytest.fail(f"no case of {folder} turns red")
