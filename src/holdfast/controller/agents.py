"""Every agent that was ever heard: its link, its VMs, and what it is asked."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.controller import vm_rows
from holdfast.facts import wire
from holdfast.facts.definitions import HostSize
from holdfast.facts.tenure import Tenure
from holdfast.facts.wire import VmSummary
from holdfast.ports import clock
from holdfast.ports.answers import AWAY, USAGE, Unanswerable, unknown
from holdfast.ports.vim import VimVm

ASK_LIMIT_S = 20.0
SHELF = "inventory"


class Link:
    """One connection of an agent: questions go out on it, and replies are paired with them.

    `close` breaks it off without waiting.
    """

    def __init__(
        self,
        send: Callable[[wire.Frame], Awaitable[None]],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._send = send
        self.close = close
        self.greeted_in = 0  # The term in which it was told all; 0: it was not.
        self.store_id = ""  # Which it was told of.
        self._ids = itertools.count(1)
        self._asked: dict[int, asyncio.Future[wire.Reply]] = {}

    async def send(self, frame: wire.Frame) -> None:
        await self._send(frame)

    async def ask(
        self, name: str, args: dict[str, Any], *, by: str, term: int, limit_s: float
    ) -> wire.Reply:
        """Raises TimeoutError, ConnectionError."""
        number = next(self._ids)
        future: asyncio.Future[wire.Reply] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            async with asyncio.timeout(limit_s):
                question = wire.Question(
                    id=number, name=name, args=args, by=by, term=term, store_id=self.store_id
                )
                await self._send(question)
                return await future
        finally:
            del self._asked[number]

    def replied(self, reply: wire.Reply) -> None:
        future = self._asked.get(reply.id)
        if future is not None and not future.done() and not reply.more:
            future.set_result(reply)

    def broke(self) -> None:
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ConnectionError("the agent went away"))
                future.exception()  # Heard: who asked may have failed to send, and not wait.


class Agent:
    def __init__(self, host: str) -> None:
        self.host = self.host_name = host
        self.boot = ""
        self.is_amnesiac = False
        self.link: Link | None = None
        self.older_links: list[Link] = []  # Not broken off yet; only a clone keeps one for long.
        self.since_utc_ms = 0
        self.vms: tuple[VmSummary, ...] = ()
        self.tenures: dict[str, Tenure] = {}  # As it said when it greeted.
        self.barred: dict[str, int] = {}  # Generations that others hold, as it said then.
        self.has_told_vms = False  # Since this controller started.
        self.size: HostSize | None = None  # As it said last.
        self.parts: tuple[wire.HostPart, ...] = ()
        self.features: tuple[str, ...] = ()


class Agents:
    """Inventories are kept on disk, so that VMs have names while their host is away."""

    def __init__(self, shelf: Shelf, say: Callable[[str], None] = lambda _: None) -> None:
        """`on_greeted`, `on_left`, `on_vms` and `on_forgotten` tell whoever watches hosts."""
        self._shelf, self._say = shelf, say
        self.on_greeted: Callable[[wire.Hello], None] = lambda _: None
        self.on_left: Callable[[Agent], None] = lambda _: None
        self.on_vms: Callable[[Agent], None] = lambda _: None
        self.on_forgotten: Callable[[str], None] = lambda _: None
        self.silence_of: Callable[[str], str] = lambda _: ""  # Of a host, where it is silent.
        self.holder_of: Callable[[str], str] = lambda _: ""  # The host that holds a VM.
        self.worded: Callable[[VmSummary], VmSummary] = lambda one: one  # With the site's word.
        self.by_host: dict[str, Agent] = {}
        self._running: dict[str, list[str]] = {}  # Hosts that say so of a VM, the first one first.
        for host, value in shelf.all(SHELF).items():
            agent = self.by_host[host] = Agent(host)
            agent.host_name, vms = _read_inventory(host, value)
            self._set_vms(agent, vms)

    def greeted(self, hello: wire.Hello, link: Link) -> Agent:
        """A newer link of the same host takes the place of an older one."""
        agent = self.by_host.setdefault(hello.host, Agent(hello.host))
        if agent.link is not None and agent.link is not link:
            agent.older_links.append(agent.link)
        agent.host_name, agent.boot, agent.is_amnesiac = (
            hello.host_name or hello.host,
            hello.boot,
            hello.is_amnesiac,
        )
        agent.features = hello.features
        agent.tenures = {tenure.vm: tenure for tenure in hello.tenures}
        agent.barred = dict(hello.barred)
        agent.link = link
        agent.since_utc_ms = clock.utc_ms()
        self._say(f"the agent of {agent.host_name} is linked")
        self.on_greeted(hello)
        return agent

    def left(self, agent: Agent, link: Link) -> None:
        link.broke()
        if link in agent.older_links:
            agent.older_links.remove(link)
        if agent.link is link:
            agent.link = None
            self._say(f"the agent of {agent.host_name} is away")
            if self.is_known(agent):
                self.on_left(agent)
            for older in agent.older_links:  # Whoever is still there greets anew.
                older.close()

    def forget(self, host: str) -> None:
        """It left the site."""
        agent = self.by_host.pop(host, None)
        self.on_forgotten(host)
        if agent is not None:
            self._set_vms(agent, ())
            self._shelf.put(SHELF, host, None)
            self._say(f"{agent.host_name} left the site")

    def is_known(self, agent: Agent) -> bool:
        """Not one that left the site: frames of its last link may come after that."""
        return self.by_host.get(agent.host) is agent

    def take_inventory(
        self, agent: Agent, vms: tuple[VmSummary, ...], size: HostSize | None = None
    ) -> None:
        if not self.is_known(agent):
            return
        agent.size = size or agent.size
        self._set_vms(agent, vms)
        agent.has_told_vms = True
        kept = msgspec.json.encode([agent.host_name, vms])
        self._shelf.put(SHELF, agent.host, kept)
        self.on_vms(agent)

    def _set_vms(self, agent: Agent, vms: tuple[VmSummary, ...]) -> None:
        before = {summary.vm for summary in agent.vms if summary.is_running}
        running = {summary.vm for summary in vms if summary.is_running}
        agent.vms = vms
        for vm in running - before:
            self._running.setdefault(vm, []).append(agent.host)
        for vm in before - running:
            self._running[vm].remove(agent.host)
            if not self._running[vm]:
                del self._running[vm]

    def runner(self, vm: str, besides: str = "") -> Agent | None:
        """Of those that are linked and say that it runs there, the one that said so first. While
        a VM moves they are two, and who only claims to run it takes it from nobody. `besides`: a
        host whose word does not count."""
        found = (self.by_host[host] for host in self._running.get(vm, ()) if host != besides)
        return next((agent for agent in found if agent.link is not None), None)

    def linked(self) -> Iterator[Agent]:
        return (agent for agent in self.by_host.values() if agent.link is not None)

    def all_vms(self) -> list[VmSummary]:
        """One of each VM: what its host's own agent says now, or said last, marked as such."""
        rows = (
            self.worded(vm_rows.row(seen, self.holder_of(vm), self.by_host))
            for vm, seen in vm_rows.by_vm(self.by_host.values()).items()
        )
        return sorted(rows, key=lambda one: one.name)

    def vms_there(self) -> Counter[str]:
        """How many VMs each host has, without definitions that were left behind."""
        known = vm_rows.by_vm(self.by_host.values())
        return Counter(vm_rows.where(seen, self.holder_of(vm)) for vm, seen in known.items())

    def inventory(self, host: str) -> list[VimVm]:
        """What runs or is defined there, for the VIM."""
        agent = self.by_host.get(host)
        return [
            VimVm(vm=summary.vm, name=summary.name, host=host, state=summary.state)
            for summary in (agent.vms if agent else ())
        ]

    def name_of(self, vm: str) -> str:
        """Of a uuid; empty for one that nobody knows."""
        found = (one.name for agent in self.by_host.values() for one in agent.vms if one.vm == vm)
        return next(found, "")

    def find_vm(self, name: str) -> tuple[Agent, VmSummary]:
        """By uuid or name; with the agent whose word of it counts. Raises Unanswerable."""
        vm, seen = self._seen(name)
        return vm_rows.whose_word(seen, self.holder_of(vm))

    def find_to_protect(self, name: str) -> tuple[Agent, VmSummary]:
        """By uuid or name; with the agent that would be granted it. Raises Unanswerable."""
        vm, seen = self._seen(name)
        return vm_rows.to_protect(name, seen, self.holder_of(vm))

    def _seen(self, name: str) -> tuple[str, list[tuple[Agent, VmSummary]]]:
        known = vm_rows.by_vm(self.by_host.values())
        found = {vm: s for vm, s in known.items() if name == vm or name in {o.name for _, o in s}}
        if not found:
            raise unknown("VM", name, {one.name for one in self.all_vms()}, "holdfast vm list")
        up = [vm for vm, seen in found.items() if any(agent.link for agent, _ in seen)]
        if len(found) > 1 and len(up) != 1:
            rows = (vm_rows.row(s, self.holder_of(vm), self.by_host) for vm, s in found.items())
            named = ", ".join(f"{one.vm} on {one.host_name}" for one in rows)
            raise Unanswerable(f"there are {len(found)} VMs {name!r}: {named}", "use a uuid", USAGE)
        vm = up[0] if up else next(iter(found))
        return vm, found[vm]

    def find_host(self, host: str) -> Agent:
        """Raises Unanswerable."""
        agent = self.by_host.get(host)
        if agent is None:
            raise away(host)
        return agent

    def away(self, agent: Agent) -> Unanswerable:
        """That its agent is away, or that its whole host is."""
        return away(agent.host_name, self.silence_of(agent.host))

    async def ask(
        self,
        agent: Agent,
        name: str,
        args: dict[str, Any],
        *,
        by: str,
        term: int = 0,
        limit_s: float = ASK_LIMIT_S,
    ) -> wire.Reply:
        """Raises Unanswerable when the agent is away, breaks off, or does not answer in time."""
        if agent.link is None:
            raise self.away(agent)
        try:
            return await agent.link.ask(name, args, by=by, term=term, limit_s=limit_s)
        except TimeoutError:
            text = f"the agent of host {agent.host_name} did not answer within {limit_s:g} s"
            raise Unanswerable(text, "what it did is not known: holdfast status", AWAY) from None
        except ConnectionError:
            text = f"the agent of host {agent.host_name} went away while it was asked"
            raise Unanswerable(text, "what it did is not known: holdfast status", AWAY) from None


def away(host_name: str, silence: str = "") -> Unanswerable:
    """`silence`: what is known of the host itself, where it is that which is away."""
    if silence:
        text = f"host {host_name} {silence}; it is awaited, and its agent cannot be asked"
        return Unanswerable(text, f"what to do about it: holdfast explain {host_name}", AWAY)
    text = f"the agent of host {host_name} is away"
    return Unanswerable(text, f"start it there: sudo holdfast agent (on {host_name})", AWAY)


def _read_inventory(host: str, value: bytes) -> tuple[str, tuple[VmSummary, ...]]:
    try:
        return msgspec.json.decode(value, type=tuple[str, tuple[VmSummary, ...]])
    except msgspec.MsgspecError:
        return host, ()  # It will be told anew with the next greeting.
