"""What the switch's database says becomes observations; away and back, all is said anew."""

import asyncio
import logging
from pathlib import Path

import pytest

from holdfast.adapters.sensors.open_vswitch import OpenVswitch, interfaces
from holdfast.facts.vswitch import (
    BridgeGone,
    InterfaceGone,
    InterfaceSeen,
    SwitchAnswered,
    SwitchAway,
)
from tests.adapters.contract_sensor import end
from tests.adapters.switch_stand_in import Seen, SwitchStandIn


def test_interfaces_come_change_go_and_are_said_anew_after_a_gap(tmp_path: Path) -> None:
    async def story() -> None:
        stand_in, seen = SwitchStandIn(tmp_path), Seen()
        sensor = OpenVswitch(stand_in.path)
        task = asyncio.create_task(sensor.run(seen.append))
        async with stand_in.serving() as switch:
            first = await seen.until_one(lambda one: isinstance(one, InterfaceSeen))
            assert [type(one) for one in seen] == [SwitchAnswered, InterfaceSeen]
            assert isinstance(first, InterfaceSeen)
            assert (first.bridge, first.port, first.link) == ("br", "eth9", "up")
            assert sensor.bridges == ["br"]
            row = switch.state["Interface"]["i"]["new"]
            switch.tell({"Interface": {"i": {"new": row | {"statistics": ["map", [["a", 1]]]}}}})
            switch.tell({"Interface": {"i": {"new": row | {"error": "no such device"}}}})
            await seen.until_one(lambda one: isinstance(one, InterfaceSeen) and bool(one.error))
            assert len(seen) == 3, "what nobody asked for is no news"
            seen.clear()
        await seen.until_one(lambda one: isinstance(one, SwitchAway))
        seen.clear()
        async with stand_in.serving() as switch:
            await seen.until_one(lambda one: isinstance(one, InterfaceSeen))
            assert [type(one) for one in seen] == [SwitchAnswered, InterfaceSeen]
            switch.tell({"Bridge": {"b": {"old": {}}}, "Port": {"p": {"old": {}}}})
            await seen.until_one(lambda one: isinstance(one, BridgeGone))
            [gone] = [one for one in seen if isinstance(one, InterfaceGone)]
            assert not gone.has_device
        await end(task)

    asyncio.run(story())


def test_a_host_without_a_switch_says_so_once_and_looks_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        seen = Seen()
        sensor = OpenVswitch(tmp_path / "db.sock")
        task = asyncio.create_task(sensor.run(seen.append))
        await asyncio.sleep(0.7)
        assert sensor.state == "there is none on this host"
        assert seen == []
        async with SwitchStandIn(tmp_path).serving():
            await seen.until_one(lambda one: isinstance(one, SwitchAnswered))
        await end(task)

    with caplog.at_level(logging.INFO):
        asyncio.run(story())
    assert [one.message for one in caplog.records].count(
        "Open vSwitch: there is none on this host"
    ) == 1


def test_what_was_taken_out_while_nobody_looked_is_said_once(tmp_path: Path) -> None:
    async def story() -> None:
        seen = Seen()
        known = [("br", "eth9", "eth9"), ("br", "eth8", "eth8")]
        sensor = OpenVswitch(tmp_path / "db.sock", recorded=lambda: known)
        task = asyncio.create_task(sensor.run(seen.append))
        stand_in = SwitchStandIn(tmp_path)
        for _ in range(2):
            async with stand_in.serving():
                await seen.until_one(lambda one: isinstance(one, InterfaceSeen))
            await seen.until_one(lambda one: isinstance(one, SwitchAway))
        [gone] = [one for one in seen if isinstance(one, InterfaceGone)]
        assert (gone.interface, gone.has_device) == ("eth8", False)
        assert seen.index(gone) == 1, "before what is there is taken for all"
        await end(task)

    asyncio.run(story())


def rows(**interface: object) -> dict[str, dict[str, dict[str, object]]]:
    return {
        "Bridge": {"b": {"name": "br", "ports": ["p"]}},
        "Port": {"p": {"name": "bond", "interfaces": ["i", "j"]}},
        "Interface": {
            "i": {"name": "eth8", "type": "", **interface},
            "j": {"name": "eth9", "type": ""},
            "k": {"name": "of no port", "type": ""},
        },
    }


@pytest.mark.parametrize(
    ("columns", "field", "value"),
    [
        ({"bfd": {"enable": "true"}, "bfd_status": {"state": "down"}}, "bfd", "down"),
        ({"bfd": {"enable": "false"}, "bfd_status": {"state": "down"}}, "bfd", ""),
        ({"bfd_status": {"state": "down"}}, "bfd", ""),
        ({"lacp_current": False}, "lacp", "lost"),
        ({"lacp_current": [True]}, "lacp", "current"),
        ({"lacp_current": []}, "lacp", ""),
        ({"external_ids": {"vm-id": "web"}}, "vm", "web"),
        ({"error": []}, "error", ""),
        ({"error": "no such device"}, "error", "no such device"),
        ({"link_state": "down"}, "link", "down"),
        ({}, "is_uplink", True),
        ({"type": "internal"}, "is_uplink", False),
        ({"type": "internal", "external_ids": {"holdfast": "uplink"}}, "is_uplink", True),
    ],
)
def test_columns_mean(columns: dict[str, object], field: str, value: object) -> None:
    found = {one.interface: one for one in interfaces(rows(**columns))}
    assert set(found) == {"eth8", "eth9"}
    assert getattr(found["eth8"], field) == value
    assert found["eth9"].members == 2


def test_a_port_that_gets_another_tag_is_worth_recording_and_a_link_is_not(tmp_path: Path) -> None:
    """Made anew with the tag that it had before, it would reach somebody else's network."""

    async def story() -> None:
        stand_in, seen, told = SwitchStandIn(tmp_path), Seen(), asyncio.Event()
        sensor = OpenVswitch(stand_in.path, port_set=told.set)
        task = asyncio.create_task(sensor.run(seen.append))
        async with stand_in.serving() as switch:
            await seen.until_one(lambda one: isinstance(one, InterfaceSeen))
            told.clear()
            row = switch.state["Interface"]["i"]["new"]
            switch.tell({"Interface": {"i": {"new": row | {"error": "no such device"}}}})
            await seen.until_one(lambda one: isinstance(one, InterfaceSeen) and bool(one.error))
            assert not told.is_set()
            port = switch.state["Port"]["p"]["new"]
            switch.tell({"Port": {"p": {"new": port | {"tag": 7}}}})
            async with asyncio.timeout(10):
                await told.wait()
        await end(task)

    asyncio.run(story())
