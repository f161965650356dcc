"""Carries out what the leader decided about VMs that move: commits, orders, and what ends say.

The store first, as in recovering.py: an end is told of nothing that is not committed there.
"""

import logging
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import structs

from holdfast.controller.agents import Agents
from holdfast.controller.registry import Puts, Registry
from holdfast.controller.works import Works
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action
from holdfast.facts.migrations import End, Migration, MigrationStep, Progress
from holdfast.facts.outcomes import SiteOutcome
from holdfast.facts.tenure import Tenure, TenureState
from holdfast.policy import proofs
from holdfast.ports import clock
from holdfast.ports.answers import Unanswerable
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

BY = "the controller"
TOLD_LIMIT_S = 30.0
LOOK_LIMIT_S = 20.0
PLAIN = msgspec.to_builtins
ACTS = (act.PutMigration, act.Migrate, act.LookAtEnds, act.TellEnds)


class Migrating:
    """`consume` gives policy what came of an act; `greet_anew` lets a host hear by a greeting what
    it could not be told; `say` tells what became of a migration. `progress` is by VM."""

    def __init__(
        self,
        *,
        registry: Registry,
        agents: Agents,
        term: Callable[[], int | None],
        consume: Callable[[SiteOutcome], None],
        greet_anew: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        self._registry, self._agents, self._term = registry, agents, term
        self._consume, self._greet_anew, self._say = consume, greet_anew, say
        self._works = Works("a migration")
        self.close = self._works.close
        self.progress: dict[str, Progress] = {}

    def carry_out(self, action: Action) -> None:
        match action:
            case act.PutMigration():
                self._works.begin(self._try_commit(action.migration))
            case act.Migrate():
                self._works.begin(self._begin(action.migration))
            case act.LookAtEnds():
                self._works.begin(self._look(action))
            case act.TellEnds():
                self._works.begin(self._tell(action.migration))
            case _:
                log.error("refused: %s is not done here", type(action).__name__)

    # The store.

    async def commit(self, asked: Migration) -> str:
        """Why the store does not take it, or empty. Raises StoreAway."""
        refusals: list[str] = []

        def wanted() -> Puts:
            refusals.clear()
            puts, why = self._puts(asked)
            refusals.append(why)
            return puts

        await self._registry.change(wanted)
        return refusals[0] if refusals else ""

    async def _try_commit(self, asked: Migration) -> None:
        try:
            why = await self.commit(asked)
        except StoreAway as away:
            why = str(away)
        if why:
            log.warning("%s: its migration is not committed: %s", asked.name, why)

    def _puts(self, asked: Migration) -> tuple[Puts, str]:
        held, known = self._registry.protection(asked.vm), self._registry.migration(asked.vm)
        if held is None or asked.term != self._term():
            return {}, "it is not protected any more, or another controller leads"
        if known is not None and known.number == asked.number:
            return self._ended_puts(asked, known)
        others = self._registry.migrations().values()
        why = proofs.may_begin(held.tenure, asked, known, others)
        if why:
            return {}, why
        begun = structs.replace(asked, begun_utc_ms=clock.utc_ms())
        tenure = structs.replace(held.tenure, state=TenureState.MIGRATING, revision=asked.revision)
        return {
            f"migrations/{asked.vm}": begun,
            f"protections/{asked.vm}": structs.replace(held, tenure=tenure),
        }, ""

    def _ended_puts(self, asked: Migration, known: Migration) -> tuple[Puts, str]:
        held = self._registry.protection(asked.vm)
        assert held is not None
        kept = structs.replace(
            asked, begun_utc_ms=known.begun_utc_ms, is_cancelled=known.is_cancelled
        )
        if asked.step is MigrationStep.BEGUN:  # Another leader takes it over.
            return ({f"migrations/{asked.vm}": kept}, "") if known.is_open else ({}, "")
        if known.step is asked.step:
            return {}, ""  # It was taken, and nobody was told.
        fences = self._registry.fences()
        why = proofs.may_end(held.tenure, asked, known, fences)
        if why:
            return {}, why
        kept = structs.replace(kept, ended_utc_ms=clock.utc_ms())
        return {
            f"migrations/{asked.vm}": kept,
            f"protections/{asked.vm}": structs.replace(held, tenure=_after(held.tenure, kept)),
        }, ""

    async def cancel(self, vm: str, by: str) -> bool:
        """Whether one was under way. Raises StoreAway, Unanswerable."""
        term = self._term() or 0

        def wanted() -> Puts:
            known = self._registry.migration(vm)
            if known is None or not known.is_open or known.is_cancelled:
                return {}
            return {f"migrations/{vm}": structs.replace(known, is_cancelled=True, by=by)}

        await self._registry.change(wanted)
        migration = self._registry.migration(vm)
        if migration is None or not migration.is_open:
            return False
        agent = self._agents.find_host(migration.source)
        reply = await self._agents.ask(agent, "migrate-cancel", {"vm": vm}, by=by, term=term)
        if reply.error:
            raise Unanswerable(reply.error, reply.hint, reply.code)
        return True

    # The ends.

    async def _begin(self, migration: Migration) -> None:
        """The target first: it must be ready to let the VM in."""
        refusal = await self._order(migration)
        if refusal:
            log.warning("%s is not moved: %s", migration.name, refusal)
        self._consume(
            came.MoveBegun(
                incident="",
                at=clock.now(),
                vm=migration.vm,
                number=migration.number,
                refusal=refusal,
            )
        )

    async def _order(self, migration: Migration) -> str:
        known = self._registry.migration(migration.vm)
        target = self._registry.known(migration.target)
        made = self._registry.definition(migration.vm)
        if known is None or known.is_cancelled or target is None or made is None:
            return "it was cancelled, or what it needs is not known any more"
        order = _order(migration)
        address = next((one for _, one in sorted(target.addresses.items())), "")
        ready = await self._ask(
            migration.target,
            "migrate-in",
            {
                **order,
                "source": migration.source,
                "address": address,
                "definition": PLAIN(made),
                "limit_s": migration.limit_s,
            },
        )
        if "port" not in ready:
            return str(ready.get("refusal") or ready["error"])
        place = {"host": migration.target, "address": address, "port": ready["port"]}
        taken = await self._ask(
            migration.source,
            "migrate-out",
            {**order, "place": place, "limit_s": migration.limit_s},
        )
        return str(taken.get("refusal") or taken.get("error") or "")

    async def _look(self, asked: act.LookAtEnds) -> None:
        """The target is asked to be done with it once the source is: until then it may come."""
        migration = asked.migration
        args = _order(migration)
        source: dict[str, Any] = {"end": End.DEAD}
        if migration.source not in asked.dead:
            source = await self._ask(migration.source, "migration-look", args)
        end, reason = _end_of(source), str(source.get("reason") or "")
        if "progress" in source:
            self.progress[migration.vm] = msgspec.convert(source["progress"], Progress)
        target: dict[str, Any] = {"end": End.DEAD}
        if migration.target not in asked.dead:
            is_over = end in (End.RUNS, End.NOTHING, End.DEAD)
            args = {**args, "is_over": is_over}
            target = await self._ask(migration.target, "migration-look", args) if is_over else {}
        self._consume(
            came.EndsLooked(
                incident="",
                at=clock.now(),
                vm=migration.vm,
                number=migration.number,
                source=end,
                target=_end_of(target),
                reason=reason,
                pause_ms=target.get("pause_ms"),
            )
        )

    async def _tell(self, migration: Migration) -> None:
        """The holder first. Whoever does not answer greets anew, and hears it then."""
        self.progress.pop(migration.vm, None)
        held, made = (
            self._registry.protection(migration.vm),
            self._registry.definition(migration.vm),
        )
        is_done = migration.step is MigrationStep.DONE
        names = {one: self._name(one) for one in (migration.source, migration.target)}
        where = names[migration.target if is_done else migration.source]
        pause = f", its guest paused for {migration.pause_ms} ms" if migration.pause_ms else ""
        word = f"moved to {where}{pause}" if is_done else f"stays on {where}"
        if migration.elsewhere:
            word = f"is at neither end, and runs on {self._name(migration.elsewhere)}"
        self._say(f"{migration.name} {word}: {migration.reason}")
        if held is None or (held.tenure.state is not TenureState.HELD and not migration.elsewhere):
            return
        args = {
            **_order(migration),
            "protection": PLAIN(held),
            "holder": where,
            "reason": migration.reason,
            "is_lost": End.RUNS not in (migration.source_end, migration.target_end),
            "definition": PLAIN(made) if made is not None else None,
        }
        ends = (migration.source, migration.target)
        told = reversed(ends) if is_done else ends
        for host in told if not migration.elsewhere else (migration.target,):
            said = await self._ask(host, "migration-end", args)
            if "error" in said:
                self._greet_anew(host)
        self._tell_earlier_holders(held.tenure, ends)

    def _tell_earlier_holders(self, tenure: Tenure, ends: tuple[str, ...]) -> None:
        """Who came back while it moved, and had held it once, does not know yet who does."""
        for agent in self._agents.linked():
            copy = agent.tenures.get(tenure.vm)
            is_older = copy is not None and copy.generation < tenure.generation
            if is_older and agent.host not in ends:
                self._greet_anew(agent.host)

    async def _ask(self, host: str, name: str, args: dict[str, Any]) -> dict[str, Any]:
        """With `error` where there is no answer."""
        agent, term = self._agents.by_host.get(host), self._term()
        if term is None or agent is None or agent.link is None:
            return {"error": f"the agent of {self._name(host)} is away"}
        limit_s = LOOK_LIMIT_S if name == "migration-look" else TOLD_LIMIT_S
        try:
            reply = await self._agents.ask(agent, name, args, by=BY, term=term, limit_s=limit_s)
        except Unanswerable as error:
            return {"error": str(error)}
        if reply.error or not isinstance(reply.data, dict):
            return {"error": reply.error or f"the answer of {agent.host_name} is empty"}
        return reply.data

    def _name(self, host: str) -> str:
        known = self._registry.known(host)
        return known.host_name if known is not None else host


def _order(migration: Migration) -> dict[str, Any]:
    return {
        "vm": migration.vm,
        "name": migration.name,
        "generation": migration.generation,
        "revision": migration.revision,
    }


def _end_of(said: dict[str, Any]) -> End:
    try:
        return End(said.get("end", ""))
    except ValueError:
        return End.UNKNOWN


def _after(tenure: Tenure, migration: Migration) -> Tenure:
    if migration.step is MigrationStep.IN_DOUBT:
        return tenure
    if migration.elsewhere:
        return structs.replace(tenure, revision=tenure.revision + 1)
    if migration.step is MigrationStep.UNDONE:  # Its host may have said so already.
        return structs.replace(tenure, state=TenureState.HELD, revision=tenure.revision + 1)
    return structs.replace(
        tenure,
        generation=tenure.generation + 1,
        host=migration.target,
        boot=migration.target_boot,
        state=TenureState.HELD,
        revision=tenure.revision + 1,
    )
