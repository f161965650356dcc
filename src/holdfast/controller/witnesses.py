"""Who is asked about a silent host: the host itself, its agent, other agents, other controllers.

A probe is signed by nobody but the host that answers it, so any agent may carry one. Another
controller is asked only when it must have noticed the silence too, if it is there to be noticed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from holdfast.controller.agents import Agent, Agents
from holdfast.facts import wire
from holdfast.facts.hearing import Sign, WitnessKind, WitnessSpoke
from holdfast.facts.instants import Instant
from holdfast.policy.timing import FRESH_LOOK_MS, WITNESS_LIMIT_MS
from holdfast.ports import clock
from holdfast.ports.answers import Unanswerable

log = logging.getLogger(__name__)

AGENTS_ASKED = 3
PROBE_MS = 250.0  # How long a witness waits for the host's answer.
assert PROBE_MS < WITNESS_LIMIT_MS

Witness = tuple[WitnessKind, str, str]  # Its name, and the plane on which it asked.
AskPeers = Callable[[str], Awaitable[Sequence[WitnessSpoke]]]


class Probe(Protocol):
    @property
    def address(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def data(self) -> bytes: ...


class Prober(Protocol):
    """The controller's hearing, as far as it asks hosts."""

    planes: dict[str, str]

    async def probe(self, host: str, plane: str) -> Sign: ...

    def make_probe(self, host: str, plane: str) -> Any: ...

    def check_answer(self, probe: Any, data: bytes, *, is_kernel: bool) -> Sign: ...


async def no_peers(_host: str) -> Sequence[WitnessSpoke]:
    """A single controller has nobody else to ask."""
    return ()


class Witnesses:
    """`ask_peers` asks the other controllers; set by whoever links them."""

    def __init__(
        self,
        prober: Prober,
        agents: Agents,
        see: Callable[[WitnessSpoke], None],
        ask_peers: AskPeers = no_peers,
    ) -> None:
        self._prober, self._agents, self._see = prober, agents, see
        self.ask_peers = ask_peers
        self._spoken: dict[str, dict[Witness, Instant]] = {}  # By host: when each spoke last.

    async def ask(self, host: str) -> None:
        """All at once; each word is passed on as it comes.

        A word counts only for as long as its witness can still say it. Of those who spoke before
        and did not now (their link broke, say), nothing is known any more.
        """
        began = clock.now()
        await self._ask_all(host)
        spoken = self._spoken.get(host, {})
        for witness in [one for one, at in spoken.items() if at < began]:
            self._say(host, *witness, Sign.UNKNOWN)
            del spoken[witness]
        if not spoken:
            self._spoken.pop(host, None)

    def forget(self, host: str) -> None:
        """It left the site."""
        self._spoken.pop(host, None)

    async def _ask_all(self, host: str) -> None:
        planes = list(self._prober.planes)
        own = asyncio.create_task(self._ask_own_agent(self._agents.by_host.get(host)))
        others = [a for a in self._agents.linked() if a.host != host][:AGENTS_ASKED]
        work: list[Awaitable[None]] = [self._ask_host(host, plane, own) for plane in planes]
        work += [self._ask_agent(agent, host, plane, own) for agent in others for plane in planes]
        work += [own, self._ask_controllers(host)]
        for done in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(done, Exception):
                log.warning("a witness could not be asked: %r", done)

    async def _ask_host(self, host: str, plane: str, own: asyncio.Task[None]) -> None:
        sign = await self._prober.probe(host, plane)
        await _after(own, sign)
        self._say(host, WitnessKind.PROBE, "", plane, sign)

    async def _ask_own_agent(self, agent: Agent | None) -> None:
        """Whatever it answers, it lives."""
        if agent is None or agent.link is None:
            return
        reply = await self._question(agent, "alive", {})
        sign = Sign.NOTHING if reply is None else Sign.PULSE
        self._say(agent.host, WitnessKind.AGENT, agent.host, "", sign)

    async def _ask_agent(
        self, agent: Agent, host: str, plane: str, own: asyncio.Task[None]
    ) -> None:
        probe = self._prober.make_probe(host, plane)
        if probe is None:
            return
        args = {
            "address": probe.address,
            "port": probe.port,
            "data": probe.data.hex(),
            "limit_ms": PROBE_MS,
        }
        reply = await self._question(agent, "witness", args)
        sign = Sign.UNKNOWN
        if reply is not None and not reply.error:
            data = bytes.fromhex(str(reply.data["data"]))
            is_kernel = bool(reply.data["is_kernel"])
            sign = self._prober.check_answer(probe, data, is_kernel=is_kernel)
        await _after(own, sign)
        self._say(host, WitnessKind.AGENT, agent.host_name, plane, sign)

    async def _question(self, agent: Agent, name: str, args: dict[str, Any]) -> wire.Reply | None:
        limit_s = WITNESS_LIMIT_MS / 1_000
        try:
            return await self._agents.ask(agent, name, args, by="controller", limit_s=limit_s)
        except Unanswerable:
            return None

    async def _ask_controllers(self, host: str) -> None:
        await asyncio.sleep(FRESH_LOOK_MS / 1_000)
        for spoke in await self.ask_peers(host):
            self._pass_on(spoke)

    def _say(self, host: str, kind: WitnessKind, witness: str, plane: str, sign: Sign) -> None:
        self._pass_on(
            WitnessSpoke(
                at=clock.now(), host=host, kind=kind, witness=witness, plane=plane, sign=sign
            )
        )

    def _pass_on(self, spoke: WitnessSpoke) -> None:
        witness = (spoke.kind, spoke.witness, spoke.plane)
        self._spoken.setdefault(spoke.host, {})[witness] = clock.now()
        self._see(spoke)


async def _after(own: asyncio.Task[None], sign: Sign) -> None:
    """A kernel's word means a frozen host, unless its agent still answers: that comes first."""
    if sign is Sign.KERNEL:
        await asyncio.wait([own])
