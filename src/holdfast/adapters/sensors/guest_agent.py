"""Every few seconds each guest agent whose channel is open is pinged, all in one call."""

import asyncio
import time
from collections.abc import Callable, Iterable

from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.facts.instants import Instant
from holdfast.facts.observations import AgentAnswered, AgentLeft, AgentSilent
from holdfast.facts.subjects import Incarnation
from holdfast.ports.hypervisor import CallFailed
from holdfast.ports.sensor import See, Sensor

PERIOD_S = 3.0
SILENT_PERIOD_S = 1.0  # One that was silent is asked again sooner.
PING_WAIT_MS = 1_000
CALL_LIMIT_MS = 15_000


class GuestAgent:
    """`running` gives the lives by VM; `connected` the VMs whose channel the guest has open."""

    name = "guest_agent"

    def __init__(
        self,
        client: LibvirtClient,
        running: Callable[[], dict[str, Incarnation]],
        connected: Callable[[], Iterable[str]],
    ) -> None:
        self._client = client
        self._running, self._connected = running, connected
        self._open: set[str] = set()
        self._asked: set[str] = set()  # Lives that were seen with an open channel.
        self.silent: set[str] = set()  # VMs that did not answer the last ping.
        self._changed = asyncio.Event()
        self._see: See = lambda _: None

    def channel_changed(self, vm: str, connected: bool) -> None:
        """The guest opened or closed its agent's channel, says libvirt."""
        if connected:
            self._open.add(vm)
            self._changed.set()
        else:
            self._open.discard(vm)

    async def run(self, see: See) -> None:
        self._see = see
        while True:
            await self._ping()
            wait_s = SILENT_PERIOD_S if self.silent else PERIOD_S
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _ping(self) -> None:
        running = self._running()
        self._open |= {vm for vm in self._connected() if vm in running and vm not in self._asked}
        self._open &= running.keys()
        for vm in self._asked - self._open:
            if vm in running:
                self._see(AgentLeft(at=_now(), incarnation=running[vm]))
        self._asked = set(self._open)
        self.silent &= self._open
        if not self._open:
            return
        vms = sorted(self._open)
        try:
            answers = await self._client.call(
                "ping_all", CALL_LIMIT_MS, vms=vms, wait_ms=PING_WAIT_MS
            )
        except CallFailed:
            self.silent.clear()
            return  # Nothing is known: libvirt, not the guests, was silent.
        now_running = self._running()
        for vm, answered in answers.items():
            life = running[vm]
            if now_running.get(vm) != life or vm not in self._open or answered is None:
                continue
            if answered:
                self.silent.discard(vm)
                self._see(AgentAnswered(at=_now(), incarnation=life))
            else:
                self.silent.add(vm)
                self._see(AgentSilent(at=_now(), incarnation=life))


def _now() -> Instant:
    return Instant(time.monotonic_ns())


PLUGIN: type[Sensor] = GuestAgent
