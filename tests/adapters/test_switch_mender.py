"""The switch is mended from its record, within what can be mended here.

covers: H1 H5 H18
"""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from holdfast.adapters.menders.switch import SwitchMender
from holdfast.adapters.simulated.switch import SwitchInMemory
from holdfast.facts.vswitch import bridge_subject
from holdfast.ports.mender import MendFailed
from tests.adapters.contract_mender import asked


class Scene:
    def __init__(self, folder: Path) -> None:
        self.mark = folder / "vswitch"
        self.switch = SwitchInMemory({"br-vm": 10}, {"vm1", "vm2"}, {"up1", "up2"})
        asyncio.run(self.switch.record())

    def mend(self, *args: str, uplinks: str = "") -> str:
        order = asked(args, evidence={"uplinks": uplinks})
        order = replace(order, subject=bridge_subject("br-vm"))
        return asyncio.run(SwitchMender(self.switch).mend(order))

    def act(self, act: str, uplinks: str = "") -> str:
        return self.mend(act, str(self.mark), uplinks=uplinks)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_flows_are_given_back(scene: Scene) -> None:
    scene.switch.flows["br-vm"] = 0
    assert "has its flows back" in scene.act("flows")
    assert scene.switch.flows["br-vm"] == 10


def test_every_port_that_is_missing_is_made_anew(scene: Scene) -> None:
    scene.switch.ports.clear()
    scene.act("ports")
    assert scene.switch.ports == {"vm1", "vm2"}
    with pytest.raises(MendFailed, match="no port that is on record is missing"):
        scene.act("ports")


def test_a_port_that_cannot_be_made_is_named_though_another_one_was(scene: Scene) -> None:
    async def only_vm1(interface: str) -> str:
        if interface != "vm1":
            scene.switch.obstacle = f"{interface} has no device"
        return await SwitchInMemory.rebuild_port(scene.switch, interface)

    scene.switch.ports.clear()
    scene.switch.rebuild_port = only_vm1  # type: ignore[method-assign]
    with pytest.raises(MendFailed, match="vm2 has no device"):
        scene.act("ports")


def test_only_uplinks_that_are_switched_off_are_switched_on(scene: Scene) -> None:
    scene.switch.links_up.clear()
    scene.act("links", uplinks="up1")
    assert scene.switch.links_up == {"up1"}


def test_an_uplink_without_a_cable_is_for_somebody_who_can_look_at_it(scene: Scene) -> None:
    with pytest.raises(MendFailed, match="nothing of up1, up2 is switched off here: look at the"):
        scene.act("links", uplinks="up1, up2")


def test_an_uplink_that_was_taken_out_is_left_to_what_mends_ports(scene: Scene) -> None:
    scene.switch.ports.discard("vm1")
    assert "vm1 is not in the switch" in scene.act("links", uplinks="vm1")
    assert "vm1" not in scene.switch.ports


@pytest.mark.parametrize("act", ["flows", "ports", "links"])
def test_whoever_works_on_the_switch_is_not_disturbed(scene: Scene, act: str) -> None:
    scene.switch.flows["br-vm"], scene.switch.ports = 0, set()
    scene.switch.links_up.clear()
    scene.mark.touch()
    with pytest.raises(MendFailed, match="says that somebody works on the switch"):
        scene.act(act, uplinks="up1")
    assert (scene.switch.flows["br-vm"], scene.switch.ports, scene.switch.links_up) == (
        0,
        set(),
        set(),
    )


def test_a_daemon_is_begun_again_with_its_flows(scene: Scene) -> None:
    scene.switch.flows["br-vm"], scene.switch.is_running = 0, False
    scene.mend("restart", "process", str(scene.mark), "", "/bin/true")
    assert (scene.switch.flows["br-vm"], scene.switch.is_running) == (10, True)


def test_a_daemon_that_cannot_be_begun_is_not_mended(scene: Scene) -> None:
    with pytest.raises(MendFailed, match="/bin/false ended with 1"):
        scene.mend("restart", "process", str(scene.mark), "", "/bin/false")


def test_a_daemon_without_a_record_is_begun_plainly(scene: Scene) -> None:
    scene.switch = SwitchInMemory({}, set(), set())
    scene.switch.obstacle = "it was asked though nothing is on record"
    assert scene.mend("restart", "process", str(scene.mark), "", "/bin/true") == "/bin/true"


def test_without_the_agents_switch_it_says_so() -> None:
    with pytest.raises(MendFailed, match="nobody keeps a record"):
        asyncio.run(SwitchMender().mend(asked(("flows", "/run/none"))))
