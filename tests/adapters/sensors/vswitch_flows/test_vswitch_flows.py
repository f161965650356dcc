"""Flows are counted as they change, without ours; a bridge that hangs delays no other one."""

import asyncio
import logging
from pathlib import Path

import pytest

from holdfast.adapters.drivers.canary import COOKIE
from holdfast.adapters.sensors.vswitch_flows import VswitchFlows
from holdfast.facts.vswitch import FlowsCounted
from tests.adapters.contract_sensor import end
from tests.adapters.switch_stand_in import Seen, SwitchStandIn


async def counted(seen: Seen, flows: list[int]) -> None:
    await seen.until(lambda all_: [o.flows for o in all_ if isinstance(o, FlowsCounted)] == flows)


def test_counts_are_said_when_they_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        seen = Seen()
        async with SwitchStandIn(tmp_path).serving() as switch:
            switch.flows = {None: 12, COOKIE: 2}
            sensor = VswitchFlows(lambda: ["br", "of nobody"], folder=tmp_path)
            task = asyncio.create_task(sensor.run(seen.append))
            await counted(seen, [10])
            switch.flows[None] = 2
            await counted(seen, [10, 0])
            switch.drop()  # Whoever comes after it may have other flows.
            await counted(seen, [10, 0, 0])
            await end(task)

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    # Named once, however often it is tried.
    told = [one.message for one in caplog.records if "of nobody" in one.message]
    assert told == ["the flows of of nobody cannot be counted: its daemon is not there"]


def test_little_changes_of_a_bridge_that_learns_are_not_said_each(tmp_path: Path) -> None:
    async def story() -> None:
        seen = Seen()
        async with SwitchStandIn(tmp_path).serving() as switch:
            switch.flows = {None: 100}
            sensor = VswitchFlows(lambda: ["br"], folder=tmp_path, recorded=lambda _: 90)
            task = asyncio.create_task(sensor.run(seen.append))
            await counted(seen, [100])
            for flows in (101, 99, 82):
                switch.flows[None] = flows
                await asyncio.sleep(0.3)
            await counted(seen, [100])
            switch.flows[None] = 79
            await counted(seen, [100, 79])
            assert all(one.recorded == 90 for one in seen if isinstance(one, FlowsCounted))
            await end(task)

    asyncio.run(story())


def test_a_bridge_that_is_no_more_is_watched_no_more(tmp_path: Path) -> None:
    async def story() -> None:
        seen = Seen()
        bridges = ["br"]
        async with SwitchStandIn(tmp_path).serving() as switch:
            task = asyncio.create_task(
                VswitchFlows(lambda: bridges, folder=tmp_path).run(seen.append)
            )
            await counted(seen, [5])
            bridges.clear()
            await asyncio.sleep(1.5)
            switch.flows[None] = 1
            await asyncio.sleep(0.5)
            await counted(seen, [5])
            await end(task)

    asyncio.run(story())
