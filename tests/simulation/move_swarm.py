"""A random site with fencing whose VMs move while they run, and whose hosts are drained.

Its laws are those of fencing, and those of moves; whoever is asked to end one of two copies does.
"""

from typing import Any

from tests.simulation.fence_swarm import FENCE_TROUBLE, FenceSwarm

MOVES = {
    "move {vm} to={other}": 14,
    "move {vm}": 8,
    "cancel-move {vm}": 4,
    "drain {host}": 5,
    "undrain {host}": 5,
    "virsh-migrate {vm} to={other}": 6,
    "moves copy=300 switch=1500": 2,
    "moves copy=4000 switch=600": 2,
    "moves copy=1500 switch=80": 2,
    "kill-libvirt {host}": 2,
}
MOVE_TROUBLE = {**FENCE_TROUBLE, **MOVES, "freeze-libvirt {host}": 2, "thaw-libvirt {host}": 5}
HELD_S = 20  # Until all is over that was begun before everything was mended.


class MoveSwarm(FenceSwarm):
    def __init__(self, seed: int, *, trouble: dict[str, int] | None = None, **parts: Any) -> None:
        super().__init__(seed, trouble=trouble or MOVE_TROUBLE, **parts)

    def _is_possible(self, line: str) -> bool:
        name, *words = line.split()
        if name == "virsh-migrate":
            return self._can_move_by_hand(words[0], words[1].partition("=")[2])
        if name == "kill-libvirt":
            return super()._is_possible(line.replace(name, "freeze-libvirt"))
        return super()._is_possible(line)

    def _can_move_by_hand(self, vm: str, target: str) -> bool:
        """Where nobody of Holdfast looks at either end, nothing but the locks of its disks keeps
        what was moved by hand from being started where it was: nobody could know."""
        ends = (self.stage.site.host_of(vm).machine, self.stage.site.hosts[target].machine)
        is_well = all(one.can_run("agent") and one.vms.libvirt == "answers" for one in ends)
        return is_well and ends[0].vms.vms[vm].can_write

    def _mend(self) -> None:
        for host in self.stage.site.hosts:
            self._do(f"undrain {host}")
        self._do("moves copy=300 switch=80")
        super()._mend()

    def _set_right(self) -> None:
        super()._set_right()
        for host in self.stage.site.hosts:
            self._do(f"undrain {host}")  # By now there is a leader to be told.
        self._end_copies()
        self._do(f"advance {HELD_S} s")
        if not all(host.machine.has_power for host in self.stage.site.hosts.values()):
            super()._set_right()  # Who was to be fenced still is, however late.

    def _end_copies(self) -> None:
        """By people, who were told that it is at both ends."""
        for name, host in self.stage.site.hosts.items():
            for vm in list(host.machine.vms.vms.values()):
                if vm.runs and not vm.can_write and self.stage.fences.is_alarmed(vm.uuid):
                    self._do(f"end-copy {vm.name} on={name}")

    def _judge_end(self) -> None:
        """Raises LawBroken."""
        super()._judge_end()
        self.stage.moves.at_the_end()
