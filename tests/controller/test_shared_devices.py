"""One fence device for two hosts is refused when it is set, and unwell where it was stored.

covers: H9
"""

import asyncio
from pathlib import Path

from holdfast.controller.registry import Known
from holdfast.facts.fencing import FenceDevice, HostFencing
from holdfast.ports.fencer import PowerState
from tests.controller.fake_agent import FakeAgent, ask, ask_all
from tests.controller.fake_fencer import AGENT, FakeFencer
from tests.controller.test_fencing import IPMI, house_with_a_host
from tests.controller.test_rehearsal import Ladders


def known_host(host: str) -> Known:
    return Known(host=host, host_name=host, boot="b", state_id="s")


def test_the_device_of_another_host_is_refused_and_a_plug_of_its_own_is_not(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            other = FakeAgent(house.socket, host="host-b", state_id="state-b", stream="b.x")
            async with other.link():
                await ask(house.socket, "fence-set", host="host-a", **IPMI)
                reply = await ask_all(house.socket, "fence-set", host="host-b", **IPMI)
                assert reply.error == (
                    f"{AGENT} is the device of host-a as well: a fence of host-b would switch off"
                    " the wrong host"
                )
                assert "its own plug" in reply.hint
                assert not house.controller.registry.fencing("host-b").devices
                await ask(house.socket, "fence-set", host="host-a", level=2, **IPMI)
                args = IPMI | {"options": IPMI["options"] | {"ip": "10.0.9.5"}}
                await ask(house.socket, "fence-set", host="host-b", **args)

    asyncio.run(work())


def test_a_device_that_was_stored_for_two_hosts_is_well_for_neither(tmp_path: Path) -> None:
    async def work() -> None:
        fencer = FakeFencer(bmcs={"h0": PowerState.ON})
        async with house_with_a_host(tmp_path, fencer) as (house, _):
            ladders = Ladders(house, fencer)
            await ladders.set(1)
            device = FenceDevice(agent=AGENT, options={"ip": "h0"})
            held = HostFencing(host="h9", devices=(device,))
            puts = {f"agents/{one}": known_host(one) for one in ("h0", "h9")}
            await house.controller.registry.change(lambda: {"fencing/h9": held, **puts})
            await ladders.rehearsals.rehearse(["h0", "h9"], "anna", 10.0)
            for host, other in (("h0", "h9"), ("h9", "h0")):
                newest = ladders.registry.rehearsal(host)
                assert newest is not None
                assert not newest.is_well
                assert newest.devices[0].said.startswith(f"is the device of {other} as well")

    asyncio.run(work())
