"""A real Open vSwitch is mended from what was recorded of it, and each act looks again.

covers: H18
"""

import os
from collections.abc import Iterator

import pytest

from holdfast.lab import vswitch
from holdfast.lab.commands import LabError
from holdfast.lab.drills.switch_mended import mend, restarted_after_death
from holdfast.lab.host import Host
from holdfast.lab.hosts import Lab
from tests.adapters.contract_switch import SwitchContract

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    lab = Lab.up(1, name=f"mending-{os.getpid()}")
    try:
        host = lab.host("h1")
        vswitch.start_vswitch(host)
        yield host
    finally:
        lab.down()


@pytest.mark.parametrize("has_ordinary_flow", [True, False])
def test_a_killed_switch_has_its_flows_back_beside_a_plain_restart(
    host: Host, has_ordinary_flow: bool
) -> None:
    """Without the ordinary flow, as under OpenStack, a plain restart carries something else."""
    if not has_ordinary_flow:
        vswitch.be_secure(host)
    mended = restarted_after_death(host, "mended")
    plain = restarted_after_death(host, "plain")
    print(f"ordinary flow: {has_ordinary_flow}; mended: {mended}; plain: {plain}")
    assert mended.longest_ms is not None
    assert (mended.flows, mended.of) == (mended.of, mended.of)
    assert plain.flows < plain.of
    assert (plain.longest_ms is not None) is has_ordinary_flow
    assert "flow-restore-wait" not in vswitch.vsctl(
        host, "get", "open_vswitch", ".", "other_config"
    )
    assert mend(host, "restore_flows", vswitch.BRIDGE)
    assert vswitch.count_flows(host) >= mended.of


class TestOpenVswitchMender(SwitchContract):
    refusal = LabError

    @pytest.fixture(autouse=True)
    def _host(self, host: Host) -> None:
        self.host = host

    def mend(self, act: str, *words: str) -> str:
        return mend(self.host, act, *words)

    def count_flows(self) -> int:
        return vswitch.count_flows(self.host)

    def lose_flows(self) -> None:
        vswitch.delete_flows(self.host)

    def lose_port(self) -> None:
        vswitch.vsctl(self.host, "del-port", vswitch.GUEST)

    def has_port(self) -> bool:
        return vswitch.GUEST in vswitch.vsctl(self.host, "list-ports", vswitch.BRIDGE).split()

    def lower_link(self) -> None:
        self.host.run(["ip", "link", "set", vswitch.UPLINK, "down"])


def test_a_port_is_made_anew_with_its_number_and_its_tag(host: Host) -> None:
    vswitch.vsctl(host, "set", "port", vswitch.GUEST, "tag=7", 'external_ids={a="b c",d="7"}')
    number = vswitch.vsctl(host, "get", "interface", vswitch.GUEST, "ofport")
    mend(host, "record")
    vswitch.vsctl(host, "del-port", vswitch.GUEST)
    mend(host, "record")  # What is missing stays on record.
    said = mend(host, "rebuild_port", vswitch.GUEST)
    assert said == "port vm1 of br-vm was made anew as it was recorded"
    assert vswitch.vsctl(host, "get", "interface", vswitch.GUEST, "ofport") == number
    assert vswitch.vsctl(host, "get", "port", vswitch.GUEST, "tag").strip() == "7"
    ids = vswitch.vsctl(host, "get", "port", vswitch.GUEST, "external_ids").strip()
    assert ids == '{a="b c", d="7"}'
    vswitch.vsctl(host, "clear", "port", vswitch.GUEST, "tag")


def test_a_link_whose_cable_is_cut_is_not_mended(host: Host) -> None:
    vswitch.cut_uplink(host)
    with pytest.raises(LabError, match="not mended: up1 is switched on, and has no carrier"):
        mend(host, "raise_link", vswitch.UPLINK)
    vswitch.mend_uplink(host)


def test_a_restart_that_fails_leaves_the_switch_carrying(host: Host) -> None:
    with pytest.raises(LabError, match="not mended: ovs-vswitchd was to be restarted: false"):
        mend(host, "restart", "false")
    assert "flow-restore-wait" not in vswitch.vsctl(
        host, "get", "open_vswitch", ".", "other_config"
    )
