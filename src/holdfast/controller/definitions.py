"""Definitions of protected VMs, as their hosts tell them: the leader keeps them in the store."""

import asyncio
import logging

from holdfast.controller.agents import Agent
from holdfast.controller.claims import Claims
from holdfast.controller.registry import NotLeading, Puts, Registry
from holdfast.facts.definitions import VmDefinition
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

RETRY_S = 1.0


class Definitions:
    """Who does not lead drops them: all are told anew to whoever comes to lead."""

    def __init__(self, registry: Registry, claims: Claims) -> None:
        self._registry, self._claims = registry, claims
        self._waiting: dict[str, tuple[str, VmDefinition]] = {}  # By VM: who told it.
        self._storing: asyncio.Task[None] | None = None

    def take(self, agent: Agent, told: tuple[VmDefinition, ...]) -> None:
        """Begin to keep them; a newer one of the same VM takes the place of one that waits.

        Whose they are only a leader can judge: another may not have heard yet who holds a VM.
        """
        if not self._registry.is_leading:
            return
        for one in self._claims.own_definitions(told, agent, self._registry.protection):
            self._waiting[one.vm] = (agent.host, one)
        if self._waiting and (self._storing is None or self._storing.done()):
            self._storing = asyncio.get_running_loop().create_task(self._store())

    async def _store(self) -> None:
        while self._waiting:
            vm, waiting = next(iter(self._waiting.items()))
            try:
                await self._registry.change(lambda: self._put(*waiting))  # noqa: B023  At once.
            except NotLeading:
                self._waiting.clear()
                return
            except StoreAway as error:
                log.warning("the definition of %s is not kept yet: %s", waiting[1].name, error)
                await asyncio.sleep(RETRY_S)
                continue
            if self._waiting.get(vm) == waiting:
                del self._waiting[vm]

    def _put(self, host: str, told: VmDefinition) -> Puts:
        """Its tenure may be another host's by now."""
        held = self._registry.protection(told.vm)
        if held is None or held.tenure.host != host:
            return {}
        return {f"definitions/{told.vm}": told}
