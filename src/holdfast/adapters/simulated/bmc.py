"""BMCs of simulated machines: outside of their host, on their own network, failing in all ways.

What one is told it does in its own time, whether or not who told it still waits: the machine of a
late BMC goes off although its controller has given up.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.network import Network
from holdfast.facts.fencing import Fence, FenceDevice
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.ports.fencer import FenceFailed, PowerState

AGENT = "fence_simulated"
ADDRESS, PASSWORD = "ip", "password"
OPTIONS = frozenset((ADDRESS, "username"))
PLANE = "management"
ANSWER_MS = 40.0
FALLS_MS = 300.0  # From the order until the power is gone.
POLL_S, TRY_S = 1.0, 5.0
READ_BACK_S = 10.0  # Of the deadline; kept for reading the power back.
AFTER_FAILURE_S = 5.0


@dataclass(frozen=True)
class Said:
    """What a BMC answers: the power that it reads, or an error."""

    power: PowerState | None = None
    error: str = ""


@dataclass
class Bmc:
    """`of` is the machine that people believe it switches; `wired_to` the one that it does."""

    name: str
    of: Machine
    wired_to: Machine
    clock: Clock
    switched: list[Callable[["Bmc"], None]]  # Each hears of it right before a machine goes off.
    password: str = "right"
    late_ms: float = 0.0
    is_dead: bool = False
    shares_power: bool = False  # With the machine that it is in: no mains, no answer.
    lies: str = ""  # "off": it says so, and does nothing. "on": it says so whatever it did.
    is_deaf: bool = False  # It takes the order, and its host stays on.
    refuses: bool = False  # Its password was changed.
    is_half: bool = False  # It switches off, and then says that it failed.
    is_strict: bool = False  # To switch off what is off already is an error to it.
    ignores_every_other: bool = False
    _ignored_last: bool = False

    def be_well(self) -> None:
        self.late_ms, self.lies, self.wired_to = 0.0, "", self.of
        self.is_dead = self.shares_power = self.refuses = False
        self.is_half = self.is_deaf = self.is_strict = False
        self.ignores_every_other = self._ignored_last = False

    @property
    def is_deceiving(self) -> bool:
        """What it says of its host may be untrue: no program could know better."""
        return self.lies == "off" or self.wired_to is not self.of

    def hear(self, order: str, password: str, answer: Callable[[Said], None]) -> None:
        if self.ignores_every_other:
            self._ignored_last = not self._ignored_last
            if self._ignored_last:
                return
        if self._lives:
            self.clock.later(ANSWER_MS + self.late_ms, lambda: self._do(order, password, answer))

    def _do(self, order: str, password: str, answer: Callable[[Said], None]) -> None:
        if not self._lives:
            return
        if self.refuses or password != self.password:
            answer(Said(error=f"{self.name} refuses the password."))
        elif order == "status":
            answer(Said(power=self._reading()))
        elif self.is_strict and not self.wired_to.has_power:
            answer(Said(error=f"{self.name} cannot switch off what is off already."))
        else:
            if self.lies != "off" and not self.is_deaf:
                self.clock.later(FALLS_MS, self._switch_off)
            error = f"{self.name} failed in the middle." if self.is_half else ""
            self.clock.later(FALLS_MS, lambda: answer(Said(error=error)))

    def _switch_off(self) -> None:
        if self.wired_to.has_power:
            for hear in self.switched:
                hear(self)
            self.wired_to.switch_off()

    def _reading(self) -> PowerState:
        if self.lies:
            return PowerState(self.lies)
        return PowerState.ON if self.wired_to.has_power else PowerState.OFF

    @property
    def _lives(self) -> bool:
        return not self.is_dead and (self.of.has_mains or not self.shares_power)


@dataclass(frozen=True)
class Ordered:
    """A controller begins to switch a host off."""

    by: Machine
    fence: Fence
    bmc: Bmc


class Bmcs:
    """All of a site, by name. `ordered` and `switched` hear of every switching-off."""

    def __init__(self, clock: Clock, network: Network) -> None:
        self.clock, self.network = clock, network
        self.by_name: dict[str, Bmc] = {}
        self.ordered: list[Callable[[Ordered], None]] = []
        self.switched: list[Callable[[Bmc], None]] = []

    def add(self, machine: Machine, name: str = "") -> Bmc:
        name = name or f"{machine.name}-bmc"
        made = Bmc(name, machine, machine, self.clock, self.switched)
        self.by_name[name] = made
        return made

    def of(self, host: str) -> list[Bmc]:
        """In the order in which they are tried."""
        return [bmc for bmc in self.by_name.values() if bmc.of.name == host]

    def device(self, bmc: Bmc) -> FenceDevice:
        """How the store describes it, with the password that was right when it was written."""
        return FenceDevice(
            agent=AGENT, options={ADDRESS: bmc.name}, secrets={PASSWORD: bmc.password}
        )

    def ladder(self, host: str) -> tuple[FenceDevice, ...]:
        return tuple(self.device(bmc) for bmc in self.of(host))


class SimulatedFencer:
    """See ports.fencer.Fencer: that of the controller on `machine`, in virtual time.

    As the real one: the order first, then the power is read back until the deadline; after an
    order that failed it is read once.
    """

    def __init__(self, machine: Machine, bmcs: Bmcs) -> None:
        self._machine, self._bmcs = machine, bmcs

    async def check(self, device: FenceDevice) -> None:
        """Raises FenceFailed."""
        if device.agent != AGENT:
            raise FenceFailed(f"{device.agent} is not installed here.")
        if ADDRESS not in device.options:
            raise FenceFailed(f"{AGENT} needs {ADDRESS}, and that is not given; give it.")
        strange = sorted((device.options.keys() - OPTIONS) | (device.secrets.keys() - {PASSWORD}))
        if strange:
            raise FenceFailed(f"{AGENT} has no option {strange[0]!r}; take it away.")

    async def power(self, device: FenceDevice) -> PowerState:
        """Raises FenceFailed."""
        await self.check(device)
        loop = asyncio.get_running_loop()
        return await self._read(device, loop.time() + device.deadline_s)

    async def switch_off(self, fence: Fence, device: FenceDevice) -> DeathProof:
        """Raises FenceFailed."""
        bmc = self._bmcs.by_name.get(device.options.get(ADDRESS, ""))
        if bmc is not None:
            for hear in self._bmcs.ordered:
                hear(Ordered(self._machine, fence, bmc))
        await self.check(device)
        await self._make_sure(fence, device)
        shown = f"{device.options[ADDRESS]} says that the power of {fence.name} is off"
        return DeathProof(
            kind=ProofKind.POWER,
            host=fence.host,
            boot=fence.boot,
            earlier=fence.earlier,
            shown=(shown,),
        )

    async def _make_sure(self, fence: Fence, device: FenceDevice) -> None:
        """Raises FenceFailed."""
        loop, failure = asyncio.get_running_loop(), None
        until = loop.time() + device.deadline_s
        try:
            await self._ask(device, "off", until - min(READ_BACK_S, device.deadline_s / 4))
        except FenceFailed as failed:
            failure = failed
        while True:
            try:
                limit = until if failure is None else min(until, loop.time() + AFTER_FAILURE_S)
                if await self._read(device, limit) is PowerState.OFF:
                    return
                last = FenceFailed(f"{fence.name} has power after it was switched off.")
            except FenceFailed as failed:
                last = failed
            if failure is not None:
                raise failure
            if loop.time() + POLL_S >= until:
                raise last
            await asyncio.sleep(POLL_S)

    async def _read(self, device: FenceDevice, until: float) -> PowerState:
        said = await self._ask(device, "status", until)
        assert said.power is not None
        return said.power

    async def _ask(self, device: FenceDevice, order: str, until: float) -> Said:
        """Again and again, as fence agents do. Raises FenceFailed."""
        loop = asyncio.get_running_loop()
        while (left_s := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(TRY_S, left_s)):
                    said = await self._carry(device, order)
            except TimeoutError:
                continue
            if said.error:
                raise FenceFailed(said.error)
            return said
        raise FenceFailed(f"{device.options[ADDRESS]} did not answer in time. Look at it.")

    async def _carry(self, device: FenceDevice, order: str) -> Said:
        """There and back over the management network; what is lost is never answered."""
        answered: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        network, me, name = self._bmcs.network, self._machine.name, device.options[ADDRESS]
        bmc = self._bmcs.by_name.get(name)

        def answer(said: Said) -> None:
            network.send(PLANE, name, me, lambda: _take(answered, said))

        if bmc is not None:
            password = device.secrets.get(PASSWORD, "")
            network.send(PLANE, me, name, lambda: bmc.hear(order, password, answer))
        return await answered


def _take(answered: asyncio.Future[Said], said: Said) -> None:
    if not answered.done() and not answered.get_loop().is_closed():
        answered.set_result(said)
