"""What a controller says of itself and its site when somebody asks how things are."""

from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.adapters.drivers.certificates import revoked_words
from holdfast.controller.agents import Agents
from holdfast.facts.incidents import IncidentState
from holdfast.ports.journal import losses_told

if TYPE_CHECKING:
    from holdfast.controller.assembly import Controller

PLAIN = msgspec.to_builtins


async def status_of(controller: "Controller") -> dict[str, Any]:
    """What `holdfast status` shows."""
    alarms = await controller.vim.alarms()
    disarm = controller.registry.disarm()
    agents = agent_rows(controller.agents)
    heard = {row["host"] for row in agents}
    known = controller.registry.all_known()
    return {
        "host_name": controller.host_name,
        "term": controller.leadership.term,
        "is_put_out": _is_put_out(controller),
        "store": "answers" if controller.leadership.leader else controller.leadership.reason,
        "leader": controller.leadership.leader,
        "agents": agents,
        "agents_awaited": [one.host_name for one in known if one.host not in heard],
        "notifiers": [PLAIN(courier.delivery()) for courier in controller.couriers],
        "report_p99_ms": controller.timings.p99_ms(),
        "reports_timed": controller.timings.count,
        "disarm": PLAIN(disarm) if disarm else None,
        "vms": PLAIN(controller.agents.all_vms()),
        "unknown_to_the_store": controller.promises.unknown_to_the_store(),
        "held_for_a_person": controller.promises.held_for_a_person(),
        "incidents": [
            PLAIN(one) for one in controller.entries.incidents() if one.state is IncidentState.OPEN
        ],
        "open_alarms": len(alarms),
        "pulses": controller.hearing.counts(),
        "hosts": controller.hosts.all(),
        "fencing": controller.fence_questions.gauge(),
        "guarantee": controller.guarantees.status(),
        "gaps": controller.entries.gaps,
        "duplicates": controller.entries.duplicates,
        "defects": controller.entries.defects,
        "entries_refused": controller.door.claims.refused,
        "refused_by_vim": controller.entries.refused,
        **controller.replicas.shown(),
        "unknown_frames": controller.door.unknown,
        "unreadable": controller.registry.unreadable + controller.entries.unreadable,
        **losses_told(controller.losses()),
    }


def _is_put_out(controller: "Controller") -> bool:
    """As the store's list has it, or another controller that refuses the certificate of ours."""
    certificates = controller.certificates
    if certificates is None:
        return False
    refusal = revoked_words(certificates.me.host_name)
    is_refused = refusal in controller.replicas.peers.shown().values()
    return is_refused or certificates.me.serial in certificates.revoked


def agent_rows(agents: Agents) -> list[dict[str, Any]]:
    """Those that have told their VMs since this controller started."""
    there = agents.vms_there()
    return [
        {
            "host": agent.host,
            "host_name": agent.host_name,
            "boot": agent.boot,
            "is_up": agent.link is not None,
            "since_utc_ms": agent.since_utc_ms,
            "is_amnesiac": agent.is_amnesiac,
            "vms": there[agent.host],
        }
        for agent in agents.by_host.values()
        if agent.has_told_vms
    ]
