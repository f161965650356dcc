"""A greeting is answered with all that its agent must know, as far as the store can tell."""

import logging
from collections.abc import Callable
from typing import NoReturn

from holdfast.controller.agents import Agent, Agents, Link
from holdfast.controller.groups import Groups
from holdfast.controller.leadership import Leadership
from holdfast.controller.promises import Promises
from holdfast.controller.registry import Registry
from holdfast.facts import wire
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)


class Greeter:
    """While the store is away, or another controller leads, nothing is granted; the agent is
    greeted anew once that is over."""

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
        self._waiting: dict[str, tuple[wire.Hello, Link]] = {}

    async def greet(self, hello: wire.Hello, link: Link) -> Agent:
        """Raises ConnectionError."""
        if not wire.works_with(hello.version):
            await self._refuse(hello, link)
        self._heard(hello)
        is_recorded = True
        try:
            await self._promises.greet(hello)
        except StoreAway as error:
            log.warning("host %s is greeted without the store: %s", hello.host_name, error)
            is_recorded = False
        if not is_recorded or not self._may_grant:
            self._waiting[hello.host] = (hello, link)
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
        await link.send(wire.Welcome(version=wire.VERSION, term=0, is_complete=False, refusal=text))
        raise ConnectionError(text)

    async def greet_again(self) -> None:
        """The store is back: tell those agents what they could not be told. Raises StoreAway."""
        for host, (hello, link) in list(self._waiting.items()):
            agent = self._agents.by_host.get(host)
            if agent is not None and agent.link is link:
                await self._promises.greet(hello)
                link.close()  # It greets again at once, and is told all.
            del self._waiting[host]

    def _welcome(self, hello: wire.Hello, *, is_recorded: bool) -> wire.Welcome:
        is_complete = is_recorded and self._may_grant and self._registry.is_whole
        return wire.Welcome(
            version=wire.VERSION,
            term=self._leadership.term or 0,
            store_id=self._registry.store_id,
            groups=tuple(self._groups.all()) if is_complete else (),
            protections=self._promises.told_to(hello) if is_complete else (),
            released=self._promises.released(hello) if is_complete else (),
            disarm=self._registry.disarm(),
            is_complete=is_complete,
        )
