"""Moves of running guests between the libvirts of simulated machines, and the migrator of an agent.

A move goes on in the time of the site: who began it may be dead, and an end may be frozen, cut off
or without libvirt at any step. What each end then does was read in libvirt, and tried.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.vm import IN, OUT, SimulatedVm
from holdfast.facts.migrations import End, Progress
from holdfast.ports.hypervisor import CallFailed
from holdfast.ports.migrator import Looked, Place

PORT = 7314
TICK_MS, LOOK_S = 10.0, 0.05
COPY_MS, SWITCH_MS = 1_500.0, 80.0
LOST_AFTER_MS = 5_000.0  # Without a path, the connection of a move breaks off.
LIBVIRT_LOST_AFTER_MS = 30_000.0  # When the libvirt of the other end says nothing.
CALL_MS, CALL_LIMIT_S = 3.0, 15.0
HALF_LIMIT_S = 2.0
OVERRUN_S = 60.0


class Step(IntEnum):
    COPIES = 1
    SENT = 2  # The guest stands still here and there: the other end is asked to go on with it.
    CAME = 3  # It goes on there; this end has not heard so.
    OVER = 4


def by_libvirt_alone() -> str:
    """What a move by virsh hangs on: nothing beside both libvirts."""
    return ""


class Move:
    """One guest on its way. `hindrance` says why the way between both libvirts is shut, or empty.

    `failure`: why it did not come over, or only nobody at the source knows that it did.
    """

    def __init__(
        self,
        roads: "Roads",
        name: str,
        source: Machine,
        target: Machine,
        hindrance: Callable[[], str] = by_libvirt_alone,
    ) -> None:
        self._roads, self.name = roads, name
        self.source, self.target = source, target
        self._hindrance = hindrance
        self.step, self.failure, self.is_unwanted = Step.COPIES, "", False
        self.is_by_hand = hindrance is by_libvirt_alone
        self.passed_ms = self._troubled_ms = 0.0
        self.is_source_done = self.is_target_done = self._libvirt_died = False
        leaving = source.vms.vms[name]
        self.vm, self._leaving = leaving.uuid, leaving.life
        coming = target.vms.vms.get(name)
        self._was_defined = coming is not None and coming.is_defined
        if coming is None:
            coming = leaving.elsewhere()
            target.vms.define(coming)
        coming.memory_gb = leaving.memory_gb
        self._coming = target.vms.let_in(coming)
        self.coming = self._coming.key
        self._boots = source.boot, target.boot
        self._tick()

    @property
    def is_over(self) -> bool:
        return self.is_source_done and self.is_target_done

    def is_at(self, machine: Machine) -> bool:
        """Whether its libvirt has not done with it."""
        is_source = machine is self.source and not self.is_source_done
        return is_source or (machine is self.target and not self.is_target_done)

    def end_half(self) -> None:
        """Whoever waits for the rest of it at the target is told to end it."""
        self.failure = self.failure or "the target ended it"
        self._end_target()

    def _tick(self) -> None:
        if not self.failure:
            self._go_on()
        if self.failure:
            self._libvirt_died |= self.source.vms.libvirt == "dead"
            self.is_source_done = self.is_source_done or self._end_source()
            self.is_target_done = self.is_target_done or self._end_target()
        if not self.is_over:
            self._roads.clock.later(TICK_MS, self._tick)

    # While both ends reach each other.

    def _go_on(self) -> None:
        trouble, limit_ms = self._trouble()
        self._troubled_ms = self._troubled_ms + TICK_MS if trouble else 0.0
        if trouble:
            self.failure = trouble if self._troubled_ms > limit_ms else ""
            return
        if self.is_unwanted and self.step is Step.COPIES:
            self.failure = "it was called off"
            return
        self.passed_ms += TICK_MS
        half_ms = self._roads.switch_ms / 2
        source, target = self.source.vms, self.target.vms
        if self.step is Step.COPIES and self.passed_ms >= self._roads.copy_ms:
            source.hand_over(self.name)
            self._next(Step.SENT)
        elif self.step is Step.SENT and self.passed_ms >= half_ms:
            target.go_on_here(self.name, source.vms[self.name].began)
            self._next(Step.CAME)
        elif self.step is Step.CAME and self.passed_ms >= half_ms:
            source.leave(self.name, is_defined=self.is_by_hand)
            self._next(Step.OVER)
            self.is_source_done = self.is_target_done = True

    def _next(self, step: Step) -> None:
        self.step, self.passed_ms = step, 0.0

    def _trouble(self) -> tuple[str, float]:
        """What is between both ends now, and after how long that breaks the move off."""
        ends = (self.source, self.target)
        if any(one.is_frozen or not one.is_up for one in ends) or not self._roads.has_path(*ends):
            return "the connection broke off", LOST_AFTER_MS
        if self._boots != (self.source.boot, self.target.boot):
            return "the connection broke off", 0.0
        has_come = self.step is Step.CAME  # Its word is on the way, whatever becomes of it there.
        if not self._lives(self.source) or not (has_come or self._lives(self.target)):
            return "its process ended", 0.0
        if shut := self._hindrance():
            return shut, 0.0
        libvirts = {one.vms.libvirt for one in ends}
        if "dead" in libvirts:
            return "libvirt has ended", 0.0
        return ("libvirt says nothing", LIBVIRT_LOST_AFTER_MS) if "frozen" in libvirts else ("", 0)

    def _lives(self, machine: Machine) -> bool:
        life = self._leaving if machine is self.source else self._coming
        vm = machine.vms.vms[self.name]
        return vm.life == life and not vm.is_ending

    # When it broke off: each end by itself.

    def _end_source(self) -> bool:
        """Whether nothing more comes of it here. A libvirt that ended as it waited for the other
        end's word does not know who has the guest, and leaves it standing."""
        if self.source.boot != self._boots[0] or not self.source.is_up:
            return True
        if self.source.is_frozen or self.source.vms.libvirt != "answers":
            return False
        is_waiting = self.source.vms.vms[self.name].moves == OUT and self._lives(self.source)
        if is_waiting and not self._libvirt_died:
            self.source.vms.stay(self.name, is_shut_out=self._has_come())
        return True

    def _end_target(self) -> bool:
        """Whether nothing more comes of it there: libvirt ends what came in half."""
        if self.target.boot != self._boots[1] or not self.target.is_up:
            return True
        if self.target.is_frozen or self.target.vms.libvirt != "answers":
            return False
        if self.target.vms.vms[self.name].moves == IN and self._lives(self.target):
            self.target.vms.drop_half(self.name, is_defined=self._was_defined)
        return True

    def _has_come(self) -> bool:
        is_same = self.target.boot == self._boots[1] and self.target.has_power
        return is_same and self._lives(self.target) and self.target.vms.vms[self.name].can_write


@dataclass(frozen=True)
class Door:
    """Through which an agent, as long as its process lives, lets a guest in from `source`."""

    source: str
    process: object


class Roads:
    """Between all machines of a site: `moves` are all that were ever begun. `copy_ms` and
    `switch_ms` say how long the next one takes."""

    def __init__(self, clock: Clock, network: Network, plane: str) -> None:
        self.clock, self._network, self._plane = clock, network, plane
        self.copy_ms, self.switch_ms = COPY_MS, SWITCH_MS
        self.machines: dict[str, Machine] = {}
        self.doors: dict[tuple[str, str], Door] = {}
        self.moves: list[Move] = []

    def has_path(self, one: Machine, other: Machine) -> bool:
        return self._network.talk(one.name, other.name, self._plane)

    def is_open(self, machine: Machine, vm: str) -> bool:
        door = self.doors.get((machine.name, vm))
        return door is not None and machine.loops.get("agent") is door.process

    def begin(self, vm: SimulatedVm, source: Machine, target: Machine) -> Move:
        """By hand: no agent has a part in it. Raises CallFailed."""
        return self.add(vm, source, target, by_libvirt_alone)

    def add(
        self, vm: SimulatedVm, source: Machine, target: Machine, hindrance: Callable[[], str]
    ) -> Move:
        """Raises CallFailed."""
        if not vm.can_write or vm.is_ending or self.at(source, vm.uuid) is not None:
            raise CallFailed("domain is not running, or is being moved")
        there = target.vms.vms.get(vm.name)
        if there is not None and there.runs:
            raise CallFailed("it is running there already")
        is_well = target.is_up and not target.is_frozen and target.vms.libvirt == "answers"
        if not is_well or not self.has_path(source, target):
            raise CallFailed(f"the libvirt of {target.name} does not answer")
        if there is None and not target.vms.has_room_for(vm):
            raise CallFailed("cannot set up guest memory 'pc.ram': Cannot allocate memory")
        self.moves.append(Move(self, vm.name, source, target, hindrance))
        return self.moves[-1]

    def at(self, machine: Machine, vm: str) -> Move | None:
        """The one that this libvirt has not done with."""
        return next((one for one in self.moves if one.vm == vm and one.is_at(machine)), None)

    def pause_ms(self, machine: Machine, vm: str) -> int | None:
        came = [one for one in self.moves if one.vm == vm and one.target is machine]
        return round(self.switch_ms / 2) if came and came[-1].step >= Step.CAME else None


class SimulatedMigrator:
    """See ports.migrator.Migrator: that of the agent that runs on `machine` now."""

    def __init__(self, machine: Machine, roads: Roads) -> None:
        self._machine, self._roads = machine, roads
        self._process = machine.loops.get("agent")
        self._sending: set[str] = set()
        self._unwanted: set[str] = set()
        self._receiving: set[str] = set()

    def why_not(self) -> str:
        return ""

    async def receive(self, vm: str, source: str, address: str) -> int:  # noqa: ARG002
        self._receiving.add(vm)
        self._roads.doors[self._machine.name, vm] = Door(source, self._process)
        return PORT

    async def send(self, vm: str, place: Place, limit_s: float) -> None:
        if vm in self._sending:
            raise CallFailed("it is being moved already")
        self._sending.add(vm)
        try:
            await self._send(vm, place, limit_s)
        finally:
            self._sending.discard(vm)
            self._unwanted.discard(vm)

    async def _send(self, vm: str, place: Place, limit_s: float) -> None:
        await self._answer()
        target, found = self._roads.machines[place.host], self._machine.vms.by_uuid(vm)
        if not self._roads.has_path(self._machine, target) or target.is_frozen:
            await asyncio.sleep(LOST_AFTER_MS / 1_000)
            raise CallFailed(f"{place.address} does not answer")
        door = self._roads.doors.get((place.host, vm))
        if door is None or not self._roads.is_open(target, vm) or door.source != self._machine.name:
            raise CallFailed(f"nobody lets it in at {place.address}")
        if found is None:
            raise CallFailed(f"there is no domain with uuid {vm}")

        def hindrance() -> str:
            is_here = self._machine.loops.get("agent") is self._process
            is_there = self._roads.doors.get((place.host, vm)) is door
            is_there = is_there and self._roads.is_open(target, vm)
            return "" if is_here and is_there else "the migration's tunnel has ended"

        await self._wait(self._roads.add(found, self._machine, target, hindrance), limit_s)

    async def _wait(self, move: Move, limit_s: float) -> None:
        until = asyncio.get_running_loop().time() + limit_s
        while not move.is_source_done:
            await asyncio.sleep(LOOK_S)
            now = asyncio.get_running_loop().time()
            if self._machine.vms.libvirt == "dead" or now > until + OVERRUN_S:
                raise CallFailed("libvirt does not answer")
            is_late = now > until
            if (move.vm in self._unwanted or is_late) and self._machine.vms.libvirt == "answers":
                move.is_unwanted = True
        if move.failure:
            raise CallFailed(move.failure)

    async def look(self, vm: str) -> Looked:
        await self._answer()
        found, move = self._machine.vms.by_uuid(vm), self._roads.at(self._machine, vm)
        is_here = found is not None and found.runs
        is_awaited = vm in self._receiving and not is_here
        waits = found is not None and bool(found.moves)
        progress = Progress()
        if move is not None and move.step is Step.COPIES:
            left = max(0.0, self._roads.copy_ms - move.passed_ms)
            progress = Progress(total_bytes=round(self._roads.copy_ms), left_bytes=round(left))
        if waits or move is not None or is_awaited or vm in self._sending:
            is_left = waits and move is None and vm not in self._sending
            return Looked(end=End.MOVING, progress=progress, is_left=is_left)
        pause_ms = self._roads.pause_ms(self._machine, vm) if is_here else None
        return Looked(end=End.RUNS if is_here else End.NOTHING, pause_ms=pause_ms)

    async def cancel(self, vm: str) -> None:
        if vm in self._sending:
            self._unwanted.add(vm)
        await self._answer()
        move = self._roads.at(self._machine, vm)
        if move is not None and move.source is self._machine:
            move.is_unwanted = True

    async def leave(self, vm: str) -> None:
        if vm in self._sending:
            await self.cancel(vm)
            return
        self._roads.doors.pop((self._machine.name, vm), None)
        await self._answer()
        await self._end_half(vm)
        self._receiving.discard(vm)

    async def _end_half(self, vm: str) -> None:
        deadline = asyncio.get_running_loop().time() + HALF_LIMIT_S
        while (found := self._machine.vms.by_uuid(vm)) is not None and found.moves == IN:
            await asyncio.sleep(LOOK_S)
            await self._answer()
            move = self._roads.at(self._machine, vm)
            if asyncio.get_running_loop().time() > deadline and move is not None:
                move.end_half()

    async def close(self) -> None:
        for vm in list(self._receiving):
            self._roads.doors.pop((self._machine.name, vm), None)

    async def _answer(self) -> None:
        """Raises CallFailed."""
        await asyncio.sleep(CALL_MS / 1_000)
        if self._machine.vms.libvirt == "frozen":
            await asyncio.sleep(CALL_LIMIT_S)
            raise CallFailed("libvirt did not answer")
        if self._machine.vms.libvirt == "dead":
            raise CallFailed("libvirt does not run")
