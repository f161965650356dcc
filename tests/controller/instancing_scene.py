"""A leader that holds the number of a group's VMs, and hosts that do as a test says.

Its store is in memory. Agents start VMs, refuse them, or do not answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller import instance_wishes
from holdfast.controller.agents import Agents, Link
from holdfast.controller.instance_wishes import InstanceWish
from holdfast.controller.instancing import Instances
from holdfast.controller.registry import Registry
from holdfast.controller.site_feed import SiteFeed
from holdfast.facts import wire
from holdfast.facts.instances import Instance, InstanceStep
from holdfast.facts.promises import Group, LocalDisk, Protection
from holdfast.facts.site import HostVm, SiteFact, VmsSet
from holdfast.facts.tenure import Tenure
from tests.policy.fence_scene import FenceScene
from tests.policy.site_scene import boot_of

XML = """<domain type='kvm'><name>web</name><uuid>5a1c7a5e-0000-4000-8000-000000000001</uuid>
  <memory unit='MiB'>1000</memory><vcpu>1</vcpu><devices>
  <disk type='file' device='disk'><driver type='qcow2'/><source file='/vms/web.qcow2'/>
  <target dev='vda'/></disk>
  <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>
  </devices></domain>"""
IMAGES = {"vda": "/images/base.qcow2"}
GROUP = "front"


class Scene:
    """Hosts h1 to h3 have room. `refuses` are those whose agents refuse a start; `deaf` those
    whose links break; of `hangs` there is no answer at all."""

    def __init__(self) -> None:
        self.site = FenceScene(hosts=3)
        for vm in list(self.site.world.promises):
            del self.site.world.promises[vm]
        self.store = StoreInMemory()
        self.term: int | None = None
        self.registry = Registry(self.store, lambda: self.term)
        self.agents = Agents(ShelfInMemory())
        self.refuses: dict[str, str] = {}
        self.deaf: set[str] = set()
        self.hangs: set[str] = set()
        self.patience_s = 1.0
        self.started: list[tuple[str, str, int]] = []  # Name, host, generation.
        self.running: dict[str, dict[str, HostVm]] = {f"h{n}": {} for n in (1, 2, 3)}
        self.rebuilds: list[Any] = []
        self.said: list[str] = []
        self.begin_anew()

    def begin_anew(self) -> None:
        """Another program comes to lead: it knows what the store says."""
        self.instances = Instances(
            registry=self.registry,
            agents=self.agents,
            world=self.site.world,
            term=lambda: self.term,
            say=self.said.append,
            patience_s=self.patience_s,
        )

    async def begin(self) -> None:
        self.term = await self.store.begin_term("c1", 10_000)
        assert self.term is not None
        await self.registry.begin(self.term)
        SiteFeed(self.registry, self._tell, self.site.world)
        for host in self.running:
            self.link(host)
        group = Group(name=GROUP, local_disk=LocalDisk.REBUILD, images=IMAGES, restarts=3)
        await self.registry.change(lambda: {f"groups/{GROUP}": group})

    def _tell(self, fact: SiteFact) -> None:
        """On the clock of the scene."""
        self.site.give(structs.replace(fact, at=self.site.now))

    def link(self, host: str) -> None:
        async def send(frame: wire.Frame) -> None:
            assert isinstance(frame, wire.Question)
            if host in self.hangs:
                return
            if host in self.deaf:
                link.broke()
                return
            link.replied(wire.Reply(id=frame.id, data=self._answer(host, frame)))

        link = Link(send, lambda: None)
        hello = wire.Hello(
            version=wire.VERSION,
            host=host,
            host_name=host,
            boot=boot_of(host, 1),
            state_id="s",
            stream="x",
        )
        self.agents.greeted(hello, link)

    def _answer(self, host: str, asked: wire.Question) -> Any:
        if asked.name == "take-back":
            self.running[host].pop(str(asked.args["vm"]), None)
            return {"is_gone": True, "reason": ""}
        assert asked.name == "start-here"
        held = msgspec.convert(asked.args["protection"], Protection)
        if host in self.refuses:
            return {"is_taken": False, "reason": self.refuses[host]}
        if held.vm not in self.running[host]:
            self.started.append((held.name, host, held.tenure.generation))
            self.rebuilds.append(asked.args["rebuilds"])
        self.running[host][held.vm] = HostVm(
            vm=held.vm,
            name=held.name,
            memory_mib=1_000,
            generation=held.tenure.generation,
            is_serving=True,
        )
        return {"is_taken": True, "reason": ""}

    async def set(self, **wish: Any) -> None:
        made = InstanceWish(**wish)
        instance_wishes.check(self.registry, GROUP, made)
        await self.registry.change(lambda: instance_wishes.apply(self.registry, GROUP, made, "ann"))

    def tell(self, *given_up: str) -> None:
        """Agents say what runs; of these VMs that they gave them up."""
        for host, vms in self.running.items():
            lost = tuple(one for one in vms.values() if one.name in given_up)
            runs = tuple(one for one in vms.values() if one.name not in given_up)
            fact = VmsSet(
                at=self.site.now, host=host, boot=boot_of(host, 1), vms=runs, given_up=lost
            )
            self.site.give(fact)

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.instances.look()
            self.tell()

    def steps(self) -> dict[str, InstanceStep]:
        return {one.name: one.step for one in self.registry.instances(GROUP)}

    def one(self, name: str) -> Instance:
        return next(one for one in self.registry.instances(GROUP) if one.name == name)

    def tenure(self, name: str) -> Tenure:
        held = self.registry.protection(self.one(name).vm)
        assert held is not None
        return held.tenure

    def names(self) -> list[str]:
        """Of all that run, on whatever host."""
        return sorted(one.name for vms in self.running.values() for one in vms.values())


def run(work: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        scene = Scene()
        await scene.begin()
        async with asyncio.timeout(30):
            await work(scene)
        await scene.store.close()

    asyncio.run(whole())
