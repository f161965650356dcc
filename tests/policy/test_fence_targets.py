"""Two hosts on one fence device are noticed; a strip that they share, each by its plug, is fine.

covers: H9
"""

import pytest

from holdfast.facts.fencing import FenceDevice, HostFencing
from holdfast.policy.fence_targets import shared_with


def device(agent: str = "fence_ipmilan", **options: str) -> FenceDevice:
    return FenceDevice(agent=agent, options=options)


def is_shared(one: FenceDevice, other: FenceDevice) -> bool:
    of_h4 = (HostFencing(host="h5", devices=(one,)), HostFencing(host="h4", devices=(other,)))
    return shared_with("h5", one, of_h4) == "h4"


BMC = device(ip="10.0.9.4", username="root")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BMC, BMC),
        (BMC, device(ip="10.0.9.4", username="anna", lanplus="1", power_timeout="40")),
        (BMC, device(ipaddr="10.0.9.4", ipport="623")),
        (BMC, device("fence_idrac", ip="10.0.9.4")),
        (device(ip="bmc-4.example"), device(ip="BMC-4.example.")),
        (device(ip="fd00::4"), device(ip="[fd00:0::4]")),
        (
            device("fence_apc", ip="10.0.9.9", plug="4"),
            device("fence_apc", ip="10.0.9.9", port="4"),
        ),
        (device("fence_xvm", plug="vm-4"), device("fence_xvm", plug="vm-4")),
    ],
)
def test_one_device_of_two_hosts_is_noticed(one: FenceDevice, other: FenceDevice) -> None:
    assert is_shared(one, other)
    assert is_shared(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BMC, device(ip="10.0.9.5")),
        (BMC, device(ip="10.0.9.4", ipport="6230")),
        (
            device("fence_apc", ip="10.0.9.9", plug="4"),
            device("fence_apc", ip="10.0.9.9", plug="5"),
        ),
        (
            device("fence_redfish", ip="10.0.9.9", systems_uri="/redfish/v1/Systems/4"),
            device("fence_redfish", ip="10.0.9.9", systems_uri="/redfish/v1/Systems/5"),
        ),
        (
            device("fence_apc", ip="10.0.9.9", plug="4"),
            device("fence_wti", ip="10.0.9.9", plug="4"),
        ),
        (device("fence_xvm"), device("fence_xvm")),
    ],
)
def test_what_differs_in_its_plug_or_place_is_not_one(one: FenceDevice, other: FenceDevice) -> None:
    assert not is_shared(one, other)


def test_a_host_may_have_a_device_twice() -> None:
    assert shared_with("h4", BMC, (HostFencing(host="h4", devices=(BMC, BMC)),)) == ""
