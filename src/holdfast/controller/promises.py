"""Who may run which VM: grants and releases, and what an agent's greeting changes about them.

The store first, then the agent: what the agent did not hear of, its next greeting tells it.
A tenure of no boot (empty) is held until a person protects the VM again: its agent forgot.
"""

import logging
from typing import Any

import msgspec
from msgspec import structs

from holdfast.controller.agents import Agent, Agents, away
from holdfast.controller.answers import REFUSED, USAGE, Unanswerable, unknown
from holdfast.controller.registry import Known, Puts, Registry
from holdfast.facts import wire
from holdfast.facts.promises import Answer, Protection, parse_answer
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.facts.wire import VmSummary
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)


class Promises:
    def __init__(self, registry: Registry, agents: Agents) -> None:
        self._registry, self._agents = registry, agents

    async def greet(self, hello: wire.Hello) -> bool:
        """Bring the store up to what the greeting says; whether the host is new. Raises StoreAway.

        A new boot is granted what its host held. An agent that forgot is granted nothing.
        """
        is_new = self._registry.known(hello.host) is None
        await self._registry.change(lambda: self._after_greeting(hello))
        return is_new

    def of_host(self, host: str) -> tuple[Protection, ...]:
        return tuple(p for p in self._registry.protections().values() if p.tenure.host == host)

    async def protect(self, vm: str, group: str, answer: str, by: str, term: int) -> Any:
        """Raises Unanswerable, StoreAway."""
        agent, summary = self._agents.find_vm(vm)
        if agent.link is None:
            raise away(agent.host_name)
        self._check_group(group)
        read = _read_answer(answer)
        before = self._registry.protection(summary.vm)
        await self._registry.change(lambda: self._granted(agent, summary, group, read))
        protection = self._registry.protection(summary.vm)
        assert protection is not None
        args = {"protection": msgspec.to_builtins(protection)}
        reply = await self._agents.ask(agent, "grant", args, by=by, term=term)
        if reply.error:
            await self._put_back(summary.vm, before, protection)
            raise Unanswerable(reply.error, reply.hint, reply.code or REFUSED)
        told = reply.data if isinstance(reply.data, dict) else {}
        return {"protection": args["protection"], **told}

    async def unprotect(self, vm: str, by: str, term: int) -> Any:
        """Raises Unanswerable, StoreAway."""
        held = self._find(vm)
        agent = self._agents.find_host(held.tenure.host)
        if agent.link is None:
            raise away(agent.host_name)
        await self._registry.change(lambda: {f"protections/{held.vm}": None})
        reply = await self._agents.ask(agent, "release", {"vm": held.vm}, by=by, term=term)
        if reply.error:
            await self._put_back(held.vm, held, None)
            raise Unanswerable(reply.error, reply.hint, reply.code or REFUSED)
        return {"vm": held.vm, "name": held.name}

    async def take_tenure(self, told: Tenure) -> None:
        """An agent said what became of a VM that it holds. What is not its to say is left alone."""
        await self._registry.change(lambda: self._after_tenure(told))

    def _after_tenure(self, told: Tenure) -> Puts:
        held = self._registry.protection(told.vm)
        if held is None:
            return {}
        tenure = held.tenure
        if (tenure.host, tenure.boot, tenure.generation) != (
            told.host,
            told.boot,
            told.generation,
        ):
            return {}  # Of an earlier boot or generation, late.
        return {f"protections/{told.vm}": structs.replace(held, tenure=told)}

    def _after_greeting(self, hello: wire.Hello) -> Puts:
        known = self._registry.known(hello.host)
        forgot = hello.is_amnesiac or (known is not None and known.state_id != hello.state_id)
        copies = {tenure.vm: tenure for tenure in hello.tenures}
        puts: dict[str, Known | Protection] = {}
        for held in self.of_host(hello.host):
            after = _forgotten(held) if forgot else _greeted(held, hello, copies.get(held.vm))
            puts[f"protections/{held.vm}"] = after
        puts[f"agents/{hello.host}"] = Known(
            host=hello.host,
            host_name=hello.host_name,
            boot=hello.boot,
            state_id=hello.state_id,
        )
        return puts

    def _granted(self, agent: Agent, summary: VmSummary, group: str, answer: Answer | None) -> Puts:
        held = self._registry.protection(summary.vm)
        generation = self._generation(agent, held)
        tenure = Tenure(
            vm=summary.vm,
            generation=generation,
            host=agent.host,
            boot=agent.boot,
            state=TenureState.HELD,
            wanted=Wanted.RUNNING,
        )
        if held is not None and (held.tenure.host, held.tenure.boot) == (agent.host, agent.boot):
            tenure = held.tenure  # It is protected already: only the group or the answer change.
        return {
            f"protections/{summary.vm}": Protection(
                vm=summary.vm,
                name=summary.name,
                group=group or (held.group if held else "default"),
                answer=answer or (held.answer if held else Answer()),
                tenure=tenure,
            )
        }

    def _generation(self, agent: Agent, held: Protection | None) -> int:
        """The same on the same host. A machine made anew has another id, and the next generation.

        Raises Unanswerable when another host holds the VM.
        """
        if held is None:
            return 1
        if held.tenure.host == agent.host:
            return held.tenure.generation
        holder = self._registry.known(held.tenure.host)
        name = holder.host_name if holder else held.tenure.host
        other = self._agents.by_host.get(held.tenure.host)
        is_made_anew = name == agent.host_name and (other is None or other.link is None)
        if not is_made_anew:
            text = f"{held.name} is held by host {name}: running it twice would destroy its disks"
            raise Unanswerable(text, f"holdfast vm unprotect {held.vm}, while {name} is up")
        return held.tenure.generation + 1

    async def _put_back(self, vm: str, before: Protection | None, mine: Protection | None) -> None:
        """The agent would not: undo it, unless somebody has changed it since."""

        def undone() -> Puts:
            is_mine = self._registry.protection(vm) == mine
            return {f"protections/{vm}": before} if is_mine else {}

        try:
            await self._registry.change(undone)
        except StoreAway as error:
            log.error("the protection of %s could not be put back: %s", vm, error)

    def _check_group(self, name: str) -> None:
        groups = self._registry.groups()
        if name and name not in groups:
            raise unknown("group", name, groups, "holdfast group list")

    def _find(self, vm: str) -> Protection:
        protections = self._registry.protections()
        names = [p.name for p in protections.values()]
        for held in protections.values():
            if held.vm == vm:
                return held
        _, summary = self._agents.find_vm(vm)
        if summary.vm not in protections:
            text = f"{summary.name} is not protected"
            near = f"protected are: {', '.join(names)}" if names else "no VM is"
            raise Unanswerable(text, near, USAGE)
        return protections[summary.vm]


def _forgotten(held: Protection) -> Protection:
    return structs.replace(held, tenure=structs.replace(held.tenure, boot=""))


def _greeted(held: Protection, hello: wire.Hello, copy: Tenure | None) -> Protection:
    """What is wanted is known best on the host that holds the VM."""
    tenure = held.tenure
    if not tenure.boot:
        return held  # A person must protect it again.
    wanted = tenure.wanted
    if copy is not None and (copy.host, copy.generation) == (tenure.host, tenure.generation):
        wanted = copy.wanted
    return structs.replace(held, tenure=structs.replace(tenure, boot=hello.boot, wanted=wanted))


def _read_answer(text: str) -> Answer | None:
    try:
        return parse_answer(text) if text else None
    except ValueError as error:
        raise Unanswerable(str(error), "holdfast vm protect --help", USAGE) from None
