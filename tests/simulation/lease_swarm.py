"""A random site of which some VMs rely on a lease, with and without BMCs: trouble with all of that.

Its laws are those of fencing: above all, no two copies of a VM are able to write.
"""

from typing import Any

from tests.simulation.fence_swarm import FENCE_TROUBLE, FenceSwarm

# No lies, by BMCs or people: then the laws are about the proof, and prove less.
LIES = ("lies", "wired-to", "confirm-dead")
LEASE_TROUBLE = {
    **{
        line: often
        for line, often in FENCE_TROUBLE.items()
        if not any(word in line for word in LIES)
    },
    "isolate {host}": 8,
    "mend": 8,
    "freeze-agent {host}": 3,
    "resume-agent {host}": 4,
    "bmc {host} dead": 6,
    "group leased lease=off": 1,
    "group leased lease=on": 3,
    "protect {vm} group=leased": 2,
    "protect {vm} group=default": 1,
    "watchdog {host} missing": 1,
    "watchdog {host} well": 2,
}
PAUSES = ("150 ms", "1 s", "4 s", "10 s", "21 s", "40 s")


class LeaseSwarm(FenceSwarm):
    def __init__(self, seed: int, **parts: Any) -> None:
        super().__init__(seed, trouble=LEASE_TROUBLE, pauses=PAUSES, **parts)
        self._open = self._open.replace("controllers=1", "controllers=3")  # Else there is none.

    def _prepare(self) -> None:
        """Of every second host the VM relies on the lease; every third one has no BMC."""
        super()._prepare()
        self._do("group leased lease=on restarts=1000")
        for number, host in enumerate(self.stage.site.hosts):
            if number % 2:
                self._do(f"protect vm-{host} group=leased")
            if number % 3:
                self._do(f"bmc {host} dead")
        self._do("advance 3 s")

    def _is_possible(self, line: str) -> bool:
        name, *words = line.split()
        host = self.stage.site.hosts.get(words[0]) if words else None
        if name in ("freeze-agent", "resume-agent") and host is not None:
            loop = host.machine.loops.get("agent")
            is_frozen = loop is not None and loop.is_frozen
            is_up = loop is not None and not host.machine.is_frozen
            return is_up and is_frozen == (name == "resume-agent")
        if name == "watchdog":
            return host is not None and not host.machine.watchdog.is_open
        return super()._is_possible(line)

    def _mend(self) -> None:
        for name, host in self.stage.site.hosts.items():
            loop = host.machine.loops.get("agent")
            if loop is not None and loop.is_frozen and not host.machine.is_frozen:
                self._do(f"resume-agent {name}")
        self._do("advance 45 s")  # Whom its watchdog has reset boots again.
        super()._mend()
