"""Fencing put together: ladders, rehearsals, what people say of dead hosts, their questions."""

from typing import TYPE_CHECKING

from holdfast.controller.acting import lease_proofs
from holdfast.controller.agents import Agents
from holdfast.controller.confirming import Confirming, Ears
from holdfast.controller.fence_questions import FenceQuestions
from holdfast.controller.fencing import Fencing
from holdfast.controller.life_signs import LifeSigns
from holdfast.controller.rehearsal import Rehearsals
from holdfast.facts.events import EventKind
from holdfast.ports.fencer import Fencer

if TYPE_CHECKING:
    from holdfast.controller.assembly import Controller


def make_fencing(one: "Controller", fencer: Fencer) -> tuple[Rehearsals, FenceQuestions]:
    """And let the controller answer what is asked of it."""

    def say(text: str) -> None:
        one.events.note(EventKind.HOST, text)

    def name_of(host: str) -> str:
        known, agent = one.registry.known(host), one.agents.by_host.get(host)
        return known.host_name if known else agent.host_name if agent else host

    fencing = Fencing(one.registry, fencer, one.hosts.find, say)
    rehearsals = Rehearsals(
        registry=one.registry,
        fencer=fencer,
        vim=one.vim,
        sign_of=one.watch.sign_of,
        name_of=name_of,
        term=lambda: one.leadership.term,
        me=one.host_name,
        boot=one.boot,
    )
    confirming = Confirming(
        registry=one.registry,
        fencer=fencer,
        ears=_make_ears(one),
        find_host=one.hosts.find,
        running_on=lambda host: _running_on(one.agents, host),
        hold_power=one.recoverer.power.held,
        say=say,
    )
    questions = FenceQuestions(
        fencing=fencing,
        rehearsals=rehearsals,
        confirming=confirming,
        hosts=one.hosts,
        leadership=one.leadership,
    )
    one.registry.on_change.append(rehearsals.store_changed)
    one.questions.add(questions.handlers())
    return rehearsals, questions


def _make_ears(one: "Controller") -> Ears:
    signs = LifeSigns()
    one.watch.on_seen = signs.see
    return Ears(
        signs=signs,
        sign_of=one.watch.sign_of,
        is_reliable=one.hearing.is_reliable,
        is_linked=lambda host: _is_linked(one.agents, host),
        planes=lambda: list(one.hearing.planes),
        probe=one.hearing.probe,
        ask_peers=one.replicas.peers.ask_peers,
        lease_words=lease_proofs(one.registry, one.leasing).words,
    )


def _is_linked(agents: Agents, host: str) -> bool:
    agent = agents.by_host.get(host)
    return agent is not None and agent.link is not None


def _running_on(agents: Agents, host: str) -> dict[str, str]:
    """Names of VMs by their ids, as its agent said last."""
    agent = agents.by_host.get(host)
    return {one.vm: one.name for one in agent.vms if one.is_running} if agent else {}
