"""A host in memory: VMs, their kernel and libvirt, which act in time as the real ones were seen to.

Time is virtual: nothing happens but what was put on the clock. What a sensor would see is handed
to `see`; while nobody looks (the agent is dead) it is lost, as it is in truth.
"""

import itertools
from collections.abc import Callable

from holdfast.adapters.simulated import host_times as times
from holdfast.adapters.simulated.clock import Clock, HostClock
from holdfast.adapters.simulated.host_senses import HostSenses
from holdfast.adapters.simulated.vm import IN, OUT, SimulatedVm
from holdfast.facts.observations import (
    AgentAnswered,
    AgentSilent,
    CoreDumpBegan,
    DomainStateRead,
    LibvirtAnswered,
    Observation,
    QemuLogRead,
    QemuProcessGone,
    QemuThreadEnded,
    VcpusMeasured,
    VmAppeared,
    VmFoundGone,
)
from holdfast.facts.subjects import Incarnation


class SimulatedHost(HostSenses):
    """`boot` changes with a power cut; instants begin anew then, as the kernel's do.

    In a data centre each host has its own clock, and a name that its boots begin with.
    """

    def __init__(self, clock: Clock, own: HostClock | None = None, name: str = "") -> None:
        super().__init__(clock, own, name)
        self.memory_mib = 0  # For VMs in all; 0: as much as is asked for.
        self.cpu_features: tuple[str, ...] = ()  # None: its libvirt does not say.
        self.begun: list[Callable[[SimulatedVm, int], None]] = []  # Each hears of every start.
        self.moved: list[Callable[[SimulatedVm], None]] = []  # Of each guest that goes on here,
        self.left: list[Callable[[SimulatedVm], None]] = []  # and that has left for another host.
        self.vms: dict[str, SimulatedVm] = {}
        self.missing = set[str]()  # Images that are not here.
        self.starts: list[tuple[str, Incarnation]] = []
        self._pids = itertools.count(101)
        self._after_thaw: list[Callable[[], None]] = []

    def define(self, vm: SimulatedVm) -> None:
        self.vms[vm.name] = vm

    def by_uuid(self, uuid: str) -> SimulatedVm | None:
        return next((vm for vm in self.vms.values() if vm.uuid == uuid), None)

    # What runs, and how it comes to run.

    def begin(self, name: str, generation: int = 0) -> Incarnation:
        """QEMU is spawned, and libvirt knows it; by a tenure of this generation, or by hand."""
        vm = self.vms[name]
        if vm.life is not None:
            return vm.life
        vm.began, vm.has_run = self.clock.now, True  # Before anybody hears of it.
        life = self._spawn(vm, "booted")
        self.starts.append((name, life))
        if vm.dies_at_boot:
            vm.dies_at_boot -= 1
            self._of(life, 400, lambda: self.kill(name))
        for hear in self.begun:
            hear(vm, generation)
        return life

    def _spawn(self, vm: SimulatedVm, how: str) -> Incarnation:
        pid = next(self._pids)
        life = Incarnation(vm=vm.uuid, boot=self.boot, pid=pid, started_ticks=pid * 10)
        vm.life = life
        vm.is_ending = vm.is_stuck = vm.is_paused = vm.is_shut_out = False
        vm.moves = ""
        vm.libvirt_thinks, vm.reason, vm.log_line = "running", how, ""
        self._tell(VmAppeared(at=self.now(), incarnation=life, name=vm.name))
        self._word(vm.uuid, "started", how, 5)
        if vm.has_agent:
            self._of(life, times.PING_MS, lambda: self._ping(vm, life))
        return life

    def has_room_for(self, vm: SimulatedVm) -> bool:
        """As its kernel has it: what runs, and what this one would need."""
        used_mib = sum(one.memory_mib for one in self.vms.values() if one.runs)
        return not self.memory_mib or used_mib + vm.memory_mib <= self.memory_mib

    def look(self) -> list[Observation]:
        """What sensors find when they begin: running VMs, and libvirt's word on the others."""
        at = self.now()
        found: list[Observation] = [
            VmAppeared(at=at, incarnation=vm.life, name=vm.name, found=True)
            for vm in self.vms.values()
            if vm.life is not None
        ]
        if self.libvirt == "answers":
            found.append(LibvirtAnswered(at=at, after_gap=True))
            found += self._states()
        return found

    def logs(self, gone: list[VmFoundGone]) -> list[Observation]:
        """What QEMU's logs say of ends that nobody saw."""
        found = ((one.incarnation, self.by_uuid(one.incarnation.vm)) for one in gone)
        return [
            QemuLogRead(at=self.now(), incarnation=life, last_line=vm.log_line)
            for life, vm in found
            if vm is not None and vm.log_line
        ]

    def running(self) -> dict[str, Incarnation]:
        return {vm.uuid: vm.life for vm in self.vms.values() if vm.life is not None}

    # How a life ends. Each: the first sign, the last sign, libvirt's word.

    def kill(self, name: str, how: str = "kill", status: int = times.KILLED) -> None:
        self._end(name, how, status, times.LIBVIRT_SEES_MS[how], "failed")

    def segv(self, name: str) -> None:
        vm = self.vms[name]
        if vm.life is not None and not vm.is_ending:
            self._tell(CoreDumpBegan(at=self.now(), incarnation=vm.life, signal=11))
        self.kill(name, "segv", times.SEGV_WITH_CORE)

    def terminate(self, name: str) -> None:
        vm = self.vms[name]
        vm.log_line = "qemu-system-x86_64: terminating on signal 15 from pid 4711 (bash)"
        data = '{"guest": false, "reason": "host-signal"}'
        self._event(vm.uuid, "SHUTDOWN", data, 0.9)
        self._end(name, "terminate", 0, times.LIBVIRT_SEES_MS["terminate"], "shutdown")

    def power_off_inside(self, name: str) -> None:
        data = '{"guest": true, "reason": "guest-shutdown"}'
        self._event(self.vms[name].uuid, "SHUTDOWN", data, 30)
        self._end(name, "poweroff", 0, times.LIBVIRT_SEES_MS["poweroff"], "shutdown")

    def destroy(self, name: str) -> None:
        """By libvirt, which must answer for it. What is stuck in the kernel is ended by force."""
        status = times.KILLED if self.vms[name].is_stuck else 0
        self._end(name, "destroy", status, times.DESTROY_WORD_MS, "destroyed")

    def save(self, name: str) -> None:
        self._move(name, times.SAVED_MS, times.SAVED_WORD_MS, "saved")

    def migrate_away(self, name: str) -> None:
        self._move(name, times.AWAY_MS, times.AWAY_WORD_MS, "migrated")

    def _move(self, name: str, gone_ms: float, word_ms: float, word: str) -> None:
        vm = self.vms[name]
        self._event(vm.uuid, "MIGRATION", '{"status": "completed"}', gone_ms - 20)
        self._of(vm.life, gone_ms, lambda: self._end(name, "kill", 0, word_ms - gone_ms, word))

    def _end(self, name: str, how: str, status: int, word_ms: float, word: str) -> None:
        vm = self.vms[name]
        life = vm.life
        if life is None or vm.is_ending:
            return
        vm.is_ending = True
        sign_ms = times.FIRST_SIGN_MS[how]
        gone_ms = sign_ms + times.FREE_MS_PER_GB * vm.memory_gb
        self._of(life, sign_ms, lambda: self._sign(life, status))
        self._of(life, gone_ms, lambda: self._gone(vm, life, status))
        after_gone_ms = max(word_ms, gone_ms + 5)
        self.later(after_gone_ms, lambda: self._heard_end(vm, life, word))

    def _sign(self, life: Incarnation, status: int) -> None:
        self._tell(
            QemuThreadEnded(
                at=self.now(),
                incarnation=life,
                tid=life.pid + 1,
                thread="CPU 0/KVM",
                status=status,
                source="pidfd",
            )
        )

    def _gone(self, vm: SimulatedVm, life: Incarnation, status: int) -> None:
        vm.life, vm.moves, vm.is_shut_out = None, "", False
        self._tell(QemuProcessGone(at=self.now(), incarnation=life, status=status))
        if vm.log_line:
            log = QemuLogRead(at=self.now(), incarnation=life, last_line=vm.log_line)
            self.later(2, lambda: self._tell(log))

    def _heard_end(self, vm: SimulatedVm, life: Incarnation, word: str) -> None:
        """When libvirt sees it; one that is frozen or dead sees it when it is back."""
        if self.libvirt != "answers":
            self._held_back.append(lambda: self._heard_end(vm, life, word))
            return
        if vm.life is None:
            vm.libvirt_thinks, vm.reason = "shut off", word
        self._word(vm.uuid, "stopped", word, 0)
        for call in vm.gone_after:
            self.later(0, call)
        vm.gone_after = []

    # A guest that moves while it runs: what libvirt does with it at either end.

    def let_in(self, vm: SimulatedVm) -> Incarnation:
        """Its process waits here for all that the guest has in memory."""
        life = self._spawn(vm, "migrated")
        vm.moves = IN
        return life

    def go_on_here(self, name: str, began: int) -> None:
        """It has come, as it was at the other end, where it booted at `began`."""
        vm = self.vms[name]
        vm.moves, vm.began, vm.has_run, vm.is_defined = "", began, True, True
        self._event(vm.uuid, "RESUME", "{}", 1)
        self._word(vm.uuid, "resumed", "migrated", 2)
        self._word(vm.uuid, "defined", "added", 3)
        for hear in self.moved:
            hear(vm)

    def drop_half(self, name: str, *, is_defined: bool) -> None:
        """Of what came in half nothing is left, but a definition that was here before."""
        self.vms[name].is_defined = is_defined
        self._end(name, "destroy", 0, times.DESTROY_WORD_MS, "failed")

    def hand_over(self, name: str) -> None:
        """All of it was sent: it stands still until the other end has it."""
        vm = self.vms[name]
        vm.moves = OUT
        self._event(vm.uuid, "STOP", "{}", 1)
        self._event(vm.uuid, "MIGRATION", '{"status": "completed"}', 2)
        self._word(vm.uuid, "suspended", "migrated", 3)

    def stay(self, name: str, *, is_shut_out: bool) -> None:
        """The other end does not have it, or did not say so: it goes on here, unless its disks are
        locked by somebody who has."""
        vm = self.vms[name]
        vm.moves, vm.is_shut_out = "", is_shut_out
        if not is_shut_out:
            self._event(vm.uuid, "RESUME", "{}", 1)
            self._word(vm.uuid, "resumed", "migrated", 2)

    def leave(self, name: str, *, is_defined: bool) -> None:
        """The other end has it; `virsh migrate` by itself leaves its definition here."""
        vm = self.vms[name]
        for hear in self.left:
            hear(vm)
        self._end(name, "kill", 0, times.AWAY_WORD_MS - times.AWAY_MS, "migrated")
        vm.is_defined = is_defined
        if not is_defined:
            self._word(vm.uuid, "undefined", "removed", times.AWAY_WORD_MS - times.AWAY_MS + 1)

    # What befalls a guest that lives on.

    def panic(self, name: str) -> None:
        vm = self.vms[name]
        vm.is_stuck = True
        self._event(vm.uuid, "GUEST_PANICKED", '{"action": "pause"}', 1)

    def hang(self, name: str) -> None:
        self.vms[name].is_stuck = True

    def come_back(self, name: str) -> None:
        """A hung or paused guest goes on by itself."""
        self.vms[name].is_stuck = self.vms[name].is_paused = False

    def suspend(self, name: str) -> None:
        vm = self.vms[name]
        vm.is_paused = True
        self._event(vm.uuid, "STOP", "{}", 1)
        self._word(vm.uuid, "suspended", "paused", 2)

    def reset_inside(self, name: str) -> None:
        vm = self.vms[name]
        vm.began, vm.is_stuck = self.clock.now, False
        self._event(vm.uuid, "RESET", '{"guest": true, "reason": "guest-reset"}', 1)

    def fire_watchdog(self, name: str, action: str) -> None:
        vm = self.vms[name]
        vm.is_stuck = True
        self._event(vm.uuid, "WATCHDOG", f'{{"action": "{action}"}}', 1)
        if action == "reset":
            self._of(vm.life, 2, lambda: self.reset_inside(name))

    def dump_crash(self, name: str, takes_ms: float) -> None:
        """The guest's crash kernel writes its dump, then boots it anew."""
        vm = self.vms[name]
        vm.is_stuck = True
        self._event(vm.uuid, "GUEST_CRASHLOADED", "{}", 1)
        self._of(vm.life, takes_ms, lambda: self.reset_inside(name))

    def fail_disk(self, name: str, *, halts: bool) -> None:
        vm = self.vms[name]
        vm.is_paused |= halts
        action = "stop" if halts else "report"
        data = f'{{"device": "vda", "operation": "write", "action": "{action}", "reason": "EIO"}}'
        self._event(vm.uuid, "BLOCK_IO_ERROR", data, 1)

    def resume(self, name: str) -> None:
        vm = self.vms[name]
        vm.is_paused = False
        self._event(vm.uuid, "RESUME", "{}", 1)

    # What befalls libvirt, and the host.

    def restore_libvirt(self) -> None:
        """It answers again, says what it has kept back, and its state is read anew."""
        self.libvirt = "answers"
        self._tell(LibvirtAnswered(at=self.now(), after_gap=True))
        kept, self._held_back = self._held_back, []
        for call in kept:
            call()
        self.later(5, self._tell_states)

    def freeze(self) -> None:
        """No program of it runs, and no guest writes until it goes on."""
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        waiting, self._after_thaw = self._after_thaw, []
        for call in waiting:
            call()

    def when_it_runs(self, what: Callable[[], None]) -> None:
        """At once, or when the host goes on; a power cut takes it away."""
        if self.is_frozen:
            self._after_thaw.append(what)
        else:
            what()

    def cut_power(self) -> None:
        """Everything on it ends without a word."""
        self.is_up = self.is_frozen = False
        self.see = None
        self._held_back, self._after_thaw = [], []
        for vm in self.vms.values():
            vm.life, vm.is_ending, vm.gone_after = None, False, []
            vm.moves, vm.is_shut_out = "", False
            vm.libvirt_thinks, vm.reason = "shut off", "unknown"

    def boot_again(self) -> None:
        self.is_up, self.libvirt = True, "answers"
        self.boot = f"{self._boot_name}-{next(self._boots)}"
        self._boot_began = self.clock.now

    def _tell_states(self) -> None:
        for seen in self._states():
            self._tell(seen)

    def _states(self) -> list[Observation]:
        at = self.now()
        return [
            DomainStateRead(at=at, vm=vm.uuid, state=vm.libvirt_thinks, reason=vm.reason)
            for vm in self.vms.values()
            if vm.libvirt_thinks == "shut off" and vm.is_defined
        ]

    def _ping(self, vm: SimulatedVm, life: Incarnation) -> None:
        """The sensor of guest agents: a ping each two seconds, vCPUs measured in a silence."""
        at = self.now()
        if vm.serves(self.clock.now):
            self._tell(AgentAnswered(at=at, incarnation=life))
        elif vm.is_stuck:
            self._tell(AgentSilent(at=at, incarnation=life))
            measured = VcpusMeasured(
                at=at,
                incarnation=life,
                window_ms=times.MEASURE_MS,
                vcpus=1,
                ran_ms=0,
                waited_ms=0,
                turns=0,
                is_paused=vm.is_paused,
            )
            self._tell(measured)
        self._of(life, times.PING_MS, lambda: self._ping(vm, life))

    def _of(self, life: Incarnation | None, delay_ms: float, what: Callable[[], None]) -> None:
        """Only while this life goes on."""
        if life is None:
            return
        vm = self.by_uuid(life.vm)
        self.later(delay_ms, lambda: what() if vm is not None and vm.life == life else None)
