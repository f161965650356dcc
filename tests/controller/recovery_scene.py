"""A leader whose store is in memory, a ladder of fence devices, and a target that answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.agents import Agents, Link
from holdfast.controller.recovering import Recoverer
from holdfast.controller.registry import Known, Registry
from holdfast.facts import actions as act
from holdfast.facts import wire
from holdfast.facts.definitions import VmDefinition, VmNeeds
from holdfast.facts.fencing import Fence, FenceDevice, FenceStep, HostFencing, HostMode
from holdfast.facts.outcomes import SiteOutcome
from holdfast.facts.promises import Answer, Protection
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.tenure import DeathProof, ProofKind, Tenure, TenureState, Wanted
from holdfast.ports.fencer import FenceFailed, PowerState

PROOF = DeathProof(kind=ProofKind.POWER, host="h4", boot="b1", shown=("its power is off",))
FOR_EVER_MS = 1 << 60


class Ladder:
    """Devices by agent name: one that works gives the proof, others a sentence."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.works = {"fence_b"}
        self.before: Callable[[], Awaitable[None]] | None = None

    async def check(self, device: FenceDevice) -> None:
        raise NotImplementedError

    async def power(self, device: FenceDevice) -> PowerState:
        raise NotImplementedError

    async def switch_off(self, fence: Fence, device: FenceDevice) -> DeathProof:
        self.asked.append(device.agent)
        if self.before is not None:
            await self.before()
        if device.agent not in self.works:
            raise FenceFailed("it does not answer")
        return structs.replace(PROOF, host=fence.host, boot=fence.boot, earlier=fence.earlier)


class Scene:
    """A leader with a store in memory, and one target whose agent answers as `reply` says."""

    def __init__(self) -> None:
        self.store = StoreInMemory()
        self.term: int | None = None
        self.registry = Registry(self.store, lambda: self.term)
        self.agents = Agents(ShelfInMemory())
        self.ladder, self.came = Ladder(), list[SiteOutcome]()
        self.asked: list[wire.Question] = []
        self.lost_ms, self.hindrance = 4_000, ""
        self.reply: dict[str, Any] | None = {"is_taken": True}
        self.recoverer = Recoverer(
            registry=self.registry,
            agents=self.agents,
            fencer=self.ladder,
            term=lambda: self.term,
            consume=self.came.append,
            fault_age_ms=lambda _: self.lost_ms,
            hindrance=lambda _: self.hindrance,
        )

    async def begin(self) -> None:
        self.term = await self.store.begin_term("c1", 10_000)
        assert self.term is not None
        await self.registry.begin(self.term)
        devices = (FenceDevice(agent="fence_a"), FenceDevice(agent="fence_b"))
        await self.put("fencing/h4", HostFencing(host="h4", mode=HostMode.ACT, devices=devices))
        await self.put("agents/h4", Known(host="h4", host_name="four", boot="b1", state_id="s"))
        await self.put("protections/web", protection())
        await self.put("definitions/web", DEFINITION)
        self.link()

    def link(self, boot: str = "t1") -> None:
        async def send(frame: wire.Frame) -> None:
            assert isinstance(frame, wire.Question)
            self.asked.append(frame)
            if self.reply is not None:
                link.replied(wire.Reply(id=frame.id, data=self.reply))
            else:
                link.broke()

        link = Link(send, lambda: None)
        hello = wire.Hello(
            version=wire.VERSION, host="h1", host_name="h1", boot=boot, state_id="s", stream="x"
        )
        self.agents.greeted(hello, link)

    async def put(self, key: str, value: msgspec.Struct | None) -> None:
        await self.registry.change(lambda: {key: value})

    async def do(self, action: act.Action) -> None:
        self.recoverer.carry_out(action)
        for _ in range(200):
            await asyncio.sleep(0)

    @property
    def fence(self) -> Fence | None:
        return self.registry.fence("h4")

    @property
    def tenure(self) -> Tenure:
        held = self.registry.protection("web")
        assert held is not None
        return held.tenure


NEEDS = VmNeeds(memory_mib=100, vcpus=1)
DEFINITION = VmDefinition(vm="web", name="web", xml="<domain/>", needs=NEEDS)


def protection(**changes: Any) -> Protection:
    tenure = Tenure(
        vm="web",
        generation=1,
        host="h4",
        boot="b1",
        state=TenureState.HELD,
        wanted=Wanted.RUNNING,
    )
    return Protection(
        vm="web",
        name="web",
        group="default",
        answer=Answer(),
        tenure=structs.replace(tenure, **changes),
    )


def intent(term: int | None, **changes: Any) -> Fence:
    made = Fence(
        host="h4",
        name="four",
        boot="b1",
        incident="four-1a2b",
        number=1,
        term=term or 0,
        step=FenceStep.INTENDED,
        reason="it is silent",
    )
    return structs.replace(made, **changes)


def recovery(term: int | None, **changes: Any) -> Recovery:
    made = Recovery(
        vm="web",
        name="web",
        generation=2,
        incident="four-1a2b",
        source="h4",
        target="h1",
        target_boot="t1",
        proof=PROOF,
        term=term or 0,
        step=RecoveryStep.PLACED,
    )
    return structs.replace(made, **changes)


def run(work: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        scene = Scene()
        await scene.begin()
        await work(scene)
        scene.recoverer.close()
        await scene.store.close()

    asyncio.run(whole())


async def fence_proven(scene: Scene) -> None:
    await scene.do(act.PutFence(fence=intent(scene.term)))
    off = intent(scene.term, step=FenceStep.OFF, proof=PROOF)
    await scene.do(act.PutFence(fence=off))
