"""An agent that may be told to start a VM of a dead host: real policy, loop and executor."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.agent.answers import Answers
from holdfast.agent.executor import Executor
from holdfast.agent.loop import Loop, now
from holdfast.agent.questions import PLAIN, Questions
from holdfast.agent.starting import Starting
from holdfast.agent.view import View
from holdfast.detectors.panel import Panel
from holdfast.facts import actions as act
from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts import wire
from holdfast.facts.definitions import HostSize, Rebuild, RebuiltDisk, VmDefinition, VmNeeds
from holdfast.facts.instants import Instant
from holdfast.facts.outcomes import Outcome
from holdfast.facts.promises import Protection
from holdfast.facts.verdicts import VmProcessEnded
from holdfast.policy import promise
from holdfast.policy.decide import Decider
from holdfast.policy.world import VmRecord
from tests.agent.scene import BOOT, HOST, domain_of, life_of, protection_of, wait_for

TAKE_BACK_LIMIT_S = 0.5
VM, NAME = "vm-1", "web-vm-1"
XML = f"""<domain type='kvm'><name>{NAME}</name><uuid>{VM}</uuid><memory unit='MiB'>512</memory>
  <on_crash>destroy</on_crash><devices>
  <disk type='file' device='disk'><source file='/srv/web.img'/></disk>
  <interface type='bridge'><source bridge='br0'/></interface></devices></domain>"""
DEFINITION = VmDefinition(
    vm=VM, name=NAME, xml=XML, needs=VmNeeds(memory_mib=512, vcpus=1, bridges=("br0",))
)


class Disk(JournalInMemory):
    """A journal that says what was on the disk when; it is full, or slow, when a test says so."""

    def __init__(self, decider: Decider) -> None:
        super().__init__(1, lambda: decider.world)
        self.synced: list[str] = []
        self.may_sync = True

    def sync(self) -> None:
        if self.may_sync:
            self.synced = [str(bytes(r.body)) for r in self.records() if r.kind == "input"]
        else:
            self.is_full = True
            self.append("note", Instant(0), b"{}")

    def has(self, fact: str) -> bool:
        return any(f'"is":"{fact}"' in line for line in self.synced)


class Quiet:
    def report(self, action: act.Report) -> None:
        pass

    def tell_tenure(self, action: act.TellTenure) -> None:
        pass

    def tell_incident(self, action: act.TellIncident) -> None:
        pass


class Host(HypervisorInMemory):
    """It notes what was on the disk when a VM was started, and reports ends as sensors do."""

    def __init__(self) -> None:
        super().__init__(BOOT)
        self.has = HostSize(memory_mib=4_096, cpus=4, bridges=("br0",))
        self.on_start: Callable[[], None] = lambda: None
        self.on_end: Callable[[str], None] = lambda _: None
        self.on_rebuild: Callable[[], None] = lambda: None

    async def start(self, vm: str, limit_ms: int = 60_000) -> Any:
        self.on_start()
        return await super().start(vm, limit_ms)

    async def rebuild(self, vm: str, rebuild: Rebuild, limit_ms: int = 60_000) -> None:
        self.on_rebuild()
        await super().rebuild(vm, rebuild, limit_ms)

    def kill(self, vm: str, reason: str = "crashed") -> None:
        super().kill(vm, reason)
        self.on_end(vm)


class Scene:
    def __init__(self) -> None:
        self.decider = Decider()
        self.disk = Disk(self.decider)
        self.hypervisor = Host()
        self.started_with: list[bool] = []
        self.made_with: list[bool] = []
        self.hypervisor.on_start = lambda: self.started_with.append(self.disk.has("StartOrdered"))
        self.hypervisor.on_rebuild = lambda: self.made_with.append(self.disk.has("StartOrdered"))
        self.hypervisor.on_end = self._ended
        self.loop = Loop(Panel({}), self.decider, self.disk, self._act)
        self.starting = Starting(self.loop, self.hypervisor, self.disk, TAKE_BACK_LIMIT_S)
        self.executor = Executor(
            hypervisor=self.hypervisor,
            uplink=Quiet(),
            answers=Answers(self.hypervisor, lambda _: True, lambda _: False),
            capture=self._capture,
            await_end=self._await_end,
            host=HOST,
            boot=BOOT,
            may_start=lambda asked: promise.may_start(self.decider.world, asked),
            consume=self.loop.consume,
            is_kept=self.starting.is_kept,
        )
        self.questions = Questions()
        self.starting.add_to(self.questions)
        self.view = View(self.loop, dict, lambda _: "")
        self.loop.consume(told.Booted(at=now(), host=HOST, host_name="h", boot=BOOT, state_id="s"))

    def _act(self, action: act.Action) -> None:
        self.executor.carry_out(action)

    def _ended(self, _vm: str) -> None:
        life = self.record.life
        if life is not None:
            self.loop.consume(VmProcessEnded(life=life, at=now()))

    async def _capture(self, asked: act.CaptureLastWords) -> Outcome:
        return came.LastWordsFailed(incident=asked.incident, at=now(), reason="none")

    async def _await_end(self, _vm: str, _limit_s: float) -> None:
        await asyncio.sleep(0)

    @property
    def record(self) -> VmRecord:
        return self.decider.world.vms[VM]

    def summary(self) -> wire.VmSummary:
        return next(one for one in self.view.vms() if one.vm == VM)

    async def order(
        self,
        generation: int = 2,
        definition: VmDefinition = DEFINITION,
        rebuilds: tuple[RebuiltDisk, ...] = (),
        **fields: Any,
    ) -> wire.Reply:
        args = {
            "protection": PLAIN(ordered(generation, **fields)),
            "definition": PLAIN(definition),
            "was": "h4",
            "fault_age_ms": 2_000,
            "incident": "h4-1a2b",
            "rebuilds": PLAIN(rebuilds),
        }
        return await self.questions.answer(wire.Question(id=1, name="start-here", args=args))

    async def taken(self, generation: int = 2, **fields: Any) -> None:
        reply = await self.order(generation, **fields)
        assert reply.data == {"is_taken": True, "reason": ""}, reply

    async def refused(self, generation: int = 2, **fields: Any) -> str:
        reply = await self.order(generation, **fields)
        assert reply.data["is_taken"] is False, reply
        assert self.disk.has("StartRefused"), "a refusal is on the disk before it is said"
        return str(reply.data["reason"])

    async def take_back(self, generation: int = 2) -> Any:
        args = {"vm": VM, "generation": generation}
        reply = await self.questions.answer(wire.Question(id=1, name="take-back", args=args))
        return reply.data or reply

    async def runs(self) -> None:
        await wait_for(lambda: self.hypervisor.life(VM), "it runs")
        await wait_for(lambda: self.record.runs, "policy knows that it runs")


def ordered(generation: int = 2, **fields: Any) -> Protection:
    kept = protection_of(VM)
    tenure = structs.replace(kept.tenure, generation=generation, **fields)
    return structs.replace(kept, name=NAME, tenure=tenure)


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        scene = Scene()
        try:
            async with asyncio.timeout(30):
                await story(scene)
        finally:
            await scene.executor.close()
            scene.loop.close()

    asyncio.run(whole())


def run_unasked(scene: Scene) -> None:
    scene.hypervisor.add(domain_of(VM))
    scene.loop.consume(
        came.VmStarted(incident="none", at=now(), life=life_of(VM))  # Somebody started it.
    )
