"""One row for each VM: what the host says that holds it, and where else something of it is left.

A VM that moved leaves its definition behind. What a host says of that is no word about the VM.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from holdfast.facts.wire import VmSummary
from holdfast.ports.answers import USAGE, Unanswerable

if TYPE_CHECKING:
    from holdfast.controller.agents import Agent

    Seen = tuple[Agent, VmSummary]

NOT_THERE = "not seen on its host yet"


def by_vm(agents: Iterable["Agent"]) -> dict[str, list["Seen"]]:
    """What each host says of each VM, by its uuid."""
    found: dict[str, list[Seen]] = {}
    for agent in agents:
        for summary in agent.vms:
            found.setdefault(summary.vm, []).append((agent, summary))
    return found


def whose_word(seen: Sequence["Seen"], holder: str) -> "Seen":
    """Its holder's; of a VM that nobody holds that of who runs it, or ran it when last heard."""
    holds = (one for one in seen if one[0].host == holder)
    return next(holds, None) or max(seen, key=_weight)


def where(seen: Sequence["Seen"], holder: str) -> str:
    """The host that it counts for."""
    return holder or whose_word(seen, holder)[0].host


def row(seen: Sequence["Seen"], holder: str, hosts: Mapping[str, "Agent"]) -> VmSummary:
    agent, summary = whose_word(seen, holder)
    if holder and agent.host != holder:
        return _held_unseen(seen, summary, holder, hosts)
    told = summary if agent.link is not None else _unseen(summary, agent)
    return _placed(told, seen, agent.host, agent.host_name)


def to_protect(name: str, seen: Sequence["Seen"], holder: str) -> "Seen":
    """Where a promise about it would be given: at its holder, or where it is. Raises Unanswerable
    where that could be more than one host."""
    up = [one for one in seen if one[0].link is not None]
    held = [one for one in up if one[0].host == holder]
    running = [one for one in up if one[1].is_running]
    found = held or running or up
    if held and running and not any(one in running for one in held):
        where = " and ".join(sorted(agent.host_name for agent, _ in running))
        text = f"{name} is held by {held[0][0].host_name}, and runs on {where}"
        hint = f"holdfast vm unprotect {name}; then protect it again, where it runs"
        raise Unanswerable(f"{text}: on both it would destroy its disks", hint)
    if len(found) > 1:
        hosts = " and ".join(sorted(agent.host_name for agent, _ in found))
        if running:
            hint = "it must run once only: look at both, and end the wrong one there"
            raise Unanswerable(f"{name} runs on {hosts}", hint, USAGE)
        hint = "start it where it is to run, or undefine it on the other hosts: virsh undefine"
        text = f"{name} is defined on {hosts}, and runs on none of them"
        raise Unanswerable(text, hint, USAGE)
    return found[0] if found else whose_word(seen, holder)


def only_defined(rows: Iterable[VmSummary], host_name: str) -> list[dict[str, str]]:
    """VMs of other hosts of which this one has a definition left, and where they are."""
    return [
        {"vm": one.vm, "name": one.name, "host_name": one.host_name}
        for one in rows
        if host_name in one.defined_on
    ]


def _weight(one: "Seen") -> tuple[bool, bool]:
    agent, summary = one
    is_up = agent.link is not None
    return summary.is_running, is_up


def _held_unseen(
    seen: Sequence["Seen"], summary: VmSummary, holder: str, hosts: Mapping[str, "Agent"]
) -> VmSummary:
    """Its holder has not shown it: it is about to start there, or is not defined there any more."""
    name = hosts[holder].host_name if holder in hosts else holder
    told = VmSummary(
        vm=summary.vm,
        name=summary.name,
        state=NOT_THERE,
        is_running=False,
        is_protected=True,
        memory_mib=summary.memory_mib,
        obstacle=f"{name}, which holds it, does not show it",
    )
    return _placed(told, seen, holder, name)


def _placed(told: VmSummary, seen: Sequence["Seen"], host: str, host_name: str) -> VmSummary:
    others = [(agent, one) for agent, one in seen if agent.host != host]
    runs = [agent for agent, one in others if one.is_running and agent.link is not None]
    left = [agent for agent, _ in others if agent not in runs]
    return structs.replace(
        told,
        host=host,
        host_name=host_name,
        also_runs_on=tuple(sorted(agent.host_name for agent in runs)),
        defined_on=tuple(sorted(agent.host_name for agent in left)),
    )


def _unseen(summary: VmSummary, agent: "Agent") -> VmSummary:
    return structs.replace(
        summary,
        state="unknown",
        is_running=False,
        pid=0,
        watched_by="",
        obstacle=f"the agent of host {agent.host_name} is away",
    )
