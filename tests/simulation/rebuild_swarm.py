"""A random site where VMs have disks of their host alone: some are rebuilt, some kept, some made.

Beside the laws of every site with fencing: what is kept is never made anew, and a group never has
more VMs than it was promised.
"""

from collections import Counter
from typing import Any

from tests.simulation.fence_swarm import FENCE_TROUBLE, FenceSwarm
from tests.simulation.site_laws import LawBroken

IMAGE = "/images/base"
PROMISED = 2
MORE_TROUBLE = {
    "image-gone {host} image=" + IMAGE: 2,
    "image-back {host} image=" + IMAGE: 3,
    "kill own-{host}": 2,
}


class RebuildSwarm(FenceSwarm):
    """`own-HOST` is rebuilt for h1, h3 and so on, and kept for the others."""

    def __init__(self, seed: int, *, trouble: dict[str, int] | None = None, **parts: Any) -> None:
        super().__init__(seed, trouble=trouble or FENCE_TROUBLE | MORE_TROUBLE, **parts)

    def _prepare(self) -> None:
        super()._prepare()
        for host in self.stage.site.hosts:
            self._do(f"vm own-{host} on={host} local")
        self._do("advance 3 s")
        for number, host in enumerate(self.stage.site.hosts):
            wish = "keep" if number % 2 else "rebuild"
            self._do(f"protect own-{host} local-disk={wish} image={IMAGE}")
        self._do(f"template front count={PROMISED} memory=0.1")
        self._do("advance 6 s")

    def _judge_end(self) -> None:
        self._judge_kept()
        self._judge_number()
        super()._judge_end()

    def _judge_kept(self) -> None:
        for number, name in enumerate(self.stage.site.hosts):
            for host in self.stage.site.hosts.values():
                vm = host.machine.vms.vms.get(f"own-{name}")
                if number % 2 and vm is not None and vm.rebuilds:
                    raise LawBroken(f"what is kept in place is never made anew: {vm.name}")

    def _judge_number(self) -> None:
        running = Counter(
            name
            for host in self.stage.site.hosts.values()
            for name, vm in host.machine.vms.vms.items()
            if vm.runs and name.startswith("front-")
        )
        if len(running) > PROMISED or max(running.values(), default=0) > 1:
            raise LawBroken(f"a group has no more VMs than it was promised: {dict(running)}")
