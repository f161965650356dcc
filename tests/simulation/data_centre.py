"""A data centre in virtual time: hosts, planes, store, one or three controllers, and a VIM.

What runs in it is the program's own code; only sockets, disks, libvirt and time are simulated.
"""

import random
from collections.abc import Callable, Iterable
from functools import partial
from uuid import NAMESPACE_DNS, uuid5

from holdfast.adapters.simulated.bmc import PLANE, Bmcs
from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.cluster import StoreCluster
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.moves import Roads
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.storage import SharedStorage
from holdfast.adapters.simulated.vm import SimulatedVm
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.layers import Plan
from holdfast.facts.wire import VERSION
from holdfast.policy import timing
from holdfast.ports.link import Dial
from tests.simulation import receivers
from tests.simulation.agents import SimulatedAgent, dial
from tests.simulation.controllers import SimulatedController
from tests.simulation.probes import Answerer, Carrier
from tests.simulation.pulses import SimulatedPulse, agent_board, key_of
from tests.simulation.receivers import Receiver

PLANES = ("a", "b")
AGENT_AFTER_MS, CONTROLLER_AFTER_MS = 1_000.0, 500.0
DRIFT_PPM = 500
GASP_TEXT = "Kernel panic - not syncing: Fatal exception"


class Host:
    """A machine with an agent and a pulse; a controller may run on it, too."""

    def __init__(self, machine: Machine, rack: str) -> None:
        self.machine, self.rack = machine, rack
        self.controller: SimulatedController | None = None
        self.agent: SimulatedAgent
        self.pulse: SimulatedPulse


class DataCentre:
    """The first `controllers` of its hosts have one each, and a member of the store; the last
    `older` ones have the version before. Each host has `bmcs`, the first one tried first."""

    def __init__(
        self,
        seed: int = 0,
        *,
        hosts: int = 5,
        controllers: int = 3,
        racks: int = 0,
        older: int = 0,
        bmcs: int = 0,
        make_controller: Callable[..., SimulatedController] = SimulatedController,
        make_agent: Callable[..., SimulatedAgent] = SimulatedAgent,
    ) -> None:
        self._make_agent = make_agent
        self.rng = random.Random(seed)
        self.clock = Clock()
        self.network = Network(self.clock, self.rng, PLANES)
        self.bmcs = Bmcs(self.clock, Network(self.clock, self.rng, [PLANE]))
        self.roads = Roads(self.clock, self.network, receivers.LINKS)
        self.storage = SharedStorage()
        self.boots_by_people: dict[str, int] = {}
        self.granted_at: dict[str, int] = {}  # When a grant of its lease came to a host last.
        self.receiver, self.pager = Receiver(self.clock), Receiver(self.clock)
        names = [f"h{number}" for number in range(1, hosts + 1)]
        self.cluster = StoreCluster(
            self.clock, self.network, receivers.LINKS, names[: max(1, controllers)]
        )
        self.hosts: dict[str, Host] = {}
        for number, name in enumerate(names):
            ppm = self.rng.randint(-DRIFT_PPM, DRIFT_PPM)
            machine = Machine(self.clock, self.network, name, ppm)
            rack = f"rack{number % racks + 1}" if racks else ""
            self.hosts[name] = Host(machine, rack)
        self.roads.machines = {name: host.machine for name, host in self.hosts.items()}
        self.controllers: dict[str, SimulatedController] = {}
        for name, host in self.hosts.items():
            host.machine.reset_boots.append(partial(self._reset, name))
        for name in names[:controllers]:
            host = self.hosts[name]
            carrier = Carrier(host.machine, self._answerer)
            told = (self.receiver, self.pager)
            made = make_controller(
                host.machine, self.cluster, *told, carrier, self._peers, self.bmcs
            )
            host.controller = self.controllers[name] = made
            made.grant = self._granted
        for host in self.hosts.values():
            self._equip(host)
        for name in names[hosts - older :]:
            self.hosts[name].agent.version = VERSION - 1

        for host in self.hosts.values():
            for number in range(1, bmcs + 1):
                self.bmcs.add(host.machine, f"{host.machine.name}-bmc{number}")

    def _equip(self, host: Host) -> None:
        machine = host.machine
        carrier = Carrier(machine, self._answerer)
        host.agent = self._make_agent(machine, self._dials, carrier, host.rack, self.roads)
        targets = [(name, one.hear) for name, one in self.controllers.items()]
        agent = host.agent
        board = agent_board(agent.word, lambda: agent.restarts_on_purpose)
        host.pulse = SimulatedPulse(machine, targets, board)
        machine.booted.append(partial(self._start, host))
        machine.went_down.append(partial(self._went_down, host))

    def _dials(self, machine: Machine) -> list[Dial]:
        certified_as = self.hosts[machine.name].agent.poses_as
        return [
            dial(machine, controller.machine, partial(controller.serve, certified_as=certified_as))
            for controller in self.controllers.values()
        ]

    def _peers(self, machine: Machine) -> list[Dial]:
        return [
            dial(machine, one.machine, partial(one.serve, is_controller=True), "controller")
            for one in self.controllers.values()
            if one.machine is not machine
        ]

    def _granted(self, name: str, data: bytes) -> None:
        """An ear's answer arrives where that pulse was sent."""
        self.granted_at[name] = self.clock.now
        self.hosts[name].pulse.granted(data)

    def _reset(self, name: str) -> None:
        """By its watchdog: it boots again by itself, as after a button was pressed."""
        self.boots_by_people[name] = self.boots_by_people.get(name, 0) + 1

    def _answerer(self, name: str) -> Answerer:
        host = self.hosts[name]
        return host.machine, host.pulse

    # Its life.

    def begin(self) -> None:
        """Everything starts, as after a power cut of the whole site, and comes to rest."""
        for host in self.hosts.values():
            self._start(host)

    def _start(self, host: Host) -> None:
        machine = host.machine
        if host.agent.version >= VERSION:  # The version before has no pulse.
            host.pulse.begin()
        if host.controller is not None:
            machine.later(CONTROLLER_AFTER_MS, partial(self.start_controller, host))
        machine.later(AGENT_AFTER_MS, partial(self.start_agent, host))

    def _went_down(self, host: Host) -> None:
        host.pulse.end()
        host.agent.lost_power()
        if host.controller is not None:
            host.controller.lost_power()

    def start_agent(self, host: Host) -> None:
        if host.machine.is_up and not host.machine.runs("agent"):
            host.agent.begin()

    def start_controller(self, host: Host) -> None:
        if host.controller is not None and not host.machine.runs("controller"):
            host.controller.begin()

    def run_for(self, ms: float) -> None:
        self.clock.run_until(self.clock.now + round(ms * NS_PER_MS))

    def end(self) -> None:
        """Nothing of it is left."""
        for host in self.hosts.values():
            host.machine.bury()

    def failures(self) -> list[str]:
        """What failed where nobody handled it: a defect, of the program or of the simulation."""
        loops = [str(f) for host in self.hosts.values() for f in host.machine.failures]
        controllers = self.controllers.values()
        refused = [
            f"{one.name} refused {one.entries_refused} entries of agents"
            for one in controllers
            if one.entries_refused
        ]
        return loops + refused + [f for one in controllers for f in one.failed]

    # What befalls it.

    def add_vm(self, host: str, name: str, uuid: str = "", disk: str = "") -> SimulatedVm:
        uuid = uuid or str(uuid5(NAMESPACE_DNS, name))
        vm = SimulatedVm(name=name, uuid=uuid, memory_gb=0.1, disk=disk)
        vms = self.hosts[host].machine.vms
        vms.define(vm)
        vms.begin(name)
        return vm

    def host_of(self, vm: str) -> Host:
        """Where it runs, else where it ran last. Raises KeyError."""
        have_it = [host for host in self.hosts.values() if vm in host.machine.vms.vms]
        if not have_it:
            raise KeyError(vm)
        return max(have_it, key=lambda host: _recency(host.machine.vms.vms[vm]))

    def define(self, vm: str, on: str) -> None:
        """The same VM, on another host. One that is defined there stays as it is."""
        there = self.hosts[on].machine.vms
        if vm not in there.vms:
            there.define(self.host_of(vm).machine.vms.vms[vm].elsewhere())

    def cut_power(self, host: str) -> None:
        self.hosts[host].machine.cut_power()

    def boot(self, host: str) -> None:
        """By people: nobody else does."""
        self.boots_by_people[host] = self.boots_by_people.get(host, 0) + 1
        self.hosts[host].machine.boot_again()

    def panic(self, host: str, *, gasps: bool) -> None:
        """The kernel's last words, if any, leave before it stops."""
        if gasps:
            for name, controller in self.controllers.items():
                say = partial(controller.hear_gasp, host, GASP_TEXT)
                self.network.send(PLANES[0], host, name, say)
        self.hosts[host].machine.panic()

    def shut_down(self, host: str) -> None:
        """In order: VMs are ended by libvirt, the pulse says why, then the power goes."""
        one = self.hosts[host]
        for name, vm in one.machine.vms.vms.items():
            if vm.runs:
                one.machine.vms.destroy(name)
        one.pulse.plan, one.pulse.limit_ms = Plan.HOST_STOPS, timing.HOST_STOP_LIMIT_MS
        one.machine.later(2_000, one.machine.cut_power)

    def restart_agent(self, host: str, takes_ms: float = 3_000) -> None:
        """On purpose: it says so."""
        one = self.hosts[host]
        one.agent.kill(planned=True)
        one.machine.later(takes_ms, partial(self.start_agent, one))

    def restart_pulse(self, host: str, takes_ms: float = 1_500) -> None:
        one = self.hosts[host]
        one.pulse.leave(Plan.PULSE_RESTARTS, timing.PULSE_RESTART_LIMIT_MS)
        one.machine.later(takes_ms, one.pulse.begin)

    def stop_services(self, host: str) -> None:
        """All of Holdfast is ended there, as `systemctl stop 'holdfast-*'` does; VMs run on."""
        one = self.hosts[host]
        one.agent.kill(planned=True)
        one.pulse.leave(Plan.PULSE_RESTARTS, timing.PULSE_RESTART_LIMIT_MS)

    def start_services(self, host: str) -> None:
        one = self.hosts[host]
        one.pulse.begin()
        self.start_agent(one)

    def swap_keys(self, one: str, other: str) -> None:
        """Somebody put the wrong files on two hosts; their agents know better."""
        first, second = self.hosts[one].pulse, self.hosts[other].pulse
        first.key, second.key = second.key, first.key

    def clone(self, host: str, of: str) -> None:
        """It was made from the other's disk: the same identity, and the same keys."""
        copy = self.hosts[host]
        copy.pulse.host, copy.pulse.key = of, key_of(of)
        if copy.machine.runs("agent"):
            copy.agent.kill()
        copy.agent.poses_as = of
        copy.machine.disk.pop("world", None)
        self.start_agent(copy)

    def everybody(self) -> list[str]:
        return [*self.hosts, receivers.NAME]

    def split(self, groups: Iterable[Iterable[str]], planes: Iterable[str] = PLANES) -> None:
        """Who is not named (the VIM, say) is reached by all."""
        for plane in planes:
            self.network.split(plane, groups)


def _recency(vm: SimulatedVm) -> tuple[bool, bool, bool, int]:
    """Of the two ends of a move, the one at which the guest is."""
    return vm.can_write, vm.runs, vm.has_run, vm.began
