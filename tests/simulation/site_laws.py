"""The laws of a site, checked as reports arrive, from what truly happened in the data centre.

Truth is what was done to machines, processes and networks; nothing here is taken from what the
program believes, but where a law is about that belief.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.adapters.simulated.machine import Machine
from holdfast.detectors.host_silent import NEVER_HEARD_MS
from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.instants import NS_PER_MS, NS_PER_S
from holdfast.facts.layers import Plan
from holdfast.facts.verdicts import Certainty
from holdfast.policy import timing
from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import SiteWorld
from tests.simulation import receivers
from tests.simulation.controllers import SimulatedController
from tests.simulation.data_centre import DataCentre, Host
from tests.simulation.paths import MILD_MS, Paths
from tests.simulation.receivers import Arrived
from tests.simulation.site_end import left_over

REPORT_NS = timing.REPORT_LIMIT_MS * NS_PER_MS
TICK_MS = 100.0
KNOWN_FOR_NS = 3 * NS_PER_S  # Who was in order for so long keeps the promise of one second.
BEGUN_FOR_NS = 15 * NS_PER_S  # A controller that began has heard by then whom it can hear.
LATE_NS = 20 * NS_PER_S  # Who comes into order later finds what happened before within this.
# Whom a controller has not heard since it began is given that long, and the time to be known.
NEVER_HEARD_NS = (NEVER_HEARD_MS + 5_000) * NS_PER_MS
PERSON_NS = (timing.PAGE_AFTER_MS + 5_000) * NS_PER_MS
OVERDUE_NS = 1 * NS_PER_S
OF_LOSS = ("host-lost", "host-frozen", "host-panicked")


class LawBroken(AssertionError):
    """Which law, by what, and when."""


@dataclass
class _Fault:
    """Something that must be reported: `conditions`, any of which, of keys that begin so."""

    what: str
    host: Host
    boot: str
    key: str
    conditions: tuple[str, ...]
    at: int
    heard_by: frozenset[str] = frozenset()  # Controllers that both planes led to, both ways.
    is_reported: bool = False


@dataclass
class _Since:
    """Since when somebody is in order; and which process that was."""

    at: int | None = None
    process: int = 0
    begun_at: int = 0


@dataclass
class SiteLaws:
    site: DataCentre
    reported: int = 0
    excused: int = 0  # Faults that nobody could have reported within the second.
    retracted: int = 0
    faults: list[_Fault] = field(default_factory=list)
    _controllers: dict[str, _Since] = field(default_factory=lambda: defaultdict(_Since))
    _hosts: dict[str, _Since] = field(default_factory=lambda: defaultdict(_Since))
    _ways: dict[tuple[str, str], _Since] = field(default_factory=lambda: defaultdict(_Since))
    _ways_noted: int = -1  # After how many changes of the network.
    _dead_since: dict[str, int] = field(default_factory=dict)
    _sequences: dict[tuple[str, str], int] = field(default_factory=dict)
    _revisions: dict[tuple[str, str], int] = field(default_factory=dict)
    # Alarms that may be open when all is over: a person has what is left.
    may_stay: Callable[[Alarm], bool] = lambda _: False
    # Whether somebody, or a BMC, lied about that boot of a host.
    is_deceived: Callable[[str, str], bool] = lambda _host, _boot: False
    # Whether a VM moves: what befalls it then is told once that is over.
    is_moving: Callable[[str], bool] = lambda _vm: False
    # On which hosts which VMs were ended by somebody, or fell with their host.
    _may_end: set[tuple[str, str]] = field(default_factory=set)
    _broken: list[LawBroken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paths = Paths(self.site.network)
        self._tick()

    # What happened.

    def lost(self, host: str) -> None:
        """Its power is cut, or its kernel or all its programs stop: nobody hears it any more."""
        one = self.site.hosts[host]
        self._may_end |= _all_on(one)
        if self._knows_alive(one) and one.pulse.plan is not Plan.HOST_STOPS:
            key = f"{host}/{one.machine.boot}:"
            is_planned = one.pulse.plan is Plan.PULSE_RESTARTS  # It said how long that may last.
            self._expect("was lost", one, key, OF_LOSS, is_urgent=not is_planned)

    def agent_lost(self, host: str) -> None:
        one = self.site.hosts[host]
        if self._knows_alive(one) and one.machine.can_run("agent"):
            key = f"{host}/{one.machine.boot}:"
            self._expect("has lost its agent", one, key, ("agent-away",))

    def vm_killed(self, host: Host, name: str) -> None:
        vm = host.machine.vms.vms[name]
        self.vm_may_end(host, name)
        is_watched = self._knows_alive(host) and self._agent_is_well(host)
        is_watched = is_watched and not self.is_moving(vm.uuid)
        if vm.life is not None and not vm.is_ending and is_watched:
            self._expect(f"has lost {name}", host, f"{vm.life.key}:", ("vm-gone",))

    def vms_stopped(self, host: str) -> None:
        """On purpose, with their host."""
        self._may_end |= _all_on(self.site.hosts[host])

    def vm_may_end(self, host: Host, name: str) -> None:
        """It is ended there on purpose, or may be."""
        self._may_end.add((host.machine.name, name))

    def vm_started(self, host: Host, name: str) -> None:
        self._may_end.discard((host.machine.name, name))

    def heard(self, arrived: Arrived) -> None:
        """Something has arrived at the VIM."""
        alarm = arrived.record.alarm
        self._judge_order(arrived)
        if alarm.state is AlarmState.CLEARED:
            self.retracted += alarm.condition in OF_LOSS
            return
        self._judge_certainty(arrived)
        for fault in self.faults:
            is_it = alarm.condition in fault.conditions and alarm.key.startswith(fault.key)
            if is_it and not fault.is_reported:
                fault.is_reported = True
                self.reported += 1

    # What must hold at any time.

    def look(self) -> None:
        """Raises LawBroken for what was found since the last look."""
        if self._broken:
            raise self._broken[0]
        failures = self.site.failures()
        if failures:
            raise LawBroken(f"something failed and nobody handled it: {failures[:3]}")

    def _tick(self) -> None:
        now = self.site.clock.now
        for name, controller in self.site.controllers.items():
            since = self._controllers[name]
            loop = controller.machine.loops.get("controller")
            if loop is not None and id(loop) != since.process:
                since.process, since.begun_at = id(loop), now
            _note(since, now, is_well=self._is_well(controller))
        for name, host in self.site.hosts.items():
            is_alive = self._is_alive(host)
            _note(self._hosts[name], now, is_well=is_alive)
            if is_alive or host.machine.can_run("agent"):
                self._dead_since[name] = now  # Its agent may vouch for it without a pulse.
        if self.paths.changes != self._ways_noted:
            self._ways_noted = self.paths.changes
            self._note_ways(now)
        self._judge_vms()
        self._judge_states()
        self._judge_late()
        self.site.clock.later(TICK_MS, self._tick)

    def _note_ways(self, now: int) -> None:
        for name in self.site.hosts:
            for other in self.site.controllers:
                is_whole = self.paths.talk_everywhere(name, other)
                _note(self._ways[name, other], now, is_well=is_whole)

    def _judge_order(self, arrived: Arrived) -> None:
        notice, alarm = arrived.notice, arrived.record.alarm
        stream = (arrived.controller, notice.stream)
        last = self._sequences.get(stream, 0)
        if notice.sequence not in (last, last + 1) and not notice.gap:
            self.breach(
                f"no report is lost: {arrived.controller} sent {notice.sequence} after {last}"
            )
        self._sequences[stream] = max(last, notice.sequence)
        name = (arrived.controller, alarm.key)
        if alarm.revision < self._revisions.get(name, 0):
            self.breach(f"revisions keep their order: {arrived.controller} sent an older {alarm}")
        self._revisions[name] = alarm.revision

    def _judge_certainty(self, arrived: Arrived) -> None:
        alarm = arrived.record.alarm
        if alarm.condition not in OF_LOSS or alarm.certainty is not Certainty.CERTAIN:
            return
        name, _, boot = alarm.key.rpartition(":")[0].partition("/")
        machine = self.site.hosts[name].machine
        lives = machine.is_up and machine.boot == boot
        if lives and not self.is_deceived(name, boot):
            self.breach(f"nothing is confirmed that lives: {alarm.key}, {alarm.text}")

    def _judge_vms(self) -> None:
        for name, host in self.site.hosts.items():
            if not host.machine.is_up:
                self._may_end |= _all_on(host)
                continue
            for vm in host.machine.vms.vms.values():
                if vm.has_run and not vm.runs and (name, vm.name) not in self._may_end:
                    self.vm_may_end(host, vm.name)
                    self.breach(
                        f"losing controllers or store stops no VM: {vm.name} ended on {name}"
                    )

    def _judge_states(self) -> None:
        """No state without an exit: whoever waits, waits for something that comes."""
        for name, controller in self.site.controllers.items():
            decider = controller.decider
            if decider is None or self._controllers[name].at is None:
                continue
            world = decider.world
            if world.defects:
                self.breach(f"no state without an exit: {name}: {world.newest_defect}")
            due, now = decider.deadline(), controller.machine.own.monotonic_ns()
            if due is not None and now - due > OVERDUE_NS and self._was_well(name, OVERDUE_NS):
                self.breach(f"no state without an exit: {name} should have been woken at {due}")
            for record in world.hosts.values():
                if record.state in SILENT and record.ask_at is None:
                    self.breach(f"no state without an exit: {name} asks nobody of {record.name}")
            if self._was_well(name, PERSON_NS) and controller.leads():
                self._judge_handing_over(name, world)

    def _judge_handing_over(self, name: str, world: SiteWorld) -> None:
        """Who is dead for so long is a person's by now: nobody else can find out more."""
        now, begun_at = self.site.clock.now, self._controllers[name].begun_at
        judges_from = begun_at + NEVER_HEARD_NS
        for record in world.hosts.values():
            dead_since = self._dead_since.get(record.host, now)
            if record.state not in SILENT or now - max(dead_since, judges_from) < PERSON_NS:
                continue
            incident = world.incidents.get(record.incident)
            if incident is None or not incident.needs_you:
                self.breach(f"alarms end with a person: nobody is asked about {record.name}")

    # Every fault is reported within one second, by somebody who is in order.

    def _expect(
        self,
        what: str,
        host: Host,
        key: str,
        conditions: tuple[str, ...],
        *,
        is_urgent: bool = True,
    ) -> None:
        now = self.site.clock.now
        heard_by = frozenset(
            name
            for name in self.site.controllers
            if (since := self._ways[host.machine.name, name].at) is not None
            and now - since >= KNOWN_FOR_NS
        )
        fault = _Fault(what, host, host.machine.boot, key, conditions, now, heard_by)
        fault.is_reported = any(
            alarm.key.startswith(key) and alarm.condition in conditions
            for alarm in self.site.receiver.open()
        )
        self.faults.append(fault)
        if is_urgent:
            self.site.clock.at(now + REPORT_NS, lambda: self._must_be_reported(fault))

    def _must_be_reported(self, fault: _Fault) -> None:
        if fault.is_reported or not self._persists(fault):
            return
        able = [name for name in self.site.controllers if self._keeps_promise(name, fault)]
        if not able:
            self.excused += 1
            return
        self.breach(
            f"every pushed fault is reported within one second: {fault.host.machine.name}"
            f" {fault.what} at {fault.at / NS_PER_S} s, and {', '.join(able)} told nobody"
        )

    def _judge_late(self) -> None:
        """What nobody could tell at once is told once somebody can."""
        now = self.site.clock.now
        for fault in list(self.faults):
            if fault.is_reported or not self._persists(fault):
                if now - fault.at > REPORT_NS:
                    self.faults.remove(fault)
                continue
            if now - fault.at > LATE_NS and self._somebody_knows(fault, LATE_NS):
                self.faults.remove(fault)
                self.breach(
                    f"every fault is reported in the end: {fault.host.machine.name} {fault.what}"
                    f" at {fault.at / NS_PER_S} s, and it is {now / NS_PER_S} s"
                )

    def _persists(self, fault: _Fault) -> bool:
        machine = fault.host.machine
        if fault.conditions == OF_LOSS:
            return machine.boot == fault.boot and not self._is_alive(fault.host)
        if fault.conditions == ("agent-away",):
            is_back = machine.can_run("agent") or not self._is_alive(fault.host)
            return machine.boot == fault.boot and not is_back
        return machine.boot == fault.boot and self._agent_is_well(fault.host)

    def _keeps_promise(self, name: str, fault: _Fault) -> bool:
        is_long = self._controllers[name].begun_at <= fault.at - BEGUN_FOR_NS
        controller = self.site.controllers[name]
        is_its_own = controller.machine is fault.host.machine
        if not is_long or is_its_own or not self._was_well(name, REPORT_NS + KNOWN_FOR_NS):
            return False
        me, host = controller.machine.name, fault.host.machine.name
        if name not in fault.heard_by:
            return False
        is_dead = fault.conditions == OF_LOSS
        return is_dead or self.site.network.talk(host, me, receivers.LINKS)

    def _somebody_knows(self, fault: _Fault, for_ns: int) -> bool:
        """Of what the agent of a host sees, only a controller that the host reaches can know."""
        is_lost, now, host = fault.conditions == OF_LOSS, self.site.clock.now, fault.host.machine
        return any(
            self._was_well(name, for_ns)
            and now - self._controllers[name].begun_at > for_ns
            and (is_lost or now - (self._ways[host.name, name].at or now) >= for_ns)
            for name in self.site.controllers
        )

    def _was_well(self, name: str, for_ns: int) -> bool:
        at = self._controllers[name].at
        return at is not None and self.site.clock.now - at >= for_ns

    def _is_well(self, controller: SimulatedController) -> bool:
        """It runs, in time, hears hosts, and reaches the VIM, over a network that is not bad."""
        machine, network = controller.machine, self.site.network
        receiver = self.site.receiver
        runs = self._runs_in_time(machine, "controller") and self._runs_in_time(machine, "ear")
        if not machine.is_up or not runs or receiver.is_away or receiver.is_slow_ms > MILD_MS:
            return False
        if not network.talk(machine.name, receivers.NAME, receivers.LINKS):
            return False
        if not self.paths.are_mild:
            return False
        others = [host for host in self.site.hosts.values() if host.machine is not machine]
        heard = (one for one in others if self._is_alive(one) and self._hears(machine, one))
        return any(heard) or len(others) == 1

    def _runs_in_time(self, machine: Machine, process: str) -> bool:
        return machine.can_run(process) and not machine.loops[process].lag_ms

    def _hears(self, machine: object, host: Host) -> bool:
        name, network = getattr(machine, "name", ""), self.site.network
        return any(network.reaches(p, host.machine.name, name) for p in network.planes)

    def _is_alive(self, host: Host) -> bool:
        machine = host.machine
        return machine.is_up and not machine.is_frozen and host.pulse.is_running

    def _knows_alive(self, host: Host) -> bool:
        """It was there for long enough that a controller knows it."""
        since = self._hosts[host.machine.name].at
        return since is not None and self.site.clock.now - since >= KNOWN_FOR_NS

    def _agent_is_well(self, host: Host) -> bool:
        return host.machine.can_run("agent") and not host.machine.loops["agent"].lag_ms

    # What must hold at the end, when all is mended and has had its time.

    def at_the_end(self) -> None:
        """Raises LawBroken."""
        self.look()
        broken = list(left_over(self.site, self.may_stay))
        if broken:
            raise LawBroken("; ".join(broken[:5]))

    def breach(self, text: str) -> None:
        """Reports arrive deep within a process: it is raised at the next look, outside of it."""
        self._broken.append(LawBroken(text))


def _all_on(host: Host) -> set[tuple[str, str]]:
    return {(host.machine.name, name) for name in host.machine.vms.vms}


def _note(since: _Since, now: int, *, is_well: bool) -> None:
    if not is_well:
        since.at = None
    elif since.at is None:
        since.at = now
