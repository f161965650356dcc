"""What libvirt and QEMU's monitors say, heard by a worker that may hang without hurting anybody."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from holdfast.adapters.drivers.libvirt_words import is_known
from holdfast.adapters.drivers.patience import STOPPED
from holdfast.adapters.drivers.worker_link import Worker
from holdfast.facts.instants import Instant
from holdfast.facts.observations import (
    DomainStateRead,
    LibvirtAnswered,
    LibvirtGone,
    LibvirtSilent,
    LifecycleSeen,
    QmpEventSeen,
    UnknownSeen,
    VmRenamed,
)
from holdfast.ports.sensor import See, Sensor

MODULE = "holdfast.adapters.drivers.libvirt_listener"
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0
ALIVE_LIMIT_S = 5.0  # The worker says every second that it lives; starting takes one or two.


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
        self._heard_at = 0.0
        self._is_gap = False
        self.state = "not asked yet"

    @property
    def pid(self) -> int:
        return self._worker.pid if self._worker else 0

    async def run(self, see: See) -> None:
        """Until cancelled. A worker that ends or hangs is begun again, and all is read anew."""
        self._see = see
        wait_s = FIRST_WAIT_S
        try:
            while True:
                began = self._heard_at = time.monotonic()
                self._worker = Worker(MODULE, [self._uri], self._heard)
                await self._worker.start()
                await self._wait_lost(self._worker)
                await self._worker.kill()
                self._is_gap = True
                if self._heard_at == began:
                    why = "our listener does not start: is python3-libvirt installed?"
                    self._pass_on({"is": "gone", "at": time.monotonic_ns(), "reason": why})
                wait_s = FIRST_WAIT_S if self._heard_at > began + LONGEST_WAIT_S else wait_s * 2
                await asyncio.sleep(min(wait_s, LONGEST_WAIT_S))
        finally:
            if self._worker is not None:
                await self._worker.kill()

    async def _wait_lost(self, worker: Worker) -> None:
        """Return when the worker ended, or said nothing for too long."""
        while time.monotonic() - self._heard_at < ALIVE_LIMIT_S:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await worker.gone.wait()
                    return

    def _heard(self, said: dict[str, Any]) -> None:
        self._heard_at = time.monotonic()
        self._pass_on(said)

    def _pass_on(self, said: dict[str, Any]) -> None:
        at = Instant(said["at"])
        match said["is"]:
            case "alive":
                pass
            case "lifecycle":
                self._on_lifecycle(said, at)
            case "qmp":
                event, data = said["event"], said["data"]
                self._see(QmpEventSeen(at=at, vm=said["vm"], event=event, data=data))
            case "state":
                state, reason = said["state"], said["reason"]
                self._see(DomainStateRead(at=at, vm=said["vm"], state=state, reason=reason))
            case "agent":
                self._agent(said["vm"], said["connected"])
            case "answered":
                was_gap, self._is_gap = self._is_gap, False
                self.state = "answers"
                self._see(LibvirtAnswered(at=at, after_gap=was_gap))
            case "gone":
                self._is_gap = True
                self.state = f"is gone: {said['reason']}"
                is_orderly = said.get("orderly", False)
                self._see(LibvirtGone(at=at, reason=said["reason"], is_orderly=is_orderly))
            case "silent":
                self._is_gap = True
                self.state = "does not answer"
                self._see(
                    LibvirtSilent(
                        at=at,
                        since=Instant(said["since"]),
                        daemon=said["why"],
                        is_stopped=said["why"] == STOPPED,
                    )
                )
            case unknown:
                self._see(UnknownSeen(at=at, what=f"listener: {unknown}"))

    def _on_lifecycle(self, said: dict[str, Any], at: Instant) -> None:
        vm, event, detail = said["vm"], said["event"], said["detail"]
        if event == "started":
            self._hint()  # Its life is known before the event that tells of it is.
        self._see(LifecycleSeen(at=at, vm=vm, event=event, detail=detail))
        if (event, detail) == ("defined", "renamed"):
            self._see(VmRenamed(at=at, vm=vm, name=said["name"]))
        if not is_known(event, detail):
            self._see(UnknownSeen(at=at, what=f"libvirt lifecycle {event} {detail}"))


PLUGIN: type[Sensor] = LibvirtEvents
