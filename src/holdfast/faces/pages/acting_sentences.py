"""What a leader did about silent hosts and their VMs, and what came of it, as sentences."""

from collections.abc import Callable
from typing import Any

from holdfast.faces.pages.tables import counted, ended
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.fencing import Fence, FenceStep, HostMode
from holdfast.facts.instants import spoken
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.tenure import ProofKind

Say = Callable[[Any, str], str]


def _fence_put(fact: act.PutFence, _name: str) -> str:
    fence = fact.fence
    match fence.step:
        case _ if fence.doubt:
            return f"Asking the store to note that {fence.name} is not proven dead: {fence.doubt}."
        case FenceStep.INTENDED if fence.is_lease:
            return f"Asking the store to note that the lease of {fence.name} is granted no more."
        case FenceStep.INTENDED:
            return f"Asking the store to note that {fence.name} is to be switched off."
        case FenceStep.OFF if _is_of_lease(fence):
            return f"Asking the store to note that the lease of {fence.name} is over."
        case FenceStep.OFF:
            return f"Asking the store to note that {fence.name} is dead."
        case FenceStep.CLOSED:
            return f"Asking the store to note that {fence.name} is back."


def _fence_set(fact: told.FenceSet, _name: str) -> str:
    fence = fact.fence
    match fence.step:
        case _ if fence.doubt:
            return f"It is noted that {fence.name} is not proven dead: {fence.doubt}."
        case FenceStep.INTENDED if fence.is_lease:
            return f"It is committed: the lease of {fence.name} is granted no more."
        case FenceStep.INTENDED:
            reason = f": {fence.reason}" if fence.reason else ""
            return f"It is committed: {fence.name} is to be switched off{reason}."
        case FenceStep.OFF if _is_of_lease(fence):
            return f"It is committed: the lease of {fence.name} is over. {_shown(fence)}"
        case FenceStep.OFF:
            return f"It is committed: {fence.name} is dead. {_shown(fence)}"
        case FenceStep.CLOSED if fence.is_lease:
            return f"{fence.name} is heard again: its lease is granted anew."
        case FenceStep.CLOSED:
            return f"The fence of {fence.name} is over: it runs again, with nothing of others."


def _switched_off(fact: came.SwitchedOff, _name: str) -> str:
    is_lease = fact.proof.kind is ProofKind.WATCHDOG
    what = "Its lease is over" if is_lease else "Its power was read back off"
    return f"{what}: {'; '.join(fact.proof.shown)}." if fact.proof.shown else f"{what}."


def _shown(fence: Fence) -> str:
    if fence.proof is None:
        return "No proof is kept."
    who = f"{fence.by} says so" if fence.by else "Shown"
    return f"{who}: {'; '.join(fence.proof.shown) or 'nothing'}.".replace("..", ".")


def _is_of_lease(fence: Fence) -> bool:
    return fence.proof is not None and fence.proof.kind is ProofKind.WATCHDOG


def _recovery_put(fact: act.PutRecovery, _name: str) -> str:
    return f"Asking the store to note that {_stands(fact.recovery)}."


def _recovery_set(fact: told.RecoverySet, _name: str) -> str:
    return f"It is committed: {_stands(fact.recovery)}."


def _stands(recovery: Recovery) -> str:
    name, target = recovery.name, recovery.target
    why = f", since {recovery.reason}" if recovery.reason else ""
    return {
        RecoveryStep.PLACED: f"{name} is {target}'s to start, as generation"
        f" {recovery.generation}{why}",
        RecoveryStep.STARTED: f"{name} runs on {target}",
        RecoveryStep.ANSWERED: f"{name} answers on {target}",
        RecoveryStep.GIVEN_BACK: f"{target} does not hold {name}{why}",
    }[recovery.step]


def _mode(fact: told.HostModeSet, name: str) -> str:
    ladder = ", then ".join(fact.devices) or "nothing"
    does = "acts on" if fact.mode is HostMode.ACT else "only reports"
    return f"Holdfast {does} {name}; it could be switched off by {ladder}."


def _sized(fact: told.HostSized, name: str) -> str:
    if fact.size.trouble:
        return f"The host of {name} could start no VM now: {fact.size.trouble}."
    return f"The host of {name} offers {fact.size.memory_mib} MiB and {fact.size.cpus} CPUs to VMs."


def _promise(fact: told.PromiseSet, _name: str) -> str:
    tenure = fact.protection.tenure
    holder = f"held by host {tenure.host} (generation {tenure.generation})"
    return f"{fact.protection.name} is {holder}, {tenure.state}, wanted {tenure.wanted}."


ACTING: dict[type, Say] = {
    act.PutFence: _fence_put,
    act.SwitchOff: lambda f, _: (
        f"Waiting until the lease of {f.fence.name} is surely over."
        if f.fence.is_lease
        else f"Switching {f.fence.name} off."
    ),
    act.PutRecovery: _recovery_put,
    act.RestartElsewhere: lambda f, _: f"Telling {f.recovery.target} to start {f.recovery.name}.",
    act.TakeBack: lambda f, _: f"Asking {f.recovery.target} to give {f.recovery.name} back.",
    came.SwitchedOff: _switched_off,
    came.NotSwitchedOff: lambda f, _: f"It could not be switched off: {ended(f.reason)}",
    came.StartTaken: lambda _f, _n: "The target took the order, and starts it.",
    came.GivenBack: lambda f, _: f"The target holds nothing of it: {ended(f.reason)}",
    came.TargetSilent: lambda f, _: f"The target did not answer: {ended(f.reason)}",
    told.HostSized: _sized,
    told.HostModeSet: _mode,
    told.ActingSet: lambda f, _: (
        f"A host that is silent for {spoken(f.fence_after_ms)} is fenced; when more than"
        f" {f.brake_percent} % of the hosts are, a person decides."
    ),
    told.PromiseSet: _promise,
    told.PromiseEnded: lambda _f, _n: "A VM is not protected any more.",
    told.FenceSet: _fence_set,
    told.FenceForgotten: lambda _, n: f"The store holds no fence of {n} any more.",
    told.RecoveryForgotten: lambda _f, _n: "The store holds no recovery of this VM any more.",
    told.MigrationForgotten: lambda _f, _n: "The store holds no migration of this VM any more.",
    told.RecoverySet: _recovery_set,
    told.LeaseSet: lambda f, n: (
        f"{n} acknowledged its lease; relying on it: {counted(len(f.lease.vms), 'VM')}."
    ),
    told.LeaseForgotten: lambda _, n: f"No VM counts as relying on the lease of {n} any more.",
}
