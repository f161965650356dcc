"""A rehearsal makes way for a fence, and follows one that went wrong.

covers: H5 H7
"""

import asyncio
from pathlib import Path

from holdfast.facts.fencing import DeviceTried, FenceStep, Rehearsal
from holdfast.ports import clock
from holdfast.ports.fencer import PowerState
from tests.controller.fake_agent import ask, ask_all, wait_for
from tests.controller.fake_fencer import FakeFencer
from tests.controller.test_fencing import IPMI, a_fence, house_with_a_host


def test_a_host_that_is_back_after_its_devices_had_failed_is_rehearsed_at_once(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": None})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            registry = house.controller.registry
            failed = DeviceTried(agent="fence_ipmilan", is_well=False, said="it said nothing")
            newest = Rehearsal(host="host-a", devices=(failed,), utc_ms=clock.utc_ms())
            await registry.change(lambda: {"rehearsals/host-a": newest})
            await registry.change(lambda: {"fences/host-a": a_fence(FenceStep.OFF)})
            fencer.bmcs["10.0.9.4"] = PowerState.ON
            await registry.change(lambda: {"fences/host-a": a_fence(FenceStep.CLOSED)})
            await wait_for(lambda: registry.rehearsal("host-a") != newest)
            found = registry.rehearsal("host-a")
            assert found is not None
            assert found.is_well

    asyncio.run(work())


def test_a_rehearsal_makes_way_for_a_fence(tmp_path: Path) -> None:
    """A BMC that serves one at a time must be free for it."""

    async def work() -> None:
        fencer = FakeFencer(bmcs={"10.0.9.4": None})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            await ask(house.socket, "fence-set", host="host-a", **IPMI)
            asking = asyncio.create_task(ask_all(house.socket, "fence-rehearse", host="host-a"))
            await wait_for(lambda: fencer.asked)
            fence = a_fence(FenceStep.INTENDED)
            await house.controller.registry.change(lambda: {"fences/host-a": fence})
            assert (await asking).error == "host-a is being fenced now: its devices are in use"
            fencer.bmcs["10.0.9.4"] = PowerState.ON
            await asyncio.sleep(0.1)
            assert house.controller.registry.rehearsal("host-a") is None

    asyncio.run(work())
