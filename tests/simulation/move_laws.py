"""The laws of VMs that move while they run, as a guest goes on elsewhere, and at the end."""

from collections.abc import Iterator
from functools import partial

from holdfast.adapters.simulated.vm import SimulatedVm
from holdfast.facts.alarms import Alarm
from holdfast.facts.instants import NS_PER_S
from holdfast.facts.migrations import Migration
from holdfast.facts.promises import Protection
from holdfast.facts.tenure import TenureState
from tests.simulation.fence_laws import FenceLaws
from tests.simulation.site_laws import LawBroken

UNCOMMITTED_MOVE = "nothing moves that is not committed"
ONE_PLACE = "a VM that moved is in one place, and held there, or alarmed"
DRAINED = "nothing is placed on a drained host"
UNWANTED_MOVE = "nothing moves that nobody wanted to move"
TOLD_NS = 2 * NS_PER_S  # Who decided on a place had not heard of a drain for so long, at most.


class MoveLaws:
    """They are about what truly happened to guests; what the store held is the other half."""

    def __init__(self, fences: FenceLaws) -> None:
        self.fences, self.site = fences, fences.site
        self.truth, self.laws = fences.truth, fences.laws
        self.came = 0
        for name, host in self.site.hosts.items():
            host.machine.vms.moved.append(partial(self._moved, name))
            host.machine.vms.left.append(partial(self._left, name))
        self.truth.placed.append(self._placed)
        self.laws.is_moving = self._is_moving
        may_stay = self.laws.may_stay
        self.laws.may_stay = lambda alarm: may_stay(alarm) or self._is_by_hand(alarm)

    def _moved(self, host: str, vm: SimulatedVm) -> None:
        self.came += 1
        move = next(one for one in reversed(self.site.roads.moves) if one.vm == vm.uuid)
        if not move.is_by_hand and not self._is_committed(move.source.name, host, vm.uuid):
            text = f"{vm.name} came from {move.source.name} to {host}, and the store knew nothing"
            self._breach(UNCOMMITTED_MOVE, text)
        if not move.is_by_hand and not self._is_wanted(move.source.name, vm):
            text = f"{vm.name} left {move.source.name}, which nobody drains: nobody named it either"
            self._breach(UNWANTED_MOVE, text)
        self.truth.note_begin(host, vm, 0)
        self.laws.vm_started(self.site.hosts[host], vm.name)
        self.fences.judge_copies()

    def _left(self, host: str, vm: SimulatedVm) -> None:
        self.laws.vm_may_end(self.site.hosts[host], vm.name)

    def _is_committed(self, source: str, target: str, vm: str) -> bool:
        held = self.truth.migrations.get(vm)
        return held is not None and held[-1].is_open and _ends(held[-1]) == (source, target)

    def _is_wanted(self, source: str, vm: SimulatedVm) -> bool:
        named = {vm.name, vm.uuid} & self.truth.to_be_moved
        return bool(named) or source in self.truth.to_be_left

    def _is_moving(self, vm: str) -> bool:
        held = self.truth.migrations.get(vm)
        return held is not None and held[-1].is_open

    def _is_by_hand(self, alarm: Alarm) -> bool:
        """Somebody moved it here by hand, and this host fell before it held it: nobody is left who
        knows that what ran here was not its own, or but half of it."""
        came = (one for one in self.site.roads.moves if one.is_by_hand)
        return any(alarm.key.startswith(f"{one.coming}:") for one in came)

    def _placed(self, name: str, target: str) -> None:
        since = self.truth.drained.get(target)
        if since is not None and self.site.clock.now - since > TOLD_NS:
            self._breach(DRAINED, f"{name} is to go to {target}, which people drain")

    # At the end.

    def at_the_end(self) -> None:
        """Raises LawBroken."""
        broken = list(self.not_in_one_place())
        if broken:
            raise LawBroken("; ".join(broken))

    def not_in_one_place(self) -> Iterator[str]:
        for protection in self.truth.protections():
            held = self.truth.migrations.get(protection.vm)
            if not held or not self.truth.is_promised(protection):
                continue
            why = self._why_not_there(protection, held[-1])
            if why and not self.fences.is_alarmed(protection.vm):
                yield f"{ONE_PLACE}: {protection.name} {why}"

    def _why_not_there(self, protection: Protection, last: Migration) -> str:
        tenure = protection.tenure
        where = [
            name
            for name, host in self.site.hosts.items()
            if (vm := host.machine.vms.by_uuid(protection.vm)) is not None and vm.can_write
        ]
        if last.is_open:
            return f"moves still from {last.source} to {last.target}, and runs on {where}"
        if where != [tenure.host] or tenure.state is not TenureState.HELD:
            return f"is {tenure.state} by {tenure.host}, and runs on {where}"
        return ""

    def _breach(self, law: str, text: str) -> None:
        self.laws.breach(f"{law}: {text}")


def _ends(migration: Migration) -> tuple[str, str]:
    return migration.source, migration.target
