"""Carries out what the leader decided about silent hosts: commits, power off, starts elsewhere.

The store first: nothing dangerous is done that is not committed there, and each commit looks
again, in the transaction itself, whether it still may be.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from msgspec import Struct, structs

from holdfast.controller.agents import Agents
from holdfast.controller.lease_proofs import LeaseProofs
from holdfast.controller.registry import Puts, Registry
from holdfast.controller.switching_off import SwitchingOff
from holdfast.controller.works import Works
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action
from holdfast.facts.fencing import Fence, FenceStep, HostMode
from holdfast.facts.outcomes import SiteOutcome
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.tenure import Tenure, TenureState
from holdfast.policy import proofs
from holdfast.policy.site_world import boots_of
from holdfast.ports import clock
from holdfast.ports.answers import Unanswerable
from holdfast.ports.fencer import Fencer
from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

START_LIMIT_S = 15.0
TAKE_BACK_LIMIT_S = 60.0
NEXT_STEPS = {
    FenceStep.INTENDED: (FenceStep.INTENDED, FenceStep.OFF),
    FenceStep.OFF: (FenceStep.CLOSED,),
    FenceStep.CLOSED: (),
}


class Recoverer:
    """`consume` gives policy what came of an act; `fault_age_ms` says how long a host is lost, 0 if
    it is not; `hindrance` why it is not switched off, as policy sees it now, or empty. `more` are
    the waits of `power`, which switches hosts off."""

    def __init__(
        self,
        *,
        registry: Registry,
        agents: Agents,
        fencer: Fencer,
        term: Callable[[], int | None],
        consume: Callable[[SiteOutcome], None],
        fault_age_ms: Callable[[str], int],
        hindrance: Callable[[str], str],
        leases: LeaseProofs | None = None,
        **more: float,
    ) -> None:
        self._registry, self._agents = registry, agents
        self._term, self._consume, self._fault_age_ms = term, consume, fault_age_ms
        self._hindrance = hindrance
        self._works = Works("an act of recovery")
        self.power = SwitchingOff(
            registry=registry,
            fencer=fencer,
            term=term,
            consume=consume,
            why_not=self._why_not,
            leases=leases,
            **more,
        )
        self.close = self._works.close

    def carry_out(self, action: Action) -> None:
        match action:
            case act.PutFence():
                self._works.begin(self._commit(lambda: self._fence(action.fence)))
            case act.SwitchOff():
                off = self.power.switch_off(action)
                self._works.begin(self._or_say(off, lambda why: self.power.not_off(action, why)))
            case act.PutRecovery():
                self._works.begin(self._commit(lambda: self._recovery(action.recovery)))
            case act.RestartElsewhere():
                start = self._start(action)
                self._works.begin(
                    self._or_say(start, lambda why: self._silent(action.recovery, why))
                )
            case act.TakeBack():
                back = self._take_back(action)
                self._works.begin(
                    self._or_say(back, lambda why: self._silent(action.recovery, why))
                )
            case _:
                log.error("refused: %s is not done here", type(action).__name__)

    async def _or_say(self, work: Coroutine[Any, Any, None], say: Callable[[str], None]) -> None:
        """A defect of ours must not leave policy waiting for an outcome that never comes."""
        try:
            await work
        except Exception as error:
            log.exception("an act of recovery failed in our own code")
            say(f"a defect: {error}")

    # The store.

    async def _commit(self, wanted: Callable[[], Puts]) -> None:
        """What it took comes back as a fact; what it did not take, policy asks for again."""
        try:
            await self._registry.change(wanted)
        except StoreAway as away:
            log.warning("not committed: %s", away)

    def _fence(self, asked: Fence) -> Puts:
        known = self._registry.fence(asked.host)
        if asked.term != self._term():
            return {}
        utc_ms = clock.utc_ms()
        if known is None or known.number != asked.number:
            is_next = asked.number == (known.number if known is not None else 0) + 1
            is_heard = not self._fault_age_ms(asked.host)  # While the store was waited for.
            if not is_next or is_heard or self._why_not(asked.host):
                return {}
            return {f"fences/{asked.host}": structs.replace(asked, intended_utc_ms=utc_ms)}
        nexts = NEXT_STEPS[known.step]
        if known.doubt or self._may_be_left(known):
            nexts = (FenceStep.CLOSED, *(() if known.doubt else nexts))
        if asked.step not in nexts:
            return {}
        proven = known.proven_utc_ms or (utc_ms if asked.step is FenceStep.OFF else 0)
        intended = known.intended_utc_ms
        put = structs.replace(asked, intended_utc_ms=intended, proven_utc_ms=proven)
        puts: dict[str, Struct] = {f"fences/{asked.host}": put}
        lease = self._registry.lease(asked.host)
        if asked.step is FenceStep.CLOSED and lease is not None:  # Granted once it is armed anew.
            puts[f"leases/{asked.host}"] = structs.replace(lease, vms=(), is_over=True)
        return puts

    def _may_be_left(self, fence: Fence) -> bool:
        """Nothing is proven yet, and nothing need be: by its lease nobody's power is touched, and a
        host whose agent greeted in a later boot has ended the boot in question by itself."""
        host = self._registry.known(fence.host)
        is_overtaken = host is not None and host.boot not in ("", *boots_of(fence))
        return fence.step is FenceStep.INTENDED and (fence.is_lease or is_overtaken)

    def _why_not(self, host: str) -> str:
        """Why this host may not be switched off, as the store says now, and policy; or empty."""
        disarm = self._registry.disarm()
        if disarm is not None:
            return f"{disarm.owner} disarmed recovery"
        if self._registry.fencing(host).mode is not HostMode.ACT:
            return "it is in report mode"
        return self._hindrance(host)

    def _recovery(self, asked: Recovery) -> Puts:
        held, known = self._registry.protection(asked.vm), self._registry.recovery(asked.vm)
        if held is None or asked.term != self._term():
            return {}
        if known is None or known.generation < asked.generation:
            if self._why_not_placed(held.tenure, asked, known):
                return {}
            age_ms = self._fault_age_ms(asked.source)
            asked = structs.replace(asked, fault_utc_ms=clock.utc_ms() - age_ms)
            tenure = placed(held.tenure, asked)
        elif (known.generation, known.target) == (asked.generation, asked.target):
            asked = structs.replace(asked, fault_utc_ms=known.fault_utc_ms)
            tenure = gone_on(held.tenure, asked)
        else:
            return {}
        return {  # In this order: whoever follows knows why the holder is another one.
            f"recoveries/{asked.vm}": asked,
            f"protections/{asked.vm}": structs.replace(held, tenure=tenure),
        }

    def _why_not_placed(self, tenure: Tenure, asked: Recovery, known: Recovery | None) -> str:
        """Policy may have decided on what is over by now: the store is asked."""
        reason = proofs.may_place(tenure, asked, known)
        disarm = self._registry.disarm()
        if not reason and disarm is not None:
            reason = f"{disarm.owner} disarmed recovery"
        fence = self._registry.fence(tenure.host)
        is_proven = proofs.proof_of(fence) == asked.proof
        if not reason and proofs.covers(asked.proof, tenure) and not is_proven:
            reason = "its host has been given back its VMs"
        if reason:
            log.warning("%s is not placed on %s: %s", asked.name, asked.target, reason)
        return reason

    # The target.

    async def _start(self, asked: act.RestartElsewhere) -> None:
        recovery = asked.recovery
        held, made = self._registry.protection(recovery.vm), self._registry.definition(recovery.vm)
        if held is None or held.tenure.generation != recovery.generation or made is None:
            self._silent(recovery, "the store knows of no such promise, or of no definition")
            return
        tenure = structs.replace(held.tenure, state=TenureState.HELD)
        source = self._registry.known(recovery.source)
        args = {
            "protection": msgspec.to_builtins(structs.replace(held, tenure=tenure)),
            "definition": msgspec.to_builtins(made),
            "was": source.host_name if source is not None else recovery.source,
            "fault_age_ms": max(0, clock.utc_ms() - recovery.fault_utc_ms),
            "incident": recovery.incident,
            "rebuilds": msgspec.to_builtins(recovery.rebuilds),
            "tries": asked.tries,
        }
        said = await self._ask(recovery, "start-here", args, START_LIMIT_S)
        if said is None:
            return
        if said.get("is_taken") is True:
            taken = came.StartTaken(
                incident=recovery.incident,
                at=clock.now(),
                vm=recovery.vm,
                generation=recovery.generation,
            )
            self._consume(taken)
        elif said.get("is_taken") is False:
            self._given_back(recovery, str(said.get("reason") or "it did not say why"))
        else:
            self._silent(recovery, "its answer is not understood")

    async def _take_back(self, asked: act.TakeBack) -> None:
        recovery = asked.recovery
        args = {"vm": recovery.vm, "generation": recovery.generation}
        said = await self._ask(recovery, "take-back", args, TAKE_BACK_LIMIT_S)
        if said is None:
            return
        if said.get("is_gone") is True:
            self._given_back(recovery, str(said.get("reason") or asked.reason))
        else:
            self._silent(recovery, str(said.get("reason") or "it could not be taken back"))

    async def _ask(
        self, recovery: Recovery, name: str, args: dict[str, Any], limit_s: float
    ) -> dict[str, Any] | None:
        """None where there is no answer: that was told already."""
        agent, term = self._agents.by_host.get(recovery.target), self._term()
        if term is None or term != recovery.term:  # It may lead again in a moment.
            self._silent(recovery, "it was not asked: this controller does not lead now")
            return None
        if agent is None or agent.link is None or agent.boot != recovery.target_boot:
            self._silent(recovery, "its agent is not linked in that boot")
            return None
        try:
            by = "the controller"
            reply = await self._agents.ask(agent, name, args, by=by, term=term, limit_s=limit_s)
        except Unanswerable as error:
            self._silent(recovery, str(error))
            return None
        if reply.error or not isinstance(reply.data, dict):
            self._silent(recovery, reply.error or "its answer is empty")
            return None
        return reply.data

    def _given_back(self, recovery: Recovery, reason: str) -> None:
        back = came.GivenBack(
            incident=recovery.incident,
            at=clock.now(),
            vm=recovery.vm,
            generation=recovery.generation,
            reason=reason,
        )
        self._consume(back)

    def _silent(self, recovery: Recovery, reason: str) -> None:
        log.warning("%s has not taken %s: %s", recovery.target, recovery.name, reason)
        silent = came.TargetSilent(
            incident=recovery.incident,
            at=clock.now(),
            vm=recovery.vm,
            generation=recovery.generation,
            reason=reason,
        )
        self._consume(silent)


def placed(tenure: Tenure, recovery: Recovery) -> Tenure:
    return structs.replace(
        tenure,
        generation=recovery.generation,
        host=recovery.target,
        boot=recovery.target_boot,
        state=TenureState.RECOVERING,
        revision=tenure.revision + 1,
    )


def gone_on(tenure: Tenure, recovery: Recovery) -> Tenure:
    """Once it runs, its host holds it as any other."""
    is_started = recovery.step in (RecoveryStep.STARTED, RecoveryStep.ANSWERED)
    if tenure.state is TenureState.RECOVERING and is_started:
        return structs.replace(tenure, state=TenureState.HELD, revision=tenure.revision + 1)
    return tenure
