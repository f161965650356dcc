"""BMCs in memory: each is known by its address, and asked as a fence agent would ask it."""

import asyncio
from dataclasses import dataclass, field

from holdfast.adapters.drivers.person_proof import confirmed_dead
from holdfast.facts.fencing import Fence, FenceDevice
from holdfast.facts.tenure import DeathProof
from holdfast.ports.fencer import FenceFailed, PowerState

AGENT, SECRET = "fence_ipmilan", "Zo3Pk9-hidden"


@dataclass
class FakeFencer:
    """`bmcs`: by the option `ip` the power, or a sentence why it does not say, or None: it hangs
    until that is another.
    Agents need `ip`; `repeats` says its whole input in every error, as some agents do."""

    installed: tuple[str, ...] = (AGENT, "fence_redfish")
    bmcs: dict[str, PowerState | str | None] = field(default_factory=dict)
    repeats: bool = False
    asked: list[str] = field(default_factory=list)

    async def check(self, device: FenceDevice) -> None:
        if device.agent not in self.installed:
            raise FenceFailed(f"{device.agent} is not installed on this controller")
        if "ip" not in device.options:
            raise self._failed(f"{device.agent} needs the option ip", device)

    async def power(self, device: FenceDevice) -> PowerState:
        ip = device.options["ip"]
        self.asked.append(ip)
        while (said := self.bmcs.get(ip, "does not answer")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if not isinstance(said, PowerState):
            raise self._failed(str(said), device)
        return said

    async def switch_off(self, fence: Fence, device: FenceDevice) -> DeathProof:
        self.bmcs[device.options["ip"]] = PowerState.OFF
        return confirmed_dead(fence, "the test", "its power was read back off")

    def _failed(self, text: str, device: FenceDevice) -> FenceFailed:
        words = [f"{k}={v}" for k, v in {**device.options, **device.secrets}.items()]
        return FenceFailed(f"{text} ({', '.join(words)})" if self.repeats else text)
