"""A host that comes back still has the old disks of VMs that were rebuilt elsewhere: that is said.

Nobody deletes them: they may hold the only copy of something.
"""

from collections.abc import Callable, Iterator

from holdfast.controller.registry import Registry
from holdfast.facts.fencing import FenceStep

FENCES = "fences/"


class StaleDisks:
    """Says it once, when the host is given back its place."""

    def __init__(self, registry: Registry, say: Callable[[str], None]) -> None:
        self._registry, self._say = registry, say
        registry.on_change.append(self._changed)

    def _changed(self, key: str) -> None:
        host = key.removeprefix(FENCES)
        fence = self._registry.fence(host) if key.startswith(FENCES) else None
        if fence is not None and fence.step is FenceStep.CLOSED:
            for text in self._left_on(host, fence.name):
                self._say(text)

    def _left_on(self, host: str, name: str) -> Iterator[str]:
        for recovery in self._registry.recoveries().values():
            held = self._registry.protection(recovery.vm)
            if recovery.source != host or held is None or held.tenure.host == host:
                continue
            for disk in recovery.rebuilds:
                vm = recovery.name
                yield (
                    f"{name} is back, and has the old disk {disk.path} of {vm}, which was rebuilt"
                    f" elsewhere: Holdfast leaves it alone. While it is there, {name} makes {vm} no"
                    " new one: save what you need of it, and move it away"
                )
