"""A greeting is answered with all that its agent must know, as far as the store can tell."""

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

from holdfast.controller.agents import Agent, Agents, Link
from holdfast.controller.groups import Groups
from holdfast.controller.leadership import Leadership
from holdfast.controller.promises import Promises
from holdfast.controller.registry import NotLeading, Registry
from holdfast.facts import wire
from holdfast.facts.promises import Protection
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

GREET_LIMIT_S = 2.0
GREET_LOOK_S = 0.02


class Greeter:
    """While the store is away, or another controller leads, nothing is granted; each agent is
    asked to greet once more in every new term, and hears all then."""

    def __init__(
        self,
        *,
        agents: Agents,
        promises: Promises,
        groups: Groups,
        registry: Registry,
        leadership: Leadership,
        heard: Callable[[wire.Hello], None] = lambda _: None,
    ) -> None:
        """`heard` gets each greeting of an agent that is let in."""
        self._heard = heard
        self._agents, self._promises, self._groups = agents, promises, groups
        self._registry, self._leadership = registry, leadership
        self._asking: set[asyncio.Task[None]] = set()
        promises.on_granted = self.grant_anew

    async def greet(self, hello: wire.Hello, link: Link) -> Agent:
        """Raises ConnectionError."""
        if not wire.works_with(hello.version):
            await self._refuse(hello, link)
        self._heard(hello)
        is_recorded = True
        try:
            await self._promises.greet(hello)
        except NotLeading:
            is_recorded = False
        except StoreAway as error:
            log.warning("host %s is greeted without the store: %s", hello.host_name, error)
            is_recorded = False
        if is_recorded and self._may_grant:
            link.greeted_in = self._leadership.term or 0
        link.store_id = self._registry.store_id
        await link.send(self._welcome(hello, is_recorded=is_recorded))
        return self._agents.greeted(hello, link)

    @property
    def _may_grant(self) -> bool:
        return self._leadership.term is not None and bool(self._registry.store_id)

    async def _refuse(self, hello: wire.Hello, link: Link) -> NoReturn:
        """Raises ConnectionError: nothing is taken from it."""
        text = (
            f"host {hello.host_name} speaks version {hello.version}, this controller"
            f" {wire.VERSION}: they must not be more than one apart"
        )
        log.error("%s", text)
        await link.send(refusal(text))
        raise ConnectionError(text)

    def grant_anew(self, host: str) -> None:
        """What kept it from being granted its VMs is over: it is asked to greet once more."""
        agent = self._agents.by_host.get(host)
        if agent is not None and agent.link is not None:
            agent.link.greeted_in = 0

    def greet_again(self) -> None:
        """A new term, or the store is back: agents hear what they could not be told."""
        term = self._leadership.term
        if term is None or not self._registry.store_id or self._asking:
            return
        for agent in self._agents.linked():
            if agent.link is not None and agent.link.greeted_in != term:
                task = asyncio.create_task(self._ask_to_greet(agent.link, term))
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)

    async def _ask_to_greet(self, link: Link, term: int) -> None:
        """One of an older version does not know the question: it greets when it dials again."""
        try:
            async with asyncio.timeout(GREET_LIMIT_S):
                await link.ask(wire.GREET, {}, by="", term=term, limit_s=GREET_LIMIT_S)
                while link.greeted_in != term:  # noqa: ASYNC110  It greets by itself.
                    await asyncio.sleep(GREET_LOOK_S)
        except (TimeoutError, ConnectionError):
            link.close()

    def _welcome(self, hello: wire.Hello, *, is_recorded: bool) -> wire.Welcome:
        is_complete = is_recorded and self._may_grant and self._registry.is_whole
        protections = self._promises.told_to(hello) if is_complete else ()
        tells_disarm = is_complete or not self._leadership.leader
        disarm = self._registry.disarm() if tells_disarm else None
        return wire.Welcome(
            version=wire.VERSION,
            term=self._leadership.term or 0,
            store_id=self._registry.store_id,
            replaces=self._registry.replaces,
            groups=tuple(self._groups.all()) if is_complete else (),
            protections=protections,
            host_names=self._names(hello.host, protections),
            released=self._promises.released(hello) if is_complete else (),
            disarm=disarm,
            disarm_left_ms=self._registry.disarm_left_ms() if disarm is not None else None,
            is_complete=is_complete,
        )

    def _names(self, host: str, protections: tuple[Protection, ...]) -> dict[str, str]:
        """Of the other hosts that hold them, where they are known."""
        known = ((one.tenure.host, self._registry.known(one.tenure.host)) for one in protections)
        return {other: one.host_name for other, one in known if one and other != host}


def refusal(text: str) -> wire.Welcome:
    return wire.Welcome(version=wire.VERSION, term=0, is_complete=False, refusal=text)
