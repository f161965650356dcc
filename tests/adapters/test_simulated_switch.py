"""The switch in memory keeps the contract of its port."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast.adapters.simulated.switch import SwitchInMemory
from holdfast.ports.switch import NotMended, Switch
from tests.adapters.contract_switch import SwitchContract


class TestSwitchInMemory(SwitchContract):
    refusal = NotMended

    @pytest.fixture(autouse=True)
    def _switch(self) -> None:
        self.switch = SwitchInMemory({"br-vm": 10}, {"vm1"}, {"up1"})

    def mend(self, act: str, *words: str) -> str:
        switch: Switch = self.switch
        acts: dict[str, Callable[..., Awaitable[str | None]]] = {
            "record": switch.record,
            "restore_flows": switch.restore_flows,
            "rebuild_port": switch.rebuild_port,
            "raise_link": switch.raise_link,
        }

        async def done() -> str | None:
            return await acts[act](*words)

        return asyncio.run(done()) or ""

    def count_flows(self) -> int:
        return self.switch.flows["br-vm"]

    def lose_flows(self) -> None:
        self.switch.flows["br-vm"] = 0

    def lose_port(self) -> None:
        self.switch.ports.discard("vm1")

    def has_port(self) -> bool:
        return "vm1" in self.switch.ports

    def lower_link(self) -> None:
        self.switch.links_up.discard("up1")

    def test_an_obstacle_is_named(self) -> None:
        self.switch.obstacle = "its tools are not there"
        with pytest.raises(NotMended, match="its tools are not there"):
            self.mend("raise_link", "up1")
