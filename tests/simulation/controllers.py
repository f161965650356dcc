"""A controller of a simulated site: the real parts, put together on its machine's own clock."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.simulated.cluster import StoreCluster
from holdfast.adapters.simulated.connection import End
from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.outbox import OutboxInMemory
from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.adapters.vims.builtin import Builtin
from holdfast.controller.agents import Agent, Agents, Link
from holdfast.controller.courier import Courier
from holdfast.controller.door import Door
from holdfast.controller.entries import Entries
from holdfast.controller.greeting import Greeter
from holdfast.controller.groups import Groups
from holdfast.controller.hearing import Hearing
from holdfast.controller.leadership import Leadership
from holdfast.controller.promises import Promises
from holdfast.controller.registry import Registry
from holdfast.controller.timings import Timings
from holdfast.controller.watch import Watch
from holdfast.controller.witnesses import Witnesses
from holdfast.facts import hearing as heard
from holdfast.facts import wire
from holdfast.facts.alarms import AlarmRecord, AlarmReport
from holdfast.facts.settings import ControllerPlace, Settings
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_world import SiteWorld
from holdfast.ports.keeper import keep_running
from tests.simulation.ears import SimulatedEar
from tests.simulation.probes import Carrier, address
from tests.simulation.receivers import Receiver, SimulatedWebhook

LOOK_S = 1.0


class Unasked:
    """What plays no part here: copies, last words of hosts, questions of people."""

    def add(self, pieces: Any) -> None:
        pass

    def take(self, host: str, frame: Any) -> None:
        pass

    async def answer(self, _question: Any) -> Any:
        return
        yield


class SiteAgents(Agents):
    """What agents tell, the watch hears too, as in the program's assembly."""

    def __init__(self, shelf: Shelf, controller: "SimulatedController") -> None:
        super().__init__(shelf)
        self._controller = controller

    def take_inventory(self, agent: Agent, vms: tuple[wire.VmSummary, ...]) -> None:
        super().take_inventory(agent, vms)
        self._controller.watch.set_vms(agent.host, agent.boot, vms)

    def left(self, agent: Agent, link: Link) -> None:
        was_its = agent.link is link
        super().left(agent, link)
        if was_its:
            self._controller.watch.left(agent)


class SimulatedController:
    """`begin` and `kill` it as often as wanted: what it must remember is on its machine's disk."""

    def __init__(
        self, machine: Machine, cluster: StoreCluster, receiver: Receiver, carrier: Carrier
    ) -> None:
        self.machine, self._cluster, self._receiver = machine, cluster, receiver
        self._carrier = carrier
        self._ear: SimulatedEar | None = None
        self.decider: SiteDecider | None = None
        self._ends: list[End] = []
        self.leadership: Leadership | None = None
        self.failed: list[str] = []

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def is_up(self) -> bool:
        return self.machine.can_run("controller")

    def leads(self) -> bool:
        """As it believes itself, by its own clock."""
        if not self.machine.runs("controller") or self.leadership is None:
            return False
        term = self.machine.loops["controller"].inside(lambda: self.leadership.term)  # type: ignore[union-attr]
        return term is not None

    def begin(self) -> None:
        process = self.machine.begin("controller")
        process.inside(self._make)
        process.create_task(self._run())

    def kill(self) -> None:
        """Its kernel tells those whom it was linked to."""
        self._remember()
        self.machine.kill("controller")
        self.machine.kill("ear")
        self.hang_up()

    def hang_up(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            end.abort()

    def lost_power(self) -> None:
        """Nobody is told."""
        self._remember()
        self._ends = []

    def _remember(self) -> None:
        """As its journal would give it back."""
        if self.decider is not None:
            self.machine.disk["site"] = msgspec.json.encode(self.decider.world)
        self.decider, self._ear = None, None

    def hear(self, data: bytes, plane: str, sender: str) -> None:
        """A pulse has arrived at its machine."""
        if self._ear is not None:
            self._ear.arrive(data, plane, sender)

    def hear_gasp(self, host: str, text: str) -> None:
        """A kernel's last words have."""
        if self._ear is not None:
            self._ear.gasp(host, text)

    def serve(self, end: End) -> bool:
        """An agent has dialed: whether somebody listens."""
        if not self.machine.runs("controller"):
            return False
        self._ends = [one for one in self._ends if one.is_open]
        self._ends.append(end)
        self.machine.loops["controller"].create_task(self.door._serve(end))  # type: ignore[arg-type]
        return True

    def _make(self) -> None:
        machine = self.machine
        self.store = self._cluster.client(machine.name)
        self.shelf = _kept(machine, "shelf", ShelfInMemory)
        self.agents = SiteAgents(self.shelf, self)
        self._make_watch()
        self.timings = Timings(is_answered_outside=True)
        alarms = _kept(machine, "alarms", ShelfInMemory)
        self.vim = Builtin(Path(), tell=self._tell, shelf=alarms)
        self.webhook = SimulatedWebhook(machine, self._receiver, heartbeat_s=0)
        outbox = _kept(machine, "courier", OutboxInMemory)
        outbox.begin_stream(f"{machine.name} {machine.own.monotonic_ns()} {machine.boot}")
        self.courier = Courier(self.webhook, outbox, host=machine.name, parked=Path("/dev/null"))
        self.leadership = Leadership(self.store, machine.name, self._began)
        self.registry = Registry(self.store, lambda: self.leadership.term)  # type: ignore[union-attr]
        self.promises = Promises(self.registry, self.agents)
        self.groups = Groups(self.registry, self.agents, ())
        self.entries = Entries(
            self.vim, self.agents, self.shelf, self.timings, self.promises.take_tenure
        )
        self.greeter = Greeter(
            agents=self.agents,
            promises=self.promises,
            groups=self.groups,
            registry=self.registry,
            leadership=self.leadership,
            heard=self._greeted,
        )
        nothing: Any = Unasked()
        self.door = Door(
            agents=self.agents,
            entries=self.entries,
            questions=nothing,
            greeter=self.greeter,
            copies=nothing,
            host_words=nothing,
        )

    def _make_watch(self) -> None:
        machine = self.machine
        planes = machine.network.planes
        place = ControllerPlace(
            name=self.name,
            address=self.name,
            planes={plane: address(plane, self.name) for plane in planes},
        )
        self.hearing = Hearing(
            Settings(controllers=(place,)),
            self._see,
            shelf=self.shelf,
            host_name=self.name,
            make_ear=self._make_ear,
            carry=self._carrier.carry,
        )
        self.witnesses = Witnesses(self.hearing, self.agents, self._see)
        kept = machine.disk.get("site")
        world = msgspec.json.decode(kept, type=SiteWorld) if isinstance(kept, bytes) else None
        self.decider = SiteDecider(world)
        self.watch = Watch(
            decider=self.decider,
            journal=JournalInMemory(1, lambda: b"{}"),
            folder=Path(),
            controller=self.name,
            boot=machine.boot,
            report=self._report,
            keep=lambda _incident: None,
            ask=self.witnesses.ask,
            term=lambda: self.leadership.term if self.leadership else None,
        )

    def _make_ear(
        self, _module: str, _args: list[str], heard: Callable[[Any], None]
    ) -> SimulatedEar:
        self._ear = SimulatedEar(self.machine, self.machine.network.planes, heard)
        return self._ear

    def _see(self, seen: heard.Hearing) -> None:
        self.watch.see(seen)

    def _greeted(self, hello: wire.Hello) -> None:
        self.hearing.greeted(hello)
        self.watch.greeted(hello)

    async def _report(self, report: AlarmReport, _at: int) -> None:
        await self.vim.report(report)

    async def _run(self) -> None:
        assert self.leadership is not None
        for record in self.courier.waiting():
            self.vim.absorb(record)
        await self.leadership.step()
        async with asyncio.TaskGroup() as group:
            for name, task in self._tasks().items():
                group.create_task(keep_running(task, self._said, name))

    def _tasks(self) -> dict[str, Callable[[], Awaitable[None]]]:
        assert self.leadership is not None
        return {
            "leadership": self.leadership.run,
            "courier": self.courier.run,
            "hearing": self.hearing.run,
            "watch": self.watch.run,
            "look": self._look,
        }

    async def _look(self) -> None:
        """As controller/assembly.py: agents that came before the store, or the lead, did."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self.leadership is not None and self.leadership.term is not None:
                self.greeter.greet_again()

    async def _began(self, term: int) -> None:
        await self.registry.begin(term)

    def _tell(self, record: AlarmRecord) -> None:
        self.courier.hand(record)

    def _said(self, name: str, failure: BaseException | None) -> None:
        self.failed.append(f"{name} of {self.name} ended: {failure!r}")


def _kept(machine: Machine, name: str, kind: Callable[[], Any]) -> Any:
    return machine.disk.setdefault(f"controller {name}", kind())
