"""Holds the number of VMs that a group was promised, made from its template; the leader does.

The store first: each step is committed before anybody is told, and looked at again in the
transaction itself. Whoever comes to lead goes on from there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
from msgspec import structs

from holdfast.adapters.drivers import vm_template
from holdfast.adapters.drivers.vm_template import NotTemplate
from holdfast.controller.agents import Agents
from holdfast.controller.registry import Puts, Registry, Released
from holdfast.facts.definitions import RebuiltDisk, VmDefinition
from holdfast.facts.instances import Instance, InstanceStep, Template
from holdfast.facts.promises import DEFAULT_GROUP, Answer, Group, Owner, Protection
from holdfast.facts.tenure import RESTORED, Tenure, TenureState, Wanted
from holdfast.policy import instancing
from holdfast.policy.instancing import Next
from holdfast.policy.site_world import SiteWorld
from holdfast.ports import clock
from holdfast.ports.answers import Unanswerable
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

LOOK_S = 1.0
START_LIMIT_S, TAKE_BACK_LIMIT_S = 15.0, 60.0
REFUSED_FOR_MS = 60_000  # Then a host that could not make one may be asked once more.
KEPT = 1_001  # Instants of each VM: more than any budget.
BY = "the controller"
PLAIN = msgspec.to_builtins


class Instances:
    """`say` notes what was done, for people. `why` says of each group what keeps it from its
    promise, as far as that is known. A look waits `patience_s` for hosts to answer."""

    def __init__(
        self,
        *,
        registry: Registry,
        agents: Agents,
        world: SiteWorld,
        term: Callable[[], int | None],
        say: Callable[[str], None],
        patience_s: float = LOOK_S,
    ) -> None:
        self._registry, self._agents, self._world = registry, agents, world
        self._patience_s = patience_s
        self._term, self._say = term, say
        self._refused: dict[str, dict[str, tuple[int, str]]] = {}  # By VM and host: until when.
        self._works: dict[str, asyncio.Future[None]] = {}  # By VM: what is under way.
        self.why: dict[str, str] = {}

    async def run(self, look: Callable[[], Awaitable[None]]) -> None:
        """Look again and again, until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                await look()
        finally:
            self.close()

    async def look(self) -> None:
        """One step for each group, and for each VM of which one is due. A host that does not
        answer holds up nobody else."""
        if self._term() is None or not self._registry.is_whole:
            return
        templates = list(self._registry.templates().values())
        for template in templates:
            self._tend(template)
        await self._settle()
        for template in templates:
            with self._noting(template.group):
                await self._fill(template)
        await self._settle()

    def close(self) -> None:
        for work in self._works.values():
            work.cancel()

    def _tend(self, template: Template) -> None:
        group = self._registry.groups().get(template.group, DEFAULT_GROUP)
        held = self.why[group.name] = self._hindrance(group)
        for one in self._registry.instances(group.name):
            step = instancing.next_step(self._world, one)
            is_leaving = one.step is InstanceStep.LEAVING  # A person's word, whatever holds us.
            if step is not Next.WAIT and (not held or is_leaving):
                self._begin(one, partial(self._go_on, template, group, one, step))

    async def _fill(self, template: Template) -> None:
        group = self._registry.groups().get(template.group, DEFAULT_GROUP)
        here = self._registry.instances(group.name)
        if not self._hindrance(group) and instancing.missing(template, here) > 0:
            await self._make_one(template, group)

    def _begin(self, one: Instance, work: Callable[[], Awaitable[None]]) -> None:
        """Of each VM one thing at a time."""
        under_way = self._works.get(one.vm)
        if under_way is None or under_way.done():
            self._works[one.vm] = asyncio.ensure_future(self._do(one, work))

    async def _do(self, one: Instance, work: Callable[[], Awaitable[None]]) -> None:
        with self._noting(one.group):
            await work()

    @contextmanager
    def _noting(self, group: str) -> Iterator[None]:
        """A defect of ours in one of them must not keep the others."""
        try:
            yield
        except (StoreAway, Unanswerable, NotTemplate) as away:
            self.why[group] = str(away)
        except Exception as error:
            log.exception("the VMs of group %s are not held in number", group)
            self.why[group] = f"a defect: {error}"

    async def _settle(self) -> None:
        """What takes longer is looked at next time."""
        self._works = {vm: work for vm, work in self._works.items() if not work.done()}
        if self._works:
            await asyncio.wait(self._works.values(), timeout=self._patience_s)

    def _hindrance(self, group: Group) -> str:
        disarm = self._registry.disarm()
        if disarm is not None:
            return f"{disarm.owner} disarmed recovery: {disarm.reason}"
        if group.owner is not Owner.HOLDFAST:
            return f"its recovery is owned by {group.owner}"
        return ""

    async def _go_on(self, template: Template, group: Group, one: Instance, step: Next) -> None:
        match step:
            case Next.ORDER:
                await self._order(one)
            case Next.NOTE_RUNS:
                await self._registry.change(lambda: self._running(one))
            case Next.TAKE_BACK:
                await self._take_back(one)
            case Next.PLACE:
                await self._place_anew(template, group, one)
            case Next.FORGET:
                await self._registry.change(lambda: self._forgotten(one))
            case Next.WAIT:
                return

    # Making one.

    async def _make_one(self, template: Template, group: Group) -> None:
        number = template.next_number
        vm, name = vm_template.vm_of(self._registry.store_id, group.name, number)
        made = vm_template.make(template.xml, template.images, vm, name)
        choice = instancing.place(self._world, group, made.needs, vm, name, {})
        if not choice.host:
            self.why[group.name] = f"{name}: {choice.why}"
            return
        boot = self._world.hosts[choice.host].boot
        one = Instance(
            vm=vm,
            name=name,
            group=group.name,
            number=number,
            host=choice.host,
            generation=1,
            step=InstanceStep.PLACED,
            reason=choice.why,
        )
        await self._registry.change(lambda: self._begun(template, one, made, boot))
        if self._registry.instance(vm) == one:
            self._say(f"{name} is made for group {group.name}: {choice.why}")
            self._begin(one, partial(self._order, one))

    def _begun(self, template: Template, one: Instance, made: VmDefinition, boot: str) -> Puts:
        """With its promise, so that whoever leads next knows all of it."""
        now = self._registry.templates().get(one.group)
        is_taken = one.vm in self._registry.protections() or self._registry.released(one.vm)
        if now != template or self._registry.disarm() is not None:
            return {}
        if is_taken:  # By the VMs of an earlier template of that group.
            return {f"templates/{one.group}": structs.replace(template, next_number=one.number + 1)}
        held = Protection(
            vm=one.vm,
            name=one.name,
            group=one.group,
            answer=Answer(),
            tenure=_placed(one, boot, revision=0),
        )
        return {
            f"templates/{one.group}": structs.replace(template, next_number=one.number + 1),
            f"instances/{one.vm}": one,
            f"definitions/{one.vm}": made,
            f"protections/{one.vm}": held,
        }

    async def _place_anew(self, template: Template, group: Group, one: Instance) -> None:
        """Its last host holds nothing of it any more, and said so."""
        made = vm_template.make(template.xml, template.images, one.vm, one.name)
        times = self._given_up_of_late(group, one)
        if times > group.restarts:
            self.why[group.name] = f"{one.name} failed {times} times of late: {one.reason}"
            return
        refused = self._refusals(one.vm)
        choice = instancing.place(self._world, group, made.needs, one.vm, one.name, refused)
        if not choice.host:
            self.why[group.name] = f"{one.name}: {one.reason}; {choice.why}"
            return
        boot = self._world.hosts[choice.host].boot
        anew = structs.replace(
            one,
            host=choice.host,
            generation=one.generation + 1,
            step=InstanceStep.PLACED,
        )
        await self._registry.change(lambda: self._moved(one, anew, made, boot))
        if self._registry.instance(one.vm) == anew:
            self._say(f"{one.name} is made anew, since {one.reason}: {choice.why}")
            await self._order(anew)

    @staticmethod
    def _given_up_of_late(group: Group, one: Instance) -> int:
        since = clock.utc_ms() - group.restarts_window_s * 1_000
        return sum(at >= since for at in one.given_up_utc_ms)

    def _moved(self, before: Instance, after: Instance, made: VmDefinition, boot: str) -> Puts:
        held = self._registry.protection(before.vm)
        if held is None or self._registry.instance(before.vm) != before:
            return {}
        if held.tenure.generation != before.generation or held.tenure.boot == RESTORED:
            return {}
        if self._registry.disarm() is not None:
            return {}
        tenure = _placed(after, boot, revision=held.tenure.revision + 1)
        return {
            f"instances/{after.vm}": after,
            f"definitions/{after.vm}": made,
            f"protections/{after.vm}": structs.replace(held, tenure=tenure),
        }

    # What its host is told, and says.

    async def _order(self, one: Instance) -> None:
        """A repeat is harmless: its agent knows the generation."""
        held, made = self._registry.protection(one.vm), self._registry.definition(one.vm)
        if held is None or made is None or held.tenure.generation != one.generation:
            return
        args = {
            "protection": PLAIN(
                structs.replace(held, tenure=structs.replace(held.tenure, state=TenureState.HELD))
            ),
            "definition": PLAIN(made),
            "was": "",
            "fault_age_ms": 0,
            "incident": "",
            "rebuilds": PLAIN(_disks(made)),
        }
        said = await self._ask(one, held.tenure, "start-here", args, START_LIMIT_S)
        if said.get("is_taken") is False:
            await self._given_back(
                one, held.tenure, str(said.get("reason") or "it did not say why")
            )

    async def _take_back(self, one: Instance) -> None:
        held = self._registry.protection(one.vm)
        if held is None:
            return
        args = {"vm": one.vm, "generation": held.tenure.generation}
        said = await self._ask(one, held.tenure, "take-back", args, TAKE_BACK_LIMIT_S)
        if said.get("is_gone") is not True:
            return
        if one.step is InstanceStep.LEAVING:
            await self._registry.change(lambda: self._forgotten(one))
            self._say(f"{one.name} is gone, as {one.reason}; its disks are left where they are")
        else:
            given_up = (*one.given_up_utc_ms, clock.utc_ms())[-KEPT:]
            reason = "its host could not bring it back"
            await self._given_back(one, held.tenure, reason, given_up)

    async def _ask(
        self, one: Instance, tenure: Tenure, name: str, args: dict[str, Any], limit_s: float
    ) -> dict[str, Any]:
        """Empty where there is no answer: a time-out is none, and nobody else is told."""
        agent, term = self._agents.by_host.get(tenure.host), self._term()
        if term is None or agent is None or agent.link is None or agent.boot != tenure.boot:
            self.why[one.group] = f"{one.name}: the agent of its host is not linked"
            return {}
        try:
            ask = self._agents.ask(agent, name, args, by=BY, term=term, limit_s=limit_s)
            reply = await ask
        except Unanswerable as error:
            self.why[one.group] = f"{one.name}: {error}"
            return {}
        if reply.error or not isinstance(reply.data, dict):
            self.why[one.group] = f"{one.name}: {reply.error or 'an empty answer'}"
            return {}
        return reply.data

    async def _given_back(
        self, one: Instance, tenure: Tenure, reason: str, given_up: tuple[int, ...] | None = None
    ) -> None:
        """What is refused before it was begun uses up no budget."""
        until = clock.utc_ms() + REFUSED_FOR_MS
        self._refused.setdefault(one.vm, {})[tenure.host] = (until, reason)
        self.why[one.group] = f"{one.name}: {reason}"
        times = one.given_up_utc_ms if given_up is None else given_up
        back = structs.replace(
            one,
            step=InstanceStep.TAKEN_BACK,
            generation=tenure.generation,
            host=tenure.host,
            reason=reason,
            given_up_utc_ms=times,
        )
        await self._registry.change(lambda: self._taken_back(one, back, tenure))

    def _taken_back(self, before: Instance, after: Instance, tenure: Tenure) -> Puts:
        held = self._registry.protection(before.vm)
        if held is None or self._registry.instance(before.vm) != before:
            return {}
        if (held.tenure.generation, held.tenure.host) != (tenure.generation, tenure.host):
            return {}
        return {f"instances/{before.vm}": after}

    def _refusals(self, vm: str) -> dict[str, str]:
        now, known = clock.utc_ms(), self._refused.get(vm, {})
        return {host: reason for host, (until, reason) in known.items() if until > now}

    # What becomes of it.

    def _running(self, one: Instance) -> Puts:
        held = self._registry.protection(one.vm)
        if held is None or self._registry.instance(one.vm) != one:
            return {}
        tenure = held.tenure
        if tenure.state is TenureState.RECOVERING and tenure.generation == one.generation:
            tenure = structs.replace(tenure, state=TenureState.HELD, revision=tenure.revision + 1)
        runs = structs.replace(one, step=InstanceStep.RUNS, reason="")
        return {
            f"instances/{one.vm}": runs,
            f"protections/{one.vm}": structs.replace(held, tenure=tenure),
        }

    def _forgotten(self, one: Instance) -> Puts:
        """Its generation stays known. Of one that a person unprotected only the record goes."""
        known, held = self._registry.instance(one.vm), self._registry.protection(one.vm)
        if known is None:
            return {}
        self._refused.pop(one.vm, None)
        if held is None:
            return {f"instances/{one.vm}": None}
        if known.step is not InstanceStep.LEAVING:
            return {}  # What is believed lags behind the store.
        return {
            f"instances/{one.vm}": None,
            f"protections/{one.vm}": None,
            f"definitions/{one.vm}": None,
            f"released/{one.vm}": Released(generation=held.tenure.generation),
        }


def _placed(one: Instance, boot: str, revision: int) -> Tenure:
    """Its host knows nothing of it before it is told; nor is it granted it when it greets."""
    return Tenure(
        vm=one.vm,
        generation=one.generation,
        host=one.host,
        boot=boot,
        state=TenureState.RECOVERING,
        wanted=Wanted.RUNNING,
        revision=revision,
    )


def _disks(made: VmDefinition) -> tuple[RebuiltDisk, ...]:
    return tuple(
        RebuiltDisk(
            name=one.name,
            path=one.path,
            format=one.format,
            size_bytes=one.size_bytes,
            image=one.image,
        )
        for one in made.needs.disks
        if one.image
    )
