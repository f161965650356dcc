"""Who may run which VM: grants and releases, and what an agent's greeting changes about them.

The store first, then the agent: what the agent did not hear of, its next greeting tells it.
A tenure of no boot (empty) is held until a person protects the VM again: its agent forgot.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct, structs

from holdfast.controller import restored_hosts, restored_moves
from holdfast.controller.agents import Agent, Agents
from holdfast.controller.disk_wishes import NO_WISH, DiskWish
from holdfast.controller.registry import Known, Puts, Registry, Released
from holdfast.facts import wire
from holdfast.facts.definitions import VmDefinition
from holdfast.facts.fencing import FenceStep
from holdfast.facts.promises import Answer, AnswerKind, Protection, parse_answer
from holdfast.facts.tenure import RESTORED, Tenure
from holdfast.facts.wire import VmSummary
from holdfast.policy import tenures
from holdfast.ports.answers import AWAY, REFUSED, USAGE, Unanswerable, unknown
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

# A console says its text once, and running on takes its time.
SHOWN_AT_ONCE = (AnswerKind.AGENT, AnswerKind.TCP)
ANSWERS_LIMIT_S = 5.0
TELL_LIMIT_S = 2.0


# What is to be said of a VM that is to be protected; it raises Unanswerable for one that may not.
Admit = Callable[[Agent, VmSummary, str, DiskWish, str, int], Awaitable[dict[str, Any]]]


async def _admit_all(*_: object) -> dict[str, Any]:
    return {}


class Promises:
    def __init__(self, registry: Registry, agents: Agents) -> None:
        self._registry, self._agents = registry, agents
        agents.holder_of = self._holder_of
        self.admit: Admit = _admit_all
        self.on_granted: Callable[[str], None] = lambda _: None  # It must hear of it.
        registry.on_change.append(self._store_changed)

    def _store_changed(self, key: str) -> None:
        """The last host that was awaited after a restore may have greeted, or been put out."""
        if key.startswith("agents/"):
            for host in restored_hosts.held_up(self._registry):
                self.on_granted(host)

    async def greet(self, hello: wire.Hello) -> None:
        """Bring the store up to what the greeting says. Raises StoreAway.

        A new boot is granted what its host held. An agent that forgot is granted nothing.
        """
        before = self._waiting()
        await self._registry.change(lambda: self._after_greeting(hello))
        for vm in before - self._waiting():  # Its host greeted before this one.
            held = self._registry.protection(vm)
            if held is not None and held.tenure.host != hello.host:
                self.on_granted(held.tenure.host)

    def _holder_of(self, vm: str) -> str:
        held = self._registry.protection(vm)
        return held.tenure.host if held is not None else ""

    def is_anothers(self, vm: str, host: str) -> bool:
        """It is held, and surely by another host; or runs there though nobody holds it any more."""
        held = self._registry.protection(vm)
        if held is not None and held.tenure.boot != RESTORED and held.tenure.host != host:
            return True
        return self._agents.runner(vm, besides=host) is not None

    def _waiting(self) -> set[str]:
        known = self._registry.protections().items()
        return {vm for vm, one in known if tenures.waits_for_both_ends(one.tenure)}

    def of_host(self, host: str) -> tuple[Protection, ...]:
        return tuple(p for p in self._registry.protections().values() if p.tenure.host == host)

    def told_to(self, hello: wire.Hello) -> tuple[Protection, ...]:
        """What the host holds, and what it believes to hold and another host does, or did to the
        end: what is in neither it would tell people to start by hand."""
        known = self._registry.protections()
        elsewhere = [known[t.vm] for t in hello.tenures if t.vm in known]
        others = tuple(p for p in elsewhere if p.tenure.host != hello.host)
        outlived = (self._registry.outlives(t, hello.host) for t in hello.tenures)
        return self.of_host(hello.host) + others + tuple(filter(None, outlived))

    def released(self, hello: wire.Hello) -> tuple[str, ...]:
        """Of those that the host believes to hold, or others to, with no newer generation."""
        copies = [t for t in hello.tenures if not self._registry.outlives(t, hello.host)]
        believed = {**hello.barred, **{t.vm: t.generation for t in copies}}
        return tuple(
            vm
            for vm, generation in believed.items()
            if self._registry.protection(vm) is None and self._registry.released(vm) >= generation
        )

    def unknown_to_the_store(self) -> list[str]:
        """VMs that their agents protect and the store does not know: protect them again."""
        if not self._registry.is_loaded:
            return []
        known = self._registry.protections()
        shown = (summary for agent in self._agents.linked() for summary in agent.vms)
        return sorted(one.name for one in shown if one.is_protected and one.vm not in known)

    def held_for_a_person(self) -> list[str]:
        """VMs that nobody restarts: what their host held is in doubt, until protected again."""
        held = self._registry.protections().values()
        return sorted(one.name for one in held if one.tenure.boot in ("", RESTORED))

    async def protect(
        self,
        vm: str,
        group: str,
        answer: str,
        by: str,
        term: int,
        old_host_is_gone: str = "",
        wish: DiskWish = NO_WISH,
    ) -> Any:
        """Raises Unanswerable, StoreAway."""
        agent, summary = self._agents.find_to_protect(vm)
        if agent.link is None:
            raise self._agents.away(agent)
        self._check_group(group)
        read = _read_answer(answer)
        before = self._registry.protection(summary.vm)
        self._check_holder(agent, before, old_host_is_gone)
        admitted = await self.admit(agent, summary, group, wish, by, term)
        await self._registry.change(
            lambda: self._granted(agent, summary, group, read, wish, before)
        )
        protection = self._registry.protection(summary.vm)
        assert protection is not None
        args = {"protection": msgspec.to_builtins(protection)}
        reply = await self._agents.ask(agent, "grant", args, by=by, term=term)
        if reply.error:
            await self._put_back(summary.vm, before, protection)
            raise Unanswerable(reply.error, reply.hint, reply.code or REFUSED)
        told = reply.data if isinstance(reply.data, dict) else {}
        try:
            _check_taken(protection.tenure, told)
        except Unanswerable:
            await self._put_back(summary.vm, before, protection)
            raise
        said = {"old_host_is_gone": old_host_is_gone} if old_host_is_gone else {}
        now = await self._answers_now(agent, summary.vm, read, by, term)
        return {"protection": args["protection"], **told, **said, **now, **admitted}

    async def _answers_now(
        self, agent: Agent, vm: str, asked_for: Answer | None, by: str, term: int
    ) -> dict[str, Any]:
        """Whether it answers in the way that was just asked for, where a moment shows that. The
        promise holds whatever comes of it; an older agent does not know the question."""
        if asked_for is None or asked_for.kind not in SHOWN_AT_ONCE:
            return {}
        with contextlib.suppress(Unanswerable):
            args, limit_s = {"vm": vm}, ANSWERS_LIMIT_S
            ask = self._agents.ask(agent, "answers-now", args, by=by, term=term, limit_s=limit_s)
            reply = await ask
            if not reply.error and isinstance(reply.data, dict):
                return {"answers_now": reply.data.get("answers_now")}
        return {}

    async def unprotect(self, vm: str, by: str, term: int) -> Any:
        """Raises Unanswerable, StoreAway."""
        held = self._find(vm)
        agent = self._agents.find_host(held.tenure.host)
        if agent.link is None:
            raise self._agents.away(agent)
        made = self._registry.definition(held.vm)
        await self._registry.change(lambda: self._after_release(held.vm))
        try:
            reply = await self._agents.ask(agent, "release", {"vm": held.vm}, by=by, term=term)
        except Unanswerable as silent:
            text = f"{held.name} is not protected any more, but {silent}"
            hint = f"{agent.host_name} lets go of it when its agent greets again: holdfast vm list"
            raise Unanswerable(text, hint, AWAY) from None
        if reply.error:
            await self._put_back(held.vm, held, None, made)
            raise Unanswerable(reply.error, reply.hint, reply.code or REFUSED)
        await self._tell_others(held.vm, agent, by, term)
        return {"vm": held.vm, "name": held.name}

    async def _tell_others(self, vm: str, holder: Agent, by: str, term: int) -> None:
        """Hosts that had it let it be started again. Who is away hears it when it greets."""
        others = [
            one
            for one in self._agents.linked()
            if one is not holder and any(summary.vm == vm for summary in one.vms)
        ]
        asked = (
            self._agents.ask(one, "release", {"vm": vm}, by=by, term=term, limit_s=TELL_LIMIT_S)
            for one in others
        )
        await asyncio.gather(*asked, return_exceptions=True)

    async def take_tenure(self, told: Tenure) -> None:
        """An agent said what became of a VM that it holds. What is not its to say is left alone."""
        await self._registry.change(lambda: self._after_tenure(told))

    def _after_tenure(self, told: Tenure) -> Puts:
        held = self._registry.protection(told.vm)
        if held is None:
            return {}
        after = tenures.told(held.tenure, told)
        return {f"protections/{told.vm}": structs.replace(held, tenure=after)}

    def _after_release(self, vm: str) -> Puts:
        """The generation stays known: it never falls back."""
        held = self._registry.protection(vm)
        if held is None:
            return {}
        released = Released(generation=held.tenure.generation, held=held)
        return {
            f"protections/{vm}": None,
            f"released/{vm}": released,
            f"definitions/{vm}": None,
        }

    def _after_greeting(self, hello: wire.Hello) -> Puts:
        known = self._registry.known(hello.host)
        forgot = hello.is_amnesiac or (known is not None and known.state_id != hello.state_id)
        copies = {tenure.vm: tenure for tenure in hello.tenures}
        puts: dict[str, Struct | None] = {}
        # Whoever is being switched off is granted nothing anew: it greets again when that is done,
        # and is told from the agent before it only then.
        fence = self._registry.fence(hello.host)
        is_fenced = fence is not None and fence.step is FenceStep.INTENDED
        for held in self.of_host(hello.host) if not is_fenced else ():
            both_ends = tenures.waits_for_both_ends(held.tenure)
            if both_ends or restored_hosts.waits(self._registry, held, hello):
                continue
            after = (
                tenures.forgotten(held.tenure)
                if forgot
                else tenures.greeted(held.tenure, hello.boot, copies.get(held.vm))
            )
            if self._runs_elsewhere(held, hello):
                after = tenures.moved_away(after)
            puts[f"protections/{held.vm}"] = structs.replace(held, tenure=after)
        for vm, copy in copies.items():
            other = self._registry.protection(vm)
            if other is not None and other.tenure.host != hello.host:
                after = tenures.outranked(other.tenure, copy)
                puts[f"protections/{vm}"] = structs.replace(other, tenure=after)
        if not is_fenced:
            puts |= restored_moves.after_greeting(self._registry, self._agents, hello)
        puts[f"agents/{hello.host}"] = Known(
            host=hello.host,
            host_name=hello.host_name,
            boot=hello.boot,
            state_id=known.state_id if is_fenced and known is not None else hello.state_id,
            pulse_key=hello.pulse_key,
            addresses=hello.addresses,
            rack=hello.rack,
            switch=hello.switch,
            zone=hello.zone,
            boot_then=known.boot_then if known is not None else "",
        )
        return puts

    def _runs_elsewhere(self, held: Protection, hello: wire.Hello) -> bool:
        """Somebody moved it by hand, and this host fell before it could say so."""
        is_new_boot = held.tenure.boot != hello.boot
        return is_new_boot and self._agents.runner(held.vm, besides=hello.host) is not None

    def _granted(
        self,
        agent: Agent,
        summary: VmSummary,
        group: str,
        answer: Answer | None,
        wish: DiskWish,
        checked: Protection | None,
    ) -> Puts:
        held = self._registry.protection(summary.vm)
        if held is not None and (checked is None or checked.tenure.host != held.tenure.host):
            self._check_holder(agent, held, "")  # It came to another holder meanwhile.
        copy = agent.tenures.get(summary.vm)
        tenure = tenures.granted(
            held.tenure if held else None,
            vm=summary.vm,
            host=agent.host,
            boot=agent.boot,
            known=max(self._registry.released(summary.vm), copy.generation if copy else 0),
        )
        granted = Protection(
            vm=summary.vm,
            name=summary.name,
            group=group or (held.group if held else "default"),
            answer=answer or (held.answer if held else Answer()),
            tenure=tenure,
            local_disk=held.local_disk if held else None,
            images=held.images if held else {},
        )
        return {
            f"protections/{summary.vm}": wish.applied(granted),
            **restored_moves.ended(self._registry, held, agent.host_name),
        }

    def _check_holder(self, agent: Agent, held: Protection | None, old_host_is_gone: str) -> None:
        """Raises Unanswerable when another host holds the VM. A host made anew has another id
        under its old name: that the old one is gone only a person can say."""
        if held is None or held.tenure.host == agent.host:
            return
        holder = self._registry.known(held.tenure.host)
        name = holder.host_name if holder else held.tenure.host
        other = self._agents.by_host.get(held.tenure.host)
        is_up = other is not None and other.link is not None
        text = f"{held.name} is held by host {name}: running it twice would destroy its disks"
        if name != agent.host_name or is_up:
            raise Unanswerable(text, f"holdfast vm unprotect {held.vm}, while {name} is up")
        text = f"{held.name} is held by another host of the name {name} ({held.tenure.host})"
        if not old_host_is_gone:
            hint = f'holdfast vm protect {held.name} --old-host-is-gone "how you know"'
            raise Unanswerable(f"{text}: running it twice would destroy its disks", hint)
        log.warning("%s; a person says that it is gone: %s", text, old_host_is_gone)

    async def _put_back(
        self,
        vm: str,
        before: Protection | None,
        mine: Protection | None,
        made: VmDefinition | None = None,
    ) -> None:
        """The agent would not: undo it, unless somebody has changed it since. Its definition, which
        its agent told once, was `made`."""

        def undone() -> Puts:
            if self._registry.protection(vm) != mine:
                return {}
            return {f"protections/{vm}": before, **({f"definitions/{vm}": made} if made else {})}

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


def _check_taken(granted: Tenure, told: dict[str, Any]) -> None:
    """Raises Unanswerable when the agent says that it holds another tenure than this grant."""
    if "protection" not in told:
        return
    try:
        taken = msgspec.convert(told["protection"], Protection).tenure
    except msgspec.ValidationError as error:
        raise Unanswerable(f"the agent's answer is not understood: {error}") from None
    if (taken.host, taken.boot, taken.generation) != (
        granted.host,
        granted.boot,
        granted.generation,
    ):
        text = f"the agent did not take generation {granted.generation}: it holds"
        raise Unanswerable(
            f"{text} {taken.generation} of host {taken.host}, boot {taken.boot or 'none'}",
            "restart the agent, so that it greets anew, and protect again",
        )


def _read_answer(text: str) -> Answer | None:
    try:
        return parse_answer(text) if text else None
    except ValueError as error:
        raise Unanswerable(str(error), "holdfast vm protect --help", USAGE) from None
