"""The agent of a simulated host: real policy, detectors, uplink and welcome, on its own clock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from holdfast.adapters.simulated.connection import connect
from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.adapters.simulated.libvirt import SimulatedLibvirt
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.moves import Roads, SimulatedMigrator
from holdfast.adapters.simulated.outbox import OutboxInMemory
from holdfast.agent.definitions import Definitions
from holdfast.agent.finding import found_gone
from holdfast.agent.identity import Identity
from holdfast.agent.inventory import Inventory
from holdfast.agent.leasing import Leasing
from holdfast.agent.loop import Loop
from holdfast.agent.migrating import Migrating
from holdfast.agent.starting import Starting
from holdfast.agent.terms import Terms
from holdfast.agent.uplink import Uplink
from holdfast.agent.view import View
from holdfast.agent.welcome import Welcomer
from holdfast.detectors.panel import make_panel
from holdfast.facts import actions as act
from holdfast.facts import wire
from holdfast.facts.actions import Action
from holdfast.facts.commands import Booted, Restarted
from holdfast.facts.observations import Observation
from holdfast.policy import moving, promise
from holdfast.policy.decide import Decider
from holdfast.policy.world import World
from holdfast.ports.hypervisor import Domain
from holdfast.ports.link import Connection, Dial
from tests.simulation.orders import Orders
from tests.simulation.probes import Carrier, address
from tests.simulation.pulses import key_of
from tests.stories.executor import SimulatedExecutor

LINKS = "a"  # The plane that links go over.
OPEN_LIMIT_S = 5.0

Answers = Callable[[str], Callable[[Any], None] | None]


class SimulatedAgent:
    """`begin` and `kill` it as often as wanted: what it must remember is on its machine's disk."""

    leasing_kind = Leasing  # A mutant may have another.

    def __init__(
        self,
        machine: Machine,
        dials: Callable[[Machine], list[Dial]],
        carrier: Carrier,
        rack: str,
        roads: Roads,
    ) -> None:
        self.machine, self._dials, self._carrier, self._rack = machine, dials, carrier, rack
        self._roads = roads
        self.version = wire.VERSION
        self.poses_as = machine.name  # Another's, where its disk was cloned.
        self.word_at: int | None = None
        self.restarts_on_purpose = False
        self.said: dict[str, int] = {}  # The newest revision of each alarm that it reported.
        self.uplink: Uplink | None = None
        self.loop: Loop | None = None

    def begin(self) -> None:
        """As agent/assembly.py: what runs is looked at first."""
        self.restarts_on_purpose = False
        machine = self.machine
        process = machine.begin("agent")
        process.inside(self._make)
        process.create_task(self._run())

    def kill(self, *, planned: bool = False) -> None:
        self.word()
        self.restarts_on_purpose = planned
        self._remember()
        self.machine.vms.see = None
        self.machine.kill("agent")
        self.uplink = None

    def lost_power(self) -> None:
        self._remember()
        self.word_at, self.restarts_on_purpose = None, False
        self.uplink = None

    @property
    def waiting(self) -> int:
        """Entries that no controller has answered."""
        return self._outbox.waiting

    def word(self) -> int | None:
        """When it wrote on the health board last; a process that is frozen writes nothing."""
        machine = self.machine
        if machine.can_run("agent"):
            self.word_at = machine.own.monotonic_ns()
        return self.word_at

    def _remember(self) -> None:
        if self.loop is not None:
            self.machine.disk["world"] = msgspec.json.encode(self.loop.decider.world)
        self.loop = None

    def _make(self) -> None:
        machine, host = self.machine, self.machine.vms
        remembered = machine.disk.get("world")
        world = (
            msgspec.json.decode(remembered, type=World) if isinstance(remembered, bytes) else None
        )
        was_boot = world.boot if world else ""
        decider = Decider(world)
        journal = JournalInMemory(1, lambda: b"{}")
        self.loop = loop = Loop(make_panel(), decider, journal, self._act)
        process = machine.loops["agent"]
        self._executor = SimulatedExecutor(
            host,
            lambda outcome: void(process.call_soon(loop.consume, outcome)),
            lambda asked: promise.may_start(decider.world, asked),
        )
        outbox = machine.disk.setdefault("outbox", OutboxInMemory())
        assert isinstance(outbox, OutboxInMemory)
        outbox.begin_stream(f"{machine.boot} {machine.own.monotonic_ns()}")
        self._outbox = outbox
        me = Identity(
            host=self.poses_as,
            host_name=self.poses_as,
            boot=machine.boot,
            state_id=f"state of {self.poses_as}",
            is_new_state=world is None,
        )
        libvirt = SimulatedLibvirt(host)
        self._definitions = definitions = Definitions(
            libvirt, self._protected, lambda vm: moving.is_moving(decider.world, vm)
        )
        view = View(
            loop,
            self._domains,
            lambda _vm: "simulated",
            definitions.needs,
        )
        self._inventory = Inventory(libvirt, view.vms)
        terms = machine.disk.setdefault("terms", Terms())
        assert isinstance(terms, Terms)
        self._welcomer = Welcomer(loop, self._inventory, me, terms)
        starting = Starting(loop, libvirt, journal)
        self.leasing = self.leasing_kind(loop, libvirt, machine.lease_board, journal)
        self.orders = Orders(loop, host, terms, self._carrier, starting)
        self.leasing.add_to(self.orders.questions)
        Migrating(loop, libvirt, SimulatedMigrator(machine, self._roads), journal).add_to(
            self.orders.questions
        )
        self.uplink = Uplink(
            dials=self._dials(machine),
            outbox=outbox,
            boot=machine.boot,
            host=self.poses_as,
            hello=self._hello,
            welcomed=self._welcomed,
            obey=self.orders.answer,
            see=loop.see,
        )
        self._inventory.tell = definitions.tell = self.uplink.send
        definitions.changed = self._inventory.policy_moved
        loop.after_turn = self._policy_moved
        self._look(was_boot)

    def _domains(self) -> dict[str, Domain]:
        return self._inventory.domains()

    def _protected(self) -> dict[str, str]:
        assert self.loop is not None
        return promise.defined_here(self.loop.decider.world)

    def _policy_moved(self) -> None:
        self._inventory.policy_moved()
        self._definitions.policy_moved()

    def _welcomed(self, welcome: wire.Welcome) -> None:
        self._welcomer.welcomed(welcome)
        self._definitions.tell_anew()

    def _look(self, was_boot: str) -> None:
        machine, host, loop = self.machine, self.machine.vms, self.loop
        assert loop is not None
        seen = host.look()
        at, left_at = host.now(), loop.decider.world.now
        loop.consume(
            Booted(
                at=at,
                host=self.poses_as,
                host_name=self.poses_as,
                boot=machine.boot,
                state_id=f"state of {self.poses_as}",
                is_amnesiac=False,
            )
        )
        if was_boot == machine.boot:
            loop.consume(Restarted(at=at))
        world = loop.decider.world
        gone = found_gone(
            world,
            host.running(),
            machine.boot,
            at,
            lambda life: left_at if life.boot == machine.boot else at,
        )
        for observation in [*seen, *gone, *host.logs(gone)]:
            loop.see(observation)
        process = machine.loops["agent"]
        host.see = lambda observation: self._hand(process, observation)

    def _hand(self, process: Any, observation: Observation) -> None:
        """A sensor's find waits in the process while that cannot run."""
        if self.loop is not None:
            process.call_soon(self._see, observation)

    def _see(self, observation: Observation) -> None:
        if self.loop is not None:
            self.loop.see(observation)
            self._inventory.see(observation)
            self._definitions.see(observation)

    async def _run(self) -> None:
        assert self.uplink is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self.uplink.run())
            group.create_task(self._inventory.run())
            group.create_task(self._definitions.run())
            group.create_task(self.leasing.run())

    def _act(self, action: Action) -> None:
        assert self.uplink is not None
        match action:
            case act.Report():
                self.uplink.report(action)
                self.said[action.alarm.key] = action.alarm.revision
            case act.TellTenure():
                self.uplink.tell_tenure(action)
            case act.TellIncident():
                self.uplink.tell_incident(action)
            case _:
                self._executor.carry_out(action)

    def _hello(self) -> wire.Hello:
        assert self.loop is not None
        machine, world, name = self.machine, self.loop.decider.world, self.poses_as
        kept = [r.protection.tenure for r in world.vms.values() if r.protection]
        is_old = self.version < wire.VERSION  # It has no pulse yet.
        planes = () if is_old else machine.network.planes
        return wire.Hello(
            version=self.version,
            host=name,
            host_name=name,
            boot=machine.boot,
            state_id=f"state of {name}",
            stream=self._outbox.stream,
            features=() if is_old else (wire.STARTS_HERE, wire.MIGRATES),
            tenures=tuple(kept),
            pulse_key="" if is_old else key_of(name).hex(),
            addresses={plane: address(plane, machine.name) for plane in planes},
            rack=self._rack,
        )


def void(_: object) -> None:
    """For a call whose handle nobody needs."""


def dial(
    machine: Machine,
    target: Machine,
    serve: Callable[[Any, Machine], bool],
    process: str = "agent",
) -> Dial:
    """How somebody reaches a controller: `serve` takes the far end, or is not there (False)."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Connection]:
        network, clock = machine.network, machine.clock
        await asyncio.sleep(2 * network.delay_ms(LINKS) / 1_000)
        is_silent = not network.talk(machine.name, target.name, LINKS) or target.is_frozen
        if is_silent:
            await asyncio.sleep(OPEN_LIMIT_S)
            raise TimeoutError(f"{target.name} does not answer")
        near, far = connect(network, clock, LINKS, machine.name, target.name)
        if not serve(far, machine):
            near.abort()
            raise ConnectionRefusedError(f"nobody listens on {target.name}")
        machine.own_end(process, near)
        try:
            yield near
        finally:
            near.abort()

    return Dial(name=target.name, open=opened)
