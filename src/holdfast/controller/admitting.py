"""Before a VM is protected: would it start elsewhere, and would all others still?"""

import contextlib
from typing import Any

import msgspec
from msgspec import structs

from holdfast.controller.agents import Agent, Agents
from holdfast.controller.disk_wishes import DiskWish
from holdfast.controller.guaranteeing import Guarantees
from holdfast.controller.registry import Registry
from holdfast.facts.definitions import VmNeeds
from holdfast.facts.promises import DEFAULT_GROUP, Admission, Answer, Owner, Protection
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.facts.wire import VmSummary
from holdfast.policy import rebuilding
from holdfast.policy.admission import Obstacle
from holdfast.policy.site_world import Promise
from holdfast.ports.answers import REFUSED, Unanswerable

NEEDS_LIMIT_S = 10.0


class Admitting:
    def __init__(self, registry: Registry, agents: Agents, guarantees: Guarantees) -> None:
        self._registry, self._agents, self._guarantees = registry, agents, guarantees

    async def look(
        self, agent: Agent, summary: VmSummary, group: str, wish: DiskWish, by: str, term: int
    ) -> dict[str, Any]:
        """What is to be said of it. Raises Unanswerable where its group refuses such VMs.

        Of a site with one host there is nothing to say.
        """
        held = self._registry.protection(summary.vm)
        name = group or (held.group if held else DEFAULT_GROUP.name)
        wanted = self._registry.groups().get(name, DEFAULT_GROUP)
        hosts = (await self._guarantees.newest()).hosts
        is_strict = wanted.admit is Admission.REFUSE
        if wanted.owner is not Owner.HOLDFAST or (hosts < 2 and not is_strict):
            return {}
        needs = await self._needs(agent, summary, by, term)
        as_if = _as_if(agent, summary, name)
        if held is not None:
            as_if = structs.replace(as_if, local_disk=held.local_disk, images=held.images)
        promise = Promise(protection=wish.applied(as_if), needs=needs)
        found, broken = await self._guarantees.try_with(promise)
        if is_strict and ((found and not found.is_passing) or broken):
            raise _refusal(summary.name, name, found, broken)
        return {
            "starts_elsewhere": found is None,
            "elsewhere": found.reason if found else "",
            "elsewhere_helps": found.helps if found else "",
            "would_break": broken,
            "rebuilt": rebuilding.words(needs, promise.protection, wanted),
        }

    async def _needs(self, agent: Agent, summary: VmSummary, by: str, term: int) -> VmNeeds:
        """An agent of an earlier version does not tell it before the VM is protected."""
        with contextlib.suppress(Unanswerable, msgspec.ValidationError):
            args = {"vm": summary.vm}
            ask = self._agents.ask(agent, "needs", args, by=by, term=term, limit_s=NEEDS_LIMIT_S)
            reply = await ask
            if not reply.error:
                return msgspec.convert(reply.data, VmNeeds)
        memory_mib, obstacle = summary.memory_mib, summary.elsewhere
        return VmNeeds(memory_mib=memory_mib, vcpus=1, obstacle=obstacle)


def _as_if(agent: Agent, summary: VmSummary, group: str) -> Protection:
    tenure = Tenure(
        vm=summary.vm,
        generation=1,
        host=agent.host,
        boot=agent.boot,
        state=TenureState.HELD,
        wanted=Wanted.RUNNING,
    )
    return Protection(vm=summary.vm, name=summary.name, group=group, answer=Answer(), tenure=tenure)


def _refusal(vm: str, group: str, found: Obstacle | None, broken: str) -> Unanswerable:
    why = f"it would not start elsewhere: {found.reason}" if found else broken
    text = f"{vm} is not taken into group {group}, which refuses such VMs: {why}"
    helps = f"{found.helps}; " if found else ""
    return Unanswerable(text, f"{helps}or: holdfast group set {group} --admit warn", REFUSED)
