"""A controller of a simulated site: the real parts, put together on its machine's own clock."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.drivers.certificates import Peer
from holdfast.adapters.simulated.bmc import Bmcs, SimulatedFencer
from holdfast.adapters.simulated.cluster import StoreCluster
from holdfast.adapters.simulated.connection import End
from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.outbox import OutboxInMemory
from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.adapters.vims.builtin import Builtin
from holdfast.controller.acting import make_leasing, make_recoverer
from holdfast.controller.agents import Agents
from holdfast.controller.claims import Claims
from holdfast.controller.courier import Courier
from holdfast.controller.definitions import Definitions
from holdfast.controller.door import Door
from holdfast.controller.entries import Entries
from holdfast.controller.gate import Visitor
from holdfast.controller.greeting import Greeter
from holdfast.controller.groups import Groups
from holdfast.controller.hearing import Hearing
from holdfast.controller.known_hosts import follow_hosts
from holdfast.controller.leadership import Leadership
from holdfast.controller.leasing import Leasing
from holdfast.controller.patience import Patience
from holdfast.controller.promises import Promises
from holdfast.controller.questions import Handler
from holdfast.controller.registry import Registry
from holdfast.controller.replicas import Replicas
from holdfast.controller.timings import Timings
from holdfast.controller.watch import Watch
from holdfast.controller.watching import begin as begin_watch
from holdfast.controller.witnesses import Witnesses
from holdfast.detectors.panel import Panel, make_panel
from holdfast.facts.alarms import Alarm, AlarmRecord
from holdfast.facts.hearing import Hearing as Heard
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_world import SiteWorld
from holdfast.ports import clock
from holdfast.ports.fencer import Fencer
from holdfast.ports.keeper import keep_running
from holdfast.ports.link import Dial
from holdfast.ports.notifier import Notifier
from tests.simulation.controller_fencing import make_confirming
from tests.simulation.controller_instances import hold_instances
from tests.simulation.controller_moves import make_moving
from tests.simulation.controller_parts import Unasked, kept, settings_of
from tests.simulation.ears import SimulatedEar
from tests.simulation.probes import Carrier
from tests.simulation.receivers import Receiver, SimulatedPager, SimulatedWebhook

FIRST_LIMIT_S = 3.0
FAR_AWAY_UTC_MS = 1 << 60
LOOK_S = 1.0


class SimulatedController:
    """`begin` and `kill` it as often as wanted: what it must remember is on its machine's disk."""

    def __init__(
        self,
        machine: Machine,
        cluster: StoreCluster,
        receiver: Receiver,
        pager: Receiver,
        carrier: Carrier,
        peers: Callable[[Machine], list[Dial]],
        bmcs: Bmcs,
    ) -> None:
        self.machine, self._cluster, self._receiver = machine, cluster, receiver
        self.bmcs, self.fencer = bmcs, self.make_fencer(bmcs)
        self._pager = pager
        self._carrier, self._peers = carrier, peers
        self._ear: SimulatedEar | None = None
        self.grant: Callable[[str, bytes], None] = lambda _host, _data: None
        self.decider: SiteDecider | None = None
        self.leadership: Leadership | None = None
        self.failed: list[str] = []
        self._claims: list[Claims] = []
        self.on_moves: dict[str, Handler] = {}

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

    def lost_power(self) -> None:
        """Nobody is told."""
        self._remember()

    def _remember(self) -> None:
        """As its journal would give it back."""
        if self.decider is not None:
            self.machine.disk["site"] = msgspec.json.encode(self.decider.world)
        self.decider, self._ear = None, None

    def hear(self, data: bytes, plane: str, sender: str) -> None:
        """A pulse has arrived at its machine, whichever life its ear is in."""
        if self._ear is not None:
            self._ear.arrive(data, plane, sender)

    def hear_gasp(self, host: str, text: str) -> None:
        """A kernel's last words have."""
        if self._ear is not None:
            self._ear.gasp(host, text)

    def serve(
        self, end: End, who: Machine, *, certified_as: str = "", is_controller: bool = False
    ) -> bool:
        """Somebody has dialed, perhaps with another's certificate; False: nobody listens."""
        if not self.machine.runs("controller"):
            return False
        self.machine.own_end("controller", end)
        peer = Peer(
            host=certified_as or who.name,
            host_name=certified_as or who.name,
            serial="1",
            is_controller=is_controller,
            ends_utc_ms=FAR_AWAY_UTC_MS,
        )
        visitor = Visitor(peer, lambda _host: peer)
        door: Any = self.door
        served = self.machine.loops["controller"].create_task(door._serve(end, visitor))
        served.add_done_callback(self._served)
        return True

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed.append(f"a link of {self.name} ended: {error!r}")

    @property
    def entries_refused(self) -> int:
        """In all its runs."""
        return sum(one.refused for one in self._claims)

    def _make(self) -> None:
        """As controller/assembly.py, with other adapters."""
        machine = self.machine
        self.store = self._cluster.client(machine.name)
        self.shelf = kept(machine, "shelf", ShelfInMemory)
        self.agents = Agents(self.shelf)
        self.timings = Timings(is_answered_outside=True)
        self.vim = Builtin(Path(), tell=self._tell, shelf=kept(machine, "alarms", ShelfInMemory))
        webhook = SimulatedWebhook(machine, self._receiver)
        self.courier = self._make_courier(webhook, self._answered)
        pager = SimulatedPager(machine, self._pager)
        self.pager = self._make_courier(pager, patience=Patience(pager.name, self.shelf))
        self.couriers = [self.courier, self.pager]
        self.leadership = Leadership(self.store, machine.name, self._began)
        self.registry = Registry(self.store, self._term)
        self.promises = Promises(self.registry, self.agents)
        self.groups = Groups(self.registry, self.agents, (), len(self._cluster.members))
        self.entries = Entries(
            self.vim,
            self.agents,
            self.shelf,
            self.timings,
            self.promises.take_tenure,
            safe=self._safe,
            leads_elsewhere=lambda: self.replicas.leads_elsewhere,
            is_alone=len(self._cluster.members) < 2,
        )
        self._make_watch()
        self._make_replicas()
        self.greeter = Greeter(
            heard=self.hearing.greeted,
            agents=self.agents,
            promises=self.promises,
            groups=self.groups,
            registry=self.registry,
            leadership=self.leadership,
        )
        self.leasing = self.make_leasing()
        self.make_acting()
        self.confirming = make_confirming(self)
        self._claims.append(Claims(self.agents, self.vim.find))
        nothing: Any = Unasked()
        self.door = Door(
            agents=self.agents,
            claims=self._claims[-1],
            entries=self.entries,
            questions=nothing,
            greeter=self.greeter,
            copies=nothing,
            host_words=nothing,
            definitions=Definitions(self.registry, self._claims[-1]),
            answer_peer=self.replicas.peers.answer,
        )

    def _make_courier(
        self,
        notifier: Notifier,
        answered: Callable[[AlarmRecord, int], None] = lambda _record, _at: None,
        patience: Patience | None = None,
    ) -> Courier:
        machine = self.machine
        outbox = kept(machine, f"courier {notifier.name}", self.make_outbox)
        outbox.begin_stream(f"{machine.name} {machine.own.monotonic_ns()} {machine.boot}")
        return Courier(
            notifier,
            outbox,
            host=machine.name,
            parked=Path("/dev/null"),
            answered=answered,
            settled=self._settled,
            patience=patience,
        )

    def _make_watch(self) -> None:
        """As controller/watching.py, with a journal in memory."""
        machine, agents = self.machine, self.agents
        self.settings = settings_of(self._cluster.members, machine)
        self.hearing = Hearing(
            self.settings,
            self._see,
            shelf=self.shelf,
            host_name=self.name,
            make_ear=self._make_ear,
            carry=self._carrier.carry,
        )
        self.witnesses = Witnesses(self.hearing, agents, self._see)
        self.decider = self.make_decider(self._remembered())
        stream, numbers = f"site-{clock.utc_ms()}", itertools.count(1)
        self.watch = watch = Watch(
            decider=self.decider,
            journal=JournalInMemory(1, lambda: b"{}"),
            folder=Path(),
            controller=self.name,
            boot=machine.boot,
            report=self.entries.report,
            keep=lambda one: self.entries.keep_incident(one.host, one, (stream, next(numbers))),
            ask=self.witnesses.ask,
            term=self._term,
            is_reliable=self.hearing.is_reliable,
            panel=self.make_panel(),
        )
        agents.on_greeted = watch.greeted
        agents.on_left = watch.left
        agents.on_vms = watch.told

    def _make_replicas(self) -> None:
        assert self.leadership is not None
        self.replicas = Replicas(
            self.settings,
            self.name,
            store=self.store,
            registry=self.registry,
            leadership=self.leadership,
            vim=self.vim,
            entries=self.entries,
            couriers=self.couriers,
            sign_of=self.watch.sign_of,
            absorbed=self.watch.shared,
            journal=Path("/nonexistent"),
            dials=self._peers(self.machine),
            shelf=self.shelf,
        )
        self.witnesses.ask_peers = self.replicas.peers.ask_peers
        follow_hosts(self.registry, self.hearing, self.watch)

    # What a mutant may do otherwise.

    make_outbox = OutboxInMemory

    def make_fencer(self, bmcs: Bmcs) -> Fencer:
        return SimulatedFencer(self.machine, bmcs)

    def make_acting(self) -> None:
        one: Any = self
        self.recoverer = make_recoverer(one)
        self.on_moves = make_moving(self, self.recoverer)

    def hold_power(self, host: str) -> AbstractAsyncContextManager[str]:
        return self.recoverer.power.held(host)

    leasing_kind = Leasing

    def make_leasing(self) -> Leasing:
        one: Any = self
        return make_leasing(one, self.leasing_kind)

    def make_decider(self, world: SiteWorld | None) -> SiteDecider:
        return SiteDecider(world)

    def make_panel(self) -> Panel:
        return make_panel(seat="controller")

    def _remembered(self) -> SiteWorld | None:
        kept = self.machine.disk.get("site")
        return msgspec.json.decode(kept, type=SiteWorld) if isinstance(kept, bytes) else None

    def _make_ear(
        self, _module: str, _args: list[str], heard: Callable[[Any], None]
    ) -> SimulatedEar:
        self._ear = SimulatedEar(self.machine, self.machine.network.planes, heard, self.grant)
        return self._ear

    async def _run(self) -> None:
        assert self.leadership is not None
        for courier in self.couriers:
            for record in courier.waiting():
                self.vim.absorb(record)
            if courier.patience is not None:
                courier.patience.restore(await self.vim.alarms())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LIMIT_S):
                await self.leadership.step()
                await self._settle()
        told = await self.vim.alarms(include_cleared=True)
        begin_watch(self.watch, self.agents, self.hearing, told)
        no_gate: Any = None
        tasks: dict[str, Callable[[], Awaitable[None]]] = {
            "leadership": self.leadership.run,
            **{f"courier {one.notifier.name}": one.run for one in self.couriers},
            "hearing": self.hearing.run,
            "watch": self.watch.run,
            "instances": hold_instances(self),
            "look": self._look,
            "leasing": self.leasing.run,
            **self.replicas.tasks(no_gate, None),
        }
        async with asyncio.TaskGroup() as group:
            for name, task in tasks.items():
                group.create_task(keep_running(task, self._said, name))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._settle()

    async def _settle(self) -> None:
        if self._term() is not None:
            self.greeter.greet_again()
            self.replicas.settle()

    def _term(self) -> int | None:
        return self.leadership.term if self.leadership is not None else None

    async def _began(self, term: int) -> None:
        await self.registry.begin(term)

    async def _safe(self, alarm: Alarm) -> None:
        await self.replicas.safe(alarm)

    def _tell(self, record: AlarmRecord) -> None:
        for courier in self.couriers:
            courier.hand(record)
        self.replicas.told(record)

    def _see(self, seen: Heard) -> None:
        self.watch.see(seen)

    def _settled(self, record: AlarmRecord, notifier: str) -> None:
        self.replicas.settled(record, notifier)

    def _answered(self, record: AlarmRecord, at: int) -> None:
        alarm = record.alarm
        took_ms = self.timings.answered(alarm.key, alarm.revision, at)
        self.vim.note_answer(alarm.key, clock.utc_ms(), took_ms)

    def _said(self, name: str, failure: BaseException | None) -> None:
        self.failed.append(f"{name} of {self.name} ended: {failure!r}")
