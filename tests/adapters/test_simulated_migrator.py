"""The migrator in memory keeps the contract of all migrators.

covers: H2
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.adapters.simulated.migrator import MigratorInMemory, Roads
from holdfast.ports.migrator import Place
from tests.adapters.contract_migrator import CONTRACT, Bench
from tests.agent.scene import domain_of


class BenchInMemory:
    def __init__(self) -> None:
        roads = Roads()
        self.vm = "vm-1"
        self.a = MigratorInMemory("a", HypervisorInMemory("boot-a"), roads)
        self.b = MigratorInMemory("b", HypervisorInMemory("boot-b"), roads)

    def place(self, port: int) -> Place:
        return Place(host="b", address="127.0.0.1", port=port)

    def hold(self) -> None:
        self.a.is_open.clear()

    def let_go(self) -> None:
        self.a.is_open.set()


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
def test_it_keeps_the_contract(rule: Callable[[Bench], Awaitable[Any]]) -> None:
    async def story() -> None:
        bench = BenchInMemory()
        bench.a.hypervisor.add(domain_of("vm-1"))
        await bench.a.hypervisor.start("vm-1")
        await rule(bench)

    asyncio.run(story())
