"""A random site whose hosts have BMCs, and whose VMs are promised: trouble with all of that.

Its laws are those of every site, and those of fencing; who is off at the end is booted by people.
"""

from typing import Any

from tests.simulation.site_swarm import SiteSwarm

FENCE_TROUBLE = {
    "power-cut {host}": 6,
    "boot {host}": 6,
    "freeze {host}": 4,
    "freeze {host} kernel=dead": 1,
    "resume {host}": 5,
    "panic {host}": 2,
    "isolate {host}": 4,
    "split {two}": 2,
    "mend": 6,
    "weather loss=0.05": 1,
    "kill-agent {host}": 2,
    "start-agent {host}": 3,
    "restart-agent {host}": 1,
    "kill-controller {controller}": 3,
    "start-controller {controller}": 4,
    "freeze-controller {controller}": 2,
    "resume-controller {controller}": 4,
    "store stall {controller}": 1,
    "store stall {members}": 1,
    "store lose-answers {controller}": 2,
    "store well": 4,
    "vim away": 1,
    "vim back": 3,
    "clock {host} step=-3600": 1,
    "kill {vm}": 2,
    "bmc {host} dead": 2,
    "bmc {host} shares-power": 2,
    "bmc {host} late=3000": 2,
    "bmc {host} late=12000": 1,
    "bmc {host} lies=off": 1,
    "bmc {host} on-for-ever": 1,
    "bmc {host} wired-to={other}": 1,
    "bmc {host} refuses": 1,
    "bmc {host} half": 2,
    "bmc {host} second-try": 2,
    "bmc {host} n=1 dead": 2,
    "bmc {host} well": 8,
    "cut-management {controller} {host}": 1,
    "cut-management {controller}": 1,
    "mend-management": 3,
    "act {host}": 3,
    "report-only {host}": 1,
    "disarm 1 min": 1,
    "disarm 5 s": 1,
    "arm": 3,
    "confirm-dead {host}": 2,
    "memory {host}=150": 1,
    "memory {host}=0": 2,
    "break-start {vm} on={other} times=2": 1,
    "freeze-libvirt {host}": 1,
    "thaw-libvirt {host}": 3,
}
ENOUGH = 1_000  # Restarts, so that no VM is handed over because of its many deaths here.
ROUNDS = 3  # Of booting: who was to be fenced still is, once, after it came back.


class FenceSwarm(SiteSwarm):
    more = " bmcs=2"

    def __init__(self, seed: int, *, trouble: dict[str, int] | None = None, **parts: Any) -> None:
        super().__init__(seed, trouble=trouble or FENCE_TROUBLE, **parts)

    def _prepare(self) -> None:
        """All is promised, and Holdfast acts on each host."""
        hosts = " ".join(self.stage.site.hosts)
        self._do(f"group default restarts={ENOUGH}")
        self._do("protect " + " ".join(f"vm-{host}" for host in self.stage.site.hosts))
        self._do(f"act {hosts}")
        self._do("advance 1 s")  # Hosts say how their VMs are defined.

    def _judge_end(self) -> None:
        """Raises LawBroken."""
        self.stage.fences.at_the_end()

    def _is_possible(self, line: str) -> bool:
        name, *words = line.split()
        host = self.stage.site.hosts.get(words[0]) if words else None
        if host is None or name not in WITHOUT_POWER:
            return super()._is_possible(line)
        machine = host.machine
        is_well = machine.is_up and not machine.is_frozen and machine.vms.libvirt == "answers"
        return {
            "confirm-dead": not machine.is_up or machine.is_frozen,
            "freeze-libvirt": is_well,
            "thaw-libvirt": machine.is_up and machine.vms.libvirt != "answers",
        }.get(name, True)

    def _set_right(self) -> None:
        self._mend()
        for _ in range(ROUNDS):
            self._begin_all()
            self._do("arm")  # By now there is a leader to be told.
            self._do("advance 18 s")
            if all(host.machine.has_power for host in self.stage.site.hosts.values()):
                break

    def _begin_processes(self, name: str) -> None:
        """Of who was switched off meanwhile, nothing begins."""
        if self.stage.site.hosts[name].machine.is_up:
            super()._begin_processes(name)

    def _mend(self) -> None:
        self._do("mend-management")
        for name, host in self.stage.site.hosts.items():
            for line in (f"bmc {name} well", f"memory {name}=0"):
                self._do(line)
            if host.machine.is_up and host.machine.vms.libvirt != "answers":
                self._do(f"thaw-libvirt {name}")
        super()._mend()


# What is possible of a host whatever its power, or is judged here.
WITHOUT_POWER = frozenset(
    "bmc act report-only confirm-dead freeze-libvirt thaw-libvirt cut-management".split()
)
