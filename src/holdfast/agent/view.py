"""What the agent shows of itself: its VMs, their obstacles, incidents and health."""

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast.agent.loop import Loop, now
from holdfast.facts import wire
from holdfast.facts.definitions import VmNeeds
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import NS_PER_MS
from holdfast.policy import moving, promise, rebuilding
from holdfast.policy.vm_states import VmState
from holdfast.policy.world import VmRecord, World
from holdfast.ports import clock
from holdfast.ports.hypervisor import Domain

NOT_READ = "its definition has not been read yet"


class View:
    """`domains` is what libvirt last said of its VMs; `watched_by` which mechanism watches one;
    `needs` what a protected one takes, once that was read."""

    def __init__(
        self,
        loop: Loop,
        domains: Callable[[], dict[str, Domain]],
        watched_by: Callable[[str], str],
        needs: Callable[[str], VmNeeds | None] = lambda _: None,
    ) -> None:
        self._loop = loop
        self._domains = domains
        self._watched_by = watched_by
        self._needs = needs

    def vms(self) -> list[wire.VmSummary]:
        """Running and defined VMs alike, by name."""
        world = self._loop.decider.world
        domains = self._domains()
        known = [
            self._summary(record, domains.get(record.vm))
            for record in world.vms.values()
            if record.moves != moving.IN  # It is shown where it runs, until it has come.
        ]
        others = [_defined(d) for d in domains.values() if d.vm not in world.vms]
        shown = [
            s for s in known if s.vm in domains or s.is_running or s.is_protected or s.incident
        ]
        return sorted([*shown, *others], key=lambda s: s.name)

    def _summary(self, record: VmRecord, domain: Domain | None) -> wire.VmSummary:
        world = self._loop.decider.world
        kept = record.protection
        is_running = record.life is not None and not record.is_gone
        group = world.group_of(record)
        left = group.restarts - promise.restarts_in_window(world, record)
        return wire.VmSummary(
            vm=record.vm,
            name=record.name,
            state=_state(record, domain),
            is_running=is_running,
            is_protected=kept is not None,
            pid=record.life.pid if is_running and record.life else 0,
            group=kept.group if kept else "",
            owner=str(group.owner) if kept else "",
            answer=str(kept.answer) if kept else "",
            wanted=str(kept.tenure.wanted) if kept else "",
            obstacle=promise.obstacle(world, record) or _transient(domain),
            watched_by=self._watched_by(record.vm) if is_running else "",
            incident=record.incident,
            restarts_left=max(0, left) if kept else None,
            memory_mib=domain.memory_mib if domain else 0,
            generation=_generation(world, record),
            is_serving=record.runs and not record.is_awaited,
            is_given_up=not is_running and _is_given_up(record),
            **self._elsewhere(record),
        )

    def _elsewhere(self, record: VmRecord) -> dict[str, Any]:
        """What would become of it on another host."""
        kept, needs = record.protection, self._needs(record.vm)
        if kept is None or needs is None:
            return {"elsewhere": NOT_READ if kept else ""}
        group = self._loop.decider.world.group_of(record)
        return {
            "elsewhere": rebuilding.obstacle(needs, kept, group),
            "rebuilt": rebuilding.words(needs, kept, group),
            "local_disk": str(rebuilding.wish(kept, group)),
            "disks": needs.disks,
        }

    def incidents(self) -> list[Incident]:
        """Newest last, with the fault's time by the wall clock of now."""
        world = self._loop.decider.world
        at, utc_ms = now(), clock.utc_ms()
        return [
            msgspec.structs.replace(
                incident,
                fault_utc_ms=incident.fault_utc_ms
                or utc_ms - (at - incident.fault_at) // NS_PER_MS,
            )
            for incident in world.incidents.values()
        ]

    def health(self) -> dict[str, Any]:
        world = self._loop.decider.world
        open_ones = [i for i in world.incidents.values() if i.state is IncidentState.OPEN]
        return {
            "host": world.host,
            "host_name": world.host_name,
            "boot": world.boot,
            "is_amnesiac": world.is_amnesiac,
            "disarm": msgspec.to_builtins(world.disarm) if world.disarm else None,
            "open_incidents": len(open_ones),
            "open_alarms": len(world.alarms),
        }


def _state(record: VmRecord, domain: Domain | None) -> str:
    """Policy's word, and libvirt's where it says more (paused, crashed). What is left of a VM that
    another host holds did not stop: it is no VM of this host."""
    is_held_here = record.protection is not None or not record.outranked or record.is_free
    if not (is_held_here or record.runs or record.incident):
        return f"held by {record.holder or 'another host'}"
    if record.state is VmState.RUNNING and domain and domain.state not in ("running", ""):
        return domain.state
    if record.runs and record.is_awaited:
        return VmState.ANSWERING.value  # Whoever started it.
    return record.state.value


def _generation(world: World, record: VmRecord) -> int:
    """Of the tenure that this host holds in this boot."""
    if record.protection is None or not promise.is_held_here(world, record):
        return 0
    tenure = record.protection.tenure
    return tenure.generation if tenure.boot == world.boot else 0


def _is_given_up(record: VmRecord) -> bool:
    """A start that may yet happen is not given up."""
    return record.state is VmState.HANDED_OVER and not record.start_in_flight


def _transient(domain: Domain | None) -> str:
    if domain is not None and not domain.is_persistent:
        return "it is transient: libvirt keeps no definition to start it from"
    return ""


def _defined(domain: Domain) -> wire.VmSummary:
    is_running = domain.state in ("running", "paused", "blocked")
    return wire.VmSummary(
        vm=domain.vm,
        name=domain.name,
        state=domain.state,
        is_running=is_running,
        is_protected=False,
        obstacle="it is not protected",
        memory_mib=domain.memory_mib,
    )
