"""What was truly done to power and VMs of a site, what people said, and what the store took.

Of what people ask for, the more careful side counts from the answer, the other from the asking:
until somebody has the answer, the program may do either.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from holdfast.adapters.simulated.bmc import Ordered
from holdfast.adapters.simulated.clock import UTC_NS
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.vm import SimulatedVm
from holdfast.facts.fencing import Fence, FenceStep, HostMode
from holdfast.facts.instances import Instance, InstanceStep
from holdfast.facts.instants import NS_PER_MS, NS_PER_S
from holdfast.facts.leases import HostLease
from holdfast.facts.migrations import End, Migration, MigrationStep
from holdfast.facts.promises import DEFAULT_GROUP, Group, Owner, Protection
from holdfast.facts.recoveries import Recovery
from holdfast.facts.tenure import DeathProof, ProofKind, Wanted
from holdfast.ports.store import Changed
from tests.simulation.data_centre import DataCentre, Host
from tests.simulation.paths import Paths
from tests.simulation.pulses import key_of

TICK_MS = 100.0
DOUBT_NS = 5 * NS_PER_S
BELIEVED_NS = 90 * NS_PER_S  # For so long after it was asked a BMC's lie may make a proof.


@dataclass(frozen=True)
class Begun:
    """A VM began on a host; generation 0: by hand."""

    vm: str
    name: str
    host: str
    boot: str
    generation: int


@dataclass
class FenceTruth:
    site: DataCentre
    paths: Paths
    modes: dict[str, HostMode] = field(default_factory=dict)
    disarmed_until_utc_ms: int = 0
    _drift_ms: int = 0
    begun: dict[str, list[Begun]] = field(default_factory=dict)  # By disk, in order.
    proofs: dict[str, list[Recovery]] = field(default_factory=dict)  # By VM, as committed.
    taken_back: set[tuple[str, str, int]] = field(default_factory=set)  # VM, host, generation.
    drained: dict[str, int] = field(default_factory=dict)  # Since when, by host.
    # What was ever wanted to move: hosts that were to be left, and VMs that people named.
    to_be_left: set[str] = field(default_factory=set)
    to_be_moved: set[str] = field(default_factory=set)
    migrations: dict[str, list[Migration]] = field(default_factory=dict)  # By VM, as committed.
    # Each hears of a name, and of the host that the store says it is to run on next.
    placed: list[Callable[[str, str], None]] = field(default_factory=list)
    fences: dict[str, Fence] = field(default_factory=dict)  # By host, as committed last.
    acted_on: dict[str, tuple[str, str]] = field(default_factory=dict)  # VM: its name, its host.
    # How long everybody had heard a host when its fence was committed, by host and number.
    heard_ns: dict[tuple[str, int], int] = field(default_factory=dict)
    _heard_since: dict[str, int] = field(default_factory=dict)
    _deceived: set[tuple[str, str]] = field(default_factory=set)  # Host and boot.
    _silent_at: dict[str, int] = field(default_factory=dict)  # When it could be heard last.
    _doubtful: set[str] = field(default_factory=set)
    _ordered: list[tuple[int, Ordered]] = field(default_factory=list)
    _read: dict[str, tuple[int, Protection]] = field(default_factory=dict)  # By key and revision.
    _groups: dict[str, tuple[int, Group]] = field(default_factory=dict)  # By name, as well.

    def __post_init__(self) -> None:
        self.site.bmcs.ordered.append(self._note_order)
        self.site.cluster.truth.heard.append(self._committed)
        self._tick()

    # What people say.

    def mode_asked(self, host: str, mode: HostMode) -> None:
        if mode is HostMode.ACT:
            self.modes[host] = mode

    def mode_set(self, host: str, mode: HostMode) -> None:
        self.modes[host] = mode

    def disarmed(self, until_utc_ms: int) -> None:
        self._drift_ms = max(0, until_utc_ms - self._utc_ms()) // 1_000
        self.disarmed_until_utc_ms = until_utc_ms

    def armed(self) -> None:
        self.disarmed_until_utc_ms = 0

    def confirmed_dead(self, host: str) -> None:
        """Somebody answers for it; who is wrong deceives the program."""
        machine = self.site.hosts[host].machine
        if machine.is_up:
            self._deceived.add((host, machine.boot))

    def is_disarmed(self, machine: Machine) -> bool:
        """Not over by that machine's own clock, nor in truth: clocks drift by some per mille."""
        until, now = self.disarmed_until_utc_ms, self._utc_ms()
        return until > machine.own.utc_ns() // NS_PER_MS and now < until - self._drift_ms

    def _utc_ms(self) -> int:
        return (UTC_NS + self.site.clock.now) // NS_PER_MS

    # What is true.

    def is_deceived(self, host: str, boot: str) -> bool:
        """That boot was proven dead by a lie: the program could not know."""
        return (host, boot) in self._deceived

    def is_doubtful(self, host: str) -> bool:
        """Another one fell silent as this one was switched off: it may have been the wrong one."""
        return host in self._doubtful

    def copies(self) -> dict[str, list[str]]:
        """By disk, the hosts that can write to it: now, or when a frozen one goes on."""
        found: dict[str, list[str]] = {}
        for name, host in self.site.hosts.items():
            if host.machine.has_power:
                for disk in {vm.writes_to for vm in host.machine.vms.vms.values() if vm.can_write}:
                    if self.site.storage.can_write(name, disk):
                        found.setdefault(disk, []).append(name)
        return found

    def runs_of(self, vm: str) -> int:
        found = (host.machine.vms.by_uuid(vm) for host in self.site.hosts.values())
        return sum(1 for one in found if one is not None and one.can_write)

    def can_do_harm(self, last: Begun) -> bool:
        """Whether that copy can still do harm: its boot lasts, and it runs there."""
        machine = self.site.hosts[last.host].machine
        vm = machine.vms.vms.get(last.name)
        if vm is None or not self.site.storage.can_write(last.host, vm.writes_to):
            return False
        return machine.boot == last.boot and machine.has_power and vm.can_write

    def has_proof(self, last: Begun, host: str, generation: int) -> bool:
        """Whether the store held one about that copy before this start, and the start itself; or
        that host has shown, of a VM made from a template, that nothing is left of it."""
        if (last.vm, last.host, last.generation) in self.taken_back:
            return True
        committed, moves = self.proofs.get(last.vm, []), self.migrations.get(last.vm, [])
        if has_word(moves, source=host, target=last.host, generation=generation):
            return True
        is_placed = any((r.target, r.generation) == (host, generation) for r in committed)
        if is_placed and any(_has_left(one, last.host) for one in moves):
            return True
        proofs = [one.proof for one in committed if _is_of_the_one_before(one)]
        proofs += [one for m in moves for one in m.proofs]
        return is_placed and any(self._covers(one, last) for one in proofs)

    def _covers(self, proof: DeathProof, last: Begun) -> bool:
        if proof.kind is ProofKind.STORAGE:
            about = (proof.vm, last.generation or proof.generation, proof.host)
            disk = self.disk_of(last)
            return about == (last.vm, proof.generation, last.host) and disk in proof.disks
        if proof.kind is ProofKind.WATCHDOG:
            return (proof.host, proof.boot) == (last.host, last.boot) and last.vm in proof.vms
        is_over = self.site.hosts[last.host].machine.boot != last.boot
        return proof.host == last.host and (is_over or last.boot in (proof.boot, *proof.earlier))

    def disk_of(self, begun: Begun) -> str:
        return next(disk for disk, all_of in self.begun.items() if begun in all_of)

    def note_begin(self, host: str, vm: SimulatedVm, generation: int) -> None:
        boot = self.site.hosts[host].machine.boot
        made = Begun(vm.uuid, vm.name, host, boot, generation)
        self.begun.setdefault(vm.writes_to, []).append(made)

    def note_stopped(self, host: str, vm: SimulatedVm) -> None:
        """A person ended it in order, and no tenure was about it there: nothing is to be proven."""
        if not any(p.vm == vm.uuid and p.tenure.host == host for p in self.protections()):
            begun = self.begun.get(vm.writes_to, [])
            self.begun[vm.writes_to] = [one for one in begun if one.host != host]

    # What the store holds.

    def protections(self) -> Iterator[Protection]:
        for key, held in self.site.cluster.truth.contents.items():
            if key.startswith("protections/"):
                revision, protection = self._read.get(key, (None, None))
                if protection is None or revision != held.revision:
                    protection = msgspec.json.decode(held.value, type=Protection)
                    self._read[key] = held.revision, protection
                yield protection

    def is_promised(self, protection: Protection) -> bool:
        """Wanted running, and for the program to bring back."""
        group = self._group_of(protection)
        return protection.tenure.wanted is Wanted.RUNNING and group.owner is Owner.HOLDFAST

    def _group_of(self, protection: Protection) -> Group:
        held = self.site.cluster.truth.contents.get(f"groups/{protection.group}")
        if held is None:
            return DEFAULT_GROUP
        revision, group = self._groups.get(protection.group, (None, DEFAULT_GROUP))
        if revision != held.revision:
            group = msgspec.json.decode(held.value, type=Group)
            self._groups[protection.group] = held.revision, group
        return group

    def leases(self) -> Iterator[HostLease]:
        for key, held in sorted(self.site.cluster.truth.contents.items()):
            if key.startswith("leases/"):
                yield msgspec.json.decode(held.value, type=HostLease)

    def relies(self, protection: Protection) -> bool:
        """Whether people have let it be ended with the lease of its host."""
        return self._group_of(protection).lease

    def is_committed(self, fence: Fence) -> bool:
        held = self.fences.get(fence.host)
        return (
            held is not None
            and held.number == fence.number
            and (held.step is FenceStep.INTENDED or held.step is FenceStep.OFF)
        )

    def _committed(self, change: Changed) -> None:
        folder, _, name = change.key.partition("/")
        if change.value is None:
            return
        if folder == "recoveries":
            made = msgspec.json.decode(change.value, type=Recovery)
            before = self.proofs.setdefault(name, [])
            is_new = not before or before[-1].target != made.target
            before.append(made)
            self._say_placed(made.name, made.target if is_new else "")
        elif folder == "instances":
            one = msgspec.json.decode(change.value, type=Instance)
            if one.step is InstanceStep.TAKEN_BACK:
                self.taken_back.add((one.vm, one.host, one.generation))
        elif folder == "migrations":
            move = msgspec.json.decode(change.value, type=Migration)
            held = self.migrations.setdefault(name, [])
            is_new = not held or held[-1].number != move.number
            held.append(move)
            self._say_placed(move.name, move.target if is_new and not move.is_found else "")
        elif folder == "fences":
            fence = msgspec.json.decode(change.value, type=Fence)
            if fence.step is not FenceStep.CLOSED:
                self._fence_committed(fence)
            self.fences[fence.host] = fence

    def _say_placed(self, name: str, target: str) -> None:
        for hear in self.placed if target else ():
            hear(name, target)

    def _fence_committed(self, fence: Fence) -> None:
        now, host = self.site.clock.now, fence.host
        heard_ns = now - self._heard_since.get(host, now)
        self.heard_ns.setdefault((host, fence.number), heard_ns)
        boots = (fence.boot, *fence.earlier)
        for protection in self.protections():
            tenure = protection.tenure
            if (tenure.host == host and tenure.boot in boots) and self.is_promised(protection):
                self.acted_on[protection.vm] = (protection.name, host)

    # What is watched all the time.

    def _note_order(self, ordered: Ordered) -> None:
        self._ordered.append((self.site.clock.now, ordered))
        self._note_deceit()

    def _tick(self) -> None:
        now = self.site.clock.now
        everybody_listens = self._everybody_listens()
        for name, host in self.site.hosts.items():
            is_heard = self._is_heard(name, host)
            if everybody_listens and is_heard:
                self._heard_since.setdefault(name, now)
            else:
                self._heard_since.pop(name, None)
            if is_heard:
                self._silent_at[name] = now
        self._ordered = [one for one in self._ordered if now - one[0] < BELIEVED_NS]
        self._note_deceit()
        self._note_doubt(now)
        self.site.clock.later(TICK_MS, self._tick)

    def _note_deceit(self) -> None:
        for _, ordered in self._ordered:
            if ordered.bmc.is_deceiving:
                fence = ordered.fence
                self._deceived |= {(fence.host, boot) for boot in (fence.boot, *fence.earlier)}

    def _note_doubt(self, now: int) -> None:
        for at, ordered in self._ordered:
            host = ordered.fence.host
            others = (one for name, one in self._silent_at.items() if name != host)
            is_over = now - at > DOUBT_NS
            if is_over and any(abs(one - at) < DOUBT_NS for one in others):
                self._doubtful.add(host)

    def _everybody_listens(self) -> bool:
        return self.paths.are_calm and all(
            one.machine.is_up
            and one.machine.can_run(process)
            and not one.machine.loops[process].lag_ms
            for one in self.site.controllers.values()
            for process in ("controller", "ear")
        )

    def _is_heard(self, name: str, host: Host) -> bool:
        pulse = host.pulse
        is_itself = (pulse.host, pulse.key) == (name, key_of(name))
        is_alive = host.machine.is_up and not host.machine.is_frozen and pulse.is_running
        return is_itself and is_alive and self.paths.reaches_all(name, self.site.controllers)


def has_word(held: list[Migration], source: str, target: str, generation: int) -> bool:
    """Whether both ends said that nothing of it is at the target: it may start at its source."""
    return any(
        one.step is MigrationStep.UNDONE
        and (one.source, one.target) == (source, target)
        and one.generation == generation
        for one in held
    )


def _is_of_the_one_before(placed: Recovery) -> bool:
    """A storage proof is about one generation: that which the start follows."""
    proof = placed.proof
    return proof.kind is not ProofKind.STORAGE or proof.generation + 1 == placed.generation


def _has_left(move: Migration, host: str) -> bool:
    """Its source said that it has nothing of it; what is to be proven is about its target."""
    is_done = move.step is MigrationStep.DONE
    return is_done and move.source == host and move.source_end is End.NOTHING
