"""What libvirt and QEMU's monitors say, heard by a worker that may hang without hurting anybody."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from holdfast.adapters.drivers.worker_link import Worker
from holdfast.facts.instants import Instant
from holdfast.facts.observations import (
    DomainStateRead,
    LibvirtAnswered,
    LibvirtGone,
    LibvirtSilent,
    LifecycleSeen,
    Observation,
    QmpEventSeen,
    UnknownSeen,
)
from holdfast.ports.sensor import See, Sensor

MODULE = "holdfast.adapters.drivers.libvirt_listener"
RESTART_S = 0.5


class LibvirtEvents:
    """`hint` is called when a VM started; `agent` when a guest opened or closed its channel."""

    name = "libvirt_events"

    def __init__(
        self,
        uri: str,
        *,
        hint: Callable[[], None] = lambda: None,
        agent: Callable[[str, bool], None] = lambda _vm, _connected: None,
    ) -> None:
        self._uri = uri
        self._hint, self._agent = hint, agent
        self._see: See = lambda _: None
        self._worker: Worker | None = None
        self._is_gap = False
        self.state = "not asked yet"

    @property
    def pid(self) -> int:
        return self._worker.pid if self._worker else 0

    async def run(self, see: See) -> None:
        """Until cancelled. A worker that ends is begun again, and all is read anew."""
        self._see = see
        try:
            while True:
                self._worker = Worker(MODULE, [self._uri], self._heard)
                await self._worker.start()
                await self._worker.gone.wait()
                await self._worker.kill()
                self._is_gap = True
                await asyncio.sleep(RESTART_S)
        finally:
            if self._worker is not None:
                await self._worker.kill()

    def _heard(self, message: dict[str, Any]) -> None:
        seen = self._observation(message)
        if seen is not None:
            self._see(seen)

    def _observation(self, said: dict[str, Any]) -> Observation | None:
        at = Instant(said["at"])
        match said["is"]:
            case "lifecycle":
                if said["event"] == "started":
                    self._hint()
                return LifecycleSeen(
                    at=at, vm=said["vm"], event=said["event"], detail=said["detail"]
                )
            case "qmp":
                return QmpEventSeen(at=at, vm=said["vm"], event=said["event"], data=said["data"])
            case "state":
                return DomainStateRead(
                    at=at, vm=said["vm"], state=said["state"], reason=said["reason"]
                )
            case "agent":
                self._agent(said["vm"], said["connected"])
                return None
            case "answered":
                was_gap, self._is_gap = self._is_gap, False
                self.state = "answers"
                return LibvirtAnswered(at=at, after_gap=was_gap)
            case "gone":
                self._is_gap = True
                self.state = f"is gone: {said['reason']}"
                return LibvirtGone(at=at, reason=said["reason"])
            case "silent":
                self._is_gap = True
                self.state = "does not answer"
                return LibvirtSilent(at=at, since=Instant(said["since"]))
            case unknown:
                return UnknownSeen(at=Instant(time.monotonic_ns()), what=f"listener: {unknown}")


PLUGIN: type[Sensor] = LibvirtEvents
