"""A leader that moves a VM between two hosts: a store in memory, agents that answer as told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.agents import Agents, Link
from holdfast.controller.migrating import Migrating
from holdfast.controller.registry import Known, Registry
from holdfast.facts import actions as act
from holdfast.facts import wire
from holdfast.facts.definitions import VmDefinition, VmNeeds
from holdfast.facts.migrations import End, Migration, MigrationStep
from holdfast.facts.outcomes import SiteOutcome
from holdfast.facts.promises import Answer, Protection
from holdfast.facts.tenure import DeathProof, ProofKind, Tenure, TenureState, Wanted

DEFINITION = VmDefinition(
    vm="web", name="web", xml="<domain/>", needs=VmNeeds(memory_mib=100, vcpus=1)
)
HELD = Tenure(
    vm="web",
    generation=1,
    host="h1",
    boot="b1",
    state=TenureState.HELD,
    wanted=Wanted.RUNNING,
    revision=3,
)
PROOF = DeathProof(kind=ProofKind.POWER, host="h1", boot="b1", shown=("its power is off",))


class Scene:
    """A leader with a store in memory; `replies` of both agents are by the question's name."""

    def __init__(self) -> None:
        self.store = StoreInMemory()
        self.term: int | None = None
        self.registry = Registry(self.store, lambda: self.term)
        self.agents = Agents(ShelfInMemory())
        self.came = list[SiteOutcome]()
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.greeted: list[str] = []
        self.said: list[str] = []
        self.replies: dict[tuple[str, str], dict[str, Any] | None] = {
            ("h2", "migrate-in"): {"port": 7314},
            ("h1", "migrate-out"): {"refusal": ""},
            ("h1", "migrate-cancel"): {},
            ("h1", "migration-look"): {"end": "moving", "progress": {"total_bytes": 10}},
            ("h2", "migration-look"): {"end": "moving"},
            ("h1", "migration-end"): {},
            ("h2", "migration-end"): {},
        }
        self.migrating = Migrating(
            registry=self.registry,
            agents=self.agents,
            term=lambda: self.term,
            consume=self.came.append,
            greet_anew=self.greeted.append,
            say=self.said.append,
        )

    async def begin(self) -> None:
        self.term = await self.store.begin_term("c1", 10_000)
        assert self.term is not None
        await self.registry.begin(self.term)
        for host in ("h1", "h2"):
            known = Known(
                host=host,
                host_name=host,
                boot=f"b{host[1]}",
                state_id="s",
                addresses={"a": f"10.0.0.{host[1]}"},
            )
            await self.put(f"agents/{host}", known)
            self.link(host)
        await self.hold(HELD)
        await self.put("definitions/web", DEFINITION)

    async def hold(self, tenure: Tenure) -> None:
        await self.put(
            "protections/web",
            Protection(vm="web", name="web", group="default", answer=Answer(), tenure=tenure),
        )

    def link(self, host: str, tenures: tuple[Tenure, ...] = ()) -> None:
        async def send(frame: wire.Frame) -> None:
            assert isinstance(frame, wire.Question)
            self.asked.append((host, frame.name, frame.args))
            reply = self.replies[host, frame.name]
            if reply is None:
                link.broke()
            else:
                link.replied(wire.Reply(id=frame.id, data=reply))

        link = Link(send, lambda: None)
        hello = wire.Hello(
            version=wire.VERSION,
            host=host,
            host_name=host,
            boot=f"b{host[1]}",
            state_id="s",
            stream="x",
            tenures=tenures,
        )
        self.agents.greeted(hello, link)

    async def put(self, key: str, value: msgspec.Struct | None) -> None:
        await self.registry.change(lambda: {key: value})

    async def do(self, action: act.Action) -> None:
        self.migrating.carry_out(action)
        for _ in range(200):
            await asyncio.sleep(0)

    async def put_step(self, **changes: Any) -> None:
        await self.do(act.PutMigration(migration=migration(self.term, **changes)))

    @property
    def tenure(self) -> Tenure:
        held = self.registry.protection("web")
        assert held is not None
        return held.tenure

    @property
    def step(self) -> MigrationStep | None:
        known = self.registry.migration("web")
        return known.step if known is not None else None

    @property
    def questions(self) -> list[tuple[str, str]]:
        return [(host, name) for host, name, _ in self.asked]


def migration(leads: int | None, **changes: Any) -> Migration:
    made = Migration(
        vm="web",
        name="web",
        number=1,
        generation=1,
        revision=4,
        source="h1",
        source_boot="b1",
        target="h2",
        target_boot="b2",
        term=leads or 0,
        step=MigrationStep.BEGUN,
        limit_s=300,
        by="ann",
    )
    return structs.replace(made, **changes)


DONE = {"step": MigrationStep.DONE, "source_end": End.NOTHING, "target_end": End.RUNS}
UNDONE = {"step": MigrationStep.UNDONE, "source_end": End.RUNS, "target_end": End.NOTHING}


def run(work: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        scene = Scene()
        await scene.begin()
        await work(scene)
        scene.migrating.close()
        await scene.store.close()

    asyncio.run(whole())
