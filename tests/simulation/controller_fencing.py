"""How a simulated controller takes a person's word that a host is dead: the program's own way."""

from typing import TYPE_CHECKING

from holdfast.controller.acting import lease_proofs
from holdfast.controller.confirming import Confirming, Ears
from holdfast.controller.host_rows import HostRows
from holdfast.controller.life_signs import LifeSigns

if TYPE_CHECKING:
    from tests.simulation.controllers import SimulatedController


def make_confirming(one: "SimulatedController") -> Confirming:
    """As controller/fence_parts.py, where nobody is told of it."""
    signs = LifeSigns()
    one.watch.on_seen = signs.see
    rows = HostRows(one.agents, one.watch.host_rows, one.registry.all_known, lambda _host: {})

    def is_linked(host: str) -> bool:
        agent = one.agents.by_host.get(host)
        return agent is not None and agent.link is not None

    def running_on(host: str) -> dict[str, str]:
        agent = one.agents.by_host.get(host)
        return {vm.vm: vm.name for vm in agent.vms if vm.is_running} if agent else {}

    ears = Ears(
        signs=signs,
        sign_of=one.watch.sign_of,
        is_reliable=one.hearing.is_reliable,
        is_linked=is_linked,
        planes=lambda: list(one.hearing.planes),
        probe=one.hearing.probe,
        ask_peers=one.replicas.peers.ask_peers,
        lease_words=lease_proofs(one.registry, one.leasing).words,
    )
    return Confirming(
        registry=one.registry,
        fencer=one.fencer,
        ears=ears,
        find_host=rows.find,
        running_on=running_on,
        hold_power=one.hold_power,
        say=lambda _text: None,
    )
