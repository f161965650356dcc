"""Parts of a site that break a rule of leases, one for each, in place of the real ones."""

from typing import Any

from msgspec import structs

from holdfast.agent.leasing import Leasing as AgentLeasing
from holdfast.controller.leasing import Leasing
from holdfast.controller.registry import Puts
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.lease_times import PROOF_MS
from holdfast.facts.leases import HostLease, LeaseOrder, LeaseWord
from tests.simulation.agents import SimulatedAgent
from tests.simulation.controllers import SimulatedController

EARLY = Instant(-PROOF_MS * NS_PER_MS)


def leading(kind: type[Leasing]) -> dict[str, Any]:
    """A site whose controllers have this one."""

    class Controller(SimulatedController):
        leasing_kind = kind

    return {"make_controller": Controller}


def obeying(kind: type[AgentLeasing]) -> dict[str, Any]:
    """A site whose agents have this one."""

    class Agent(SimulatedAgent):
        leasing_kind = kind

    return {"make_agent": Agent}


class Hasty(Leasing):
    """It believes that a lease is over at once."""

    def granted_at(self, host: str) -> Instant:
        return Instant(super().granted_at(host) + EARLY)


class Newcomer(Leasing):
    """It thinks that nothing was granted before it came to lead."""

    def granted_at(self, host: str) -> Instant:
        return Instant(min(self._granted_until.get(host, EARLY), super().granted_at(host)))


class Sweeping(Leasing):
    """It counts on all VMs of a host, and tells that only of those that rely."""

    def _put(self, known: HostLease | None, lease: HostLease | None) -> Puts:
        if lease is not None:
            held = self._held(lease.host, lease.boot)
            lease = structs.replace(lease, vms=tuple(sorted(held)))
        return super()._put(known, lease)

    def _wanted(self, agent: Any) -> tuple[str, ...]:
        """What it has told is what it wants: it asks once."""
        known = self._registry.lease(agent.host)
        return known.vms if known is not None else super()._wanted(agent)


class Trusting(Leasing):
    """It does not wait until a host has acknowledged anything."""

    async def _tell(self, agent: Any, order: LeaseOrder) -> LeaseWord:  # noqa: ARG002
        return LeaseWord(epoch=order.epoch, is_taken=True, watchdog_ms=1)


class Eager(Leasing):
    """It arms hosts of which nobody has asked for a lease."""

    def _wanted(self, agent: Any) -> tuple[str, ...]:
        return tuple(sorted(self._held(agent.host, agent.boot)))


class Cruel(AgentLeasing):
    """It ends all VMs of its host."""

    async def _end(self, vm: str) -> bool:
        others = list(self._loop.decider.world.vms)
        return all([await super(Cruel, self)._end(one) for one in {vm, *others}])


class Pretending(AgentLeasing):
    """It says that all is gone, and ends nothing."""

    async def _end(self, vm: str) -> bool:  # noqa: ARG002
        return True


class Restless(AgentLeasing):
    """It lets a VM start here that was ended with its lease."""

    def _lapsed(self) -> list[bool]:
        self._loop.decider.world.lapsed.clear()
        return [True]
