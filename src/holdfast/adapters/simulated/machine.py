"""One machine of a simulated data centre: power, clock, kernel, and the processes on it.

It knows nothing of agents and controllers: a process is an event loop that can be frozen, starved
and killed, and whoever started it is told when the machine boots again.
"""

from collections.abc import Callable

from holdfast.adapters.simulated.clock import Clock, HostClock
from holdfast.adapters.simulated.connection import End
from holdfast.adapters.simulated.host import SimulatedHost
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.virtual_loop import VirtualLoop
from holdfast.adapters.simulated.watchdog import LeaseBoardInMemory, SimulatedWatchdog
from holdfast.facts.instants import NS_PER_MS

RESET_AFTER_MS = 2_500.0  # Pings go each 5 s: on average the next one meets the new boot then.
RESET_MS = 40_000.0  # From a reset by the watchdog until the kernel runs again.
BOOTED_AFTER_MS = 1_000.0  # Until the first processes run; the monotonic clock runs before.


class Machine:
    """`booted` are called at each boot, in order: they start what runs at boot."""

    def __init__(self, clock: Clock, network: Network, name: str, ppm: int = 0) -> None:
        self.name, self.clock, self.network = name, clock, network
        self.own = HostClock(clock, ppm, begins_ns=1_000_000 * NS_PER_MS)
        self.vms = SimulatedHost(clock, self.own, name)
        self.is_up, self.is_frozen, self.kernel_answers = True, False, True
        self.has_power = self.has_mains = True  # Switched on; and there is current to be so.
        self.boots = 0  # How often it was booted again.
        self.booted: list[Callable[[], None]] = []
        self.went_down: list[Callable[[], None]] = []
        self.disk: dict[str, object] = {}  # What processes leave behind, by name.
        self.loops: dict[str, VirtualLoop] = {}
        self.graves: list[VirtualLoop] = []
        self.failures: list[dict[str, object]] = []
        self.watchdog = SimulatedWatchdog(clock, self._bitten)
        self.lease_board = LeaseBoardInMemory()
        self.reset_boots: list[Callable[[], None]] = []  # Each hears of a boot after a reset.
        self._ends: dict[str, list[End]] = {}  # Of connections, by process.
        self._orphans: list[End] = []  # Whose process fell with the power.

    @property
    def boot(self) -> str:
        return self.vms.boot

    def later(self, delay_ms: float, what: Callable[[], None]) -> None:
        """On this boot's time: a power cut takes it away."""
        self.vms.later(delay_ms, what)

    # Its processes.

    def begin(self, process: str) -> VirtualLoop:
        """A new process; the one of that name must have ended."""
        assert process not in self.loops, f"{process} of {self.name} runs"
        loop = VirtualLoop(self.clock, self.own, self.failures.append)
        self.loops[process] = loop
        if self.is_frozen:
            loop.freeze()
        return loop

    def kill(self, process: str) -> None:
        """Its kernel closes its connections, and says so to the other sides."""
        self._bury(process)
        for end in self._ends.pop(process, ()):
            end.abort()

    def own_end(self, process: str, end: End) -> None:
        """A process has this side of a connection."""
        ends = [one for one in self._ends.get(process, ()) if one.is_open]
        self._ends[process] = [*ends, end]

    def _bury(self, process: str) -> None:
        loop = self.loops.pop(process, None)
        if loop is not None:
            loop.kill()
            self.graves.append(loop)

    def runs(self, process: str) -> bool:
        return process in self.loops

    def can_run(self, process: str) -> bool:
        """It is there, and nobody has stopped it."""
        loop = self.loops.get(process)
        return loop is not None and not loop.is_frozen

    # What befalls it.

    def cut_power(self) -> None:
        """The mains fail, for whatever shares them, too."""
        self.has_mains = False
        self.switch_off()

    def switch_off(self) -> None:
        """As its BMC does it: at once, and the BMC itself lives on."""
        self.has_power = False
        self._fall(network_is_dead=True)

    def _bitten(self) -> None:
        """By its watchdog, as by its reset button: it boots again, by itself."""
        self._fall(network_is_dead=True)
        boots = self.boots
        self.clock.later(RESET_MS, lambda: self._boot_after_reset(boots))

    def _boot_after_reset(self, boots: int) -> None:
        if self.has_power and not self.is_up and self.boots == boots:
            self.boot_again()
            for hear in self.reset_boots:
                hear()

    def panic(self) -> None:
        """The kernel stops everything and answers nobody; power stays on."""
        self._fall(network_is_dead=True)

    def freeze(self, *, kernel_answers: bool = True) -> None:
        """No process of it runs; its kernel may still answer for it, or hang too."""
        self.is_frozen, self.kernel_answers = True, kernel_answers
        self.vms.freeze()
        for loop in self.loops.values():
            loop.freeze()
        if not kernel_answers:
            self.network.switch_off(self.name)

    def resume(self) -> None:
        self.is_frozen, self.kernel_answers = False, True
        self.network.switch_on(self.name)
        for loop in list(self.loops.values()):
            loop.thaw()
        self.vms.thaw()

    def starve(self, lag_ms: float) -> None:
        for loop in self.loops.values():
            loop.lag_ms = lag_ms

    def boot_again(self) -> None:
        """Power is there: a new boot, a clock that begins anew, and what starts at boot."""
        self.has_power = self.has_mains = True
        self.boots += 1
        self.is_up, self.is_frozen, self.kernel_answers = True, False, True
        self.own.boot()
        self.vms.boot_again()
        self.network.switch_on(self.name)
        orphans, self._orphans = self._orphans, []
        for end in orphans:  # Who still writes to the boot before hears that nobody knows it.
            self.clock.later(RESET_AFTER_MS, end.reset)  # However often it boots meanwhile.
        self.later(BOOTED_AFTER_MS, self._tell_booted)

    def bury(self) -> None:
        """At the end of a world: nothing is left for the collector to find."""
        for process in list(self.loops):
            self.kill(process)
        for loop in self.graves:
            loop.bury()

    def _fall(self, *, network_is_dead: bool) -> None:
        self.is_up = self.is_frozen = False
        self.kernel_answers = not network_is_dead
        for process in list(self.loops):
            self._bury(process)
        self._orphans += [end for ends in self._ends.values() for end in ends if end.is_open]
        self._ends.clear()
        for end in self._orphans:
            end.vanish()
        self.vms.cut_power()
        self.watchdog.close()
        self.lease_board = LeaseBoardInMemory()
        self.network.switch_off(self.name)
        for call in self.went_down:
            call()

    def _tell_booted(self) -> None:
        for call in self.booted:
            call()
