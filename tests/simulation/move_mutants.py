"""Controllers that move VMs as nobody may, one for each law of moves, given to the swarm."""

import asyncio
import itertools
from typing import Any

import msgspec

from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.actions import Action, LookAtEnds, TellEnds
from holdfast.facts.migrations import End
from holdfast.facts.site import SiteFact
from holdfast.policy.site import SiteDecider
from holdfast.ports.answers import Unanswerable
from tests.simulation import fence_laws, move_laws
from tests.simulation.fence_mutants import rogue
from tests.simulation.rogues import ReportingController
from tests.simulation.site_mutants import Mutant, deciding


class DeafDecider(SiteDecider):
    """Whatever a target says, it has nothing: what came to it is believed to be lost."""

    def step(self, fact: SiteFact) -> list[Action]:
        if isinstance(fact, came.EndsLooked) and fact.source is End.NOTHING:
            fact = msgspec.structs.replace(fact, target=End.NOTHING)
        return super().step(fact)


class CarelessDecider(SiteDecider):
    """What it had moved it never asks about."""

    def step(self, fact: SiteFact) -> list[Action]:
        return [one for one in super().step(fact) if not isinstance(one, LookAtEnds)]


class SilentDecider(SiteDecider):
    """How a move ended is in the store, and no host is told."""

    def step(self, fact: SiteFact) -> list[Action]:
        return [one for one in super().step(fact) if not isinstance(one, TellEnds)]


class UndrainedDecider(SiteDecider):
    """It does not care what people say of maintenance."""

    def step(self, fact: SiteFact) -> list[Action]:
        return [] if isinstance(fact, told.DrainSet) else super().step(fact)


class RestlessController(ReportingController):
    """It has agents move what runs, and tells the store nothing."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._at_work: set[asyncio.Task[None]] = set()
        self._turns = itertools.count()

    async def _settle(self) -> None:
        await super()._settle()
        term, held = self._term(), list(self.registry.protections().values())
        if term is None or not held or self._at_work:
            return
        one = held[next(self._turns) % len(held)]
        others = [name for name in self.agents.by_host if name != one.tenure.host]
        made = self.registry.definition(one.vm)
        if made is None or not others:
            return
        order = {
            "vm": one.vm,
            "name": one.name,
            "generation": one.tenure.generation,
            "revision": one.tenure.revision + 1,
            "limit_s": 60,
            "source": one.tenure.host,
            "address": "there",
            "definition": msgspec.to_builtins(made),
            "place": {"host": others[0], "address": "there", "port": 1},
        }
        task = asyncio.create_task(self._order(one.tenure.host, others[0], order, term))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)

    async def _order(self, source: str, target: str, order: dict[str, Any], term: int) -> None:
        for host, name in ((target, "migrate-in"), (source, "migrate-out")):
            agent = self.agents.by_host.get(host)
            if agent is None or agent.link is None:
                return
            try:
                await self.agents.ask(agent, name, order, by="nobody", term=term)
            except Unanswerable:
                return


SLOW = {"pauses": ("2 s", "4 s")}
MOVES = {"move {vm} to={other}": 1}

MUTANTS = (
    Mutant(
        "the source starts what its target has",
        fence_laws.UNPROVEN,
        {"make_controller": deciding(DeafDecider), **SLOW},
        MOVES,
    ),
    Mutant(
        "nobody asks what became of a move",
        move_laws.ONE_PLACE,
        {"make_controller": deciding(CarelessDecider), **SLOW},
        MOVES,
    ),
    Mutant(
        "the host to which a VM came is not told to hold it",
        "runs on []",
        {"make_controller": deciding(SilentDecider), **SLOW},
        {**MOVES, "kill {vm}": 1},
    ),
    Mutant(
        "a VM moves of which the store knows nothing",
        move_laws.UNCOMMITTED_MOVE,
        rogue(RestlessController),
        {"bmc {host} half": 1},
    ),
    Mutant(
        "a VM is placed on a drained host",
        move_laws.DRAINED,
        {"make_controller": deciding(UndrainedDecider), **SLOW},
        {"drain {host}": 3, "move {vm}": 3, "move {vm} to={other}": 3},
    ),
)
