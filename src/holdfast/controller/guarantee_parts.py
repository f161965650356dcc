"""What the loss of hosts would mean, put together: who reckons it, who asks, whom it admits."""

from typing import TYPE_CHECKING, Any

from holdfast.controller.admitting import Admitting
from holdfast.controller.guaranteeing import Guarantees
from holdfast.facts import wire
from holdfast.policy.rehearsals import why_not_fenceable
from holdfast.ports import clock

if TYPE_CHECKING:
    from holdfast.controller.assembly import Controller


def make_guarantees(one: "Controller", target: int) -> Guarantees:
    """And let the controller answer what is asked of it."""

    def unfenceable(host: str) -> str:
        held, newest = one.registry.fencing(host), one.registry.rehearsal(host)
        return why_not_fenceable(held, newest, clock.utc_ms()) if held.devices else ""

    guarantees = Guarantees(
        world=lambda: one.watch.decider.world,
        vim=one.vim,
        is_leading=lambda: one.leadership.term is not None and one.registry.is_loaded,
        target=target,
        me=one.host_name,
        boot=one.boot,
        unfenceable=unfenceable,
    )

    async def ask(asked: wire.Question) -> Any:
        return await guarantees.ask(asked.args)

    one.questions.add({"guarantee": ask})
    one.questions.refresh = guarantees.soon
    one.questions.if_lost = guarantees.if_lost
    one.agents.worded = guarantees.worded
    one.promises.admit = Admitting(one.registry, one.agents, guarantees).look
    return guarantees
