"""Every few seconds each guest agent whose channel is open is pinged, all in one call."""

import asyncio
import time
from collections.abc import Callable

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
    """`running` gives the lives by VM. libvirt's events tell it whose channel is open."""

    name = "guest_agent"

    def __init__(
        self, client: LibvirtClient, running: Callable[[], dict[str, Incarnation]]
    ) -> None:
        self._client = client
        self._running = running
        self._open: dict[str, str] = {}  # VM -> the life that has it open; empty: the next asked.
        self._changed = asyncio.Event()
        self._see: See = lambda _: None
        self.silent: set[str] = set()  # VMs that did not answer the last ping.

    def channel_changed(self, vm: str, connected: bool) -> None:
        """The guest opened or closed its agent's channel, says libvirt."""
        if connected:
            self._open[vm] = ""
            self._changed.set()
        elif self._open.pop(vm, None) is not None:
            self.silent.discard(vm)
            life = self._running().get(vm)
            if life is not None:
                self._see(AgentLeft(at=_now(), incarnation=life))

    def is_open(self, vm: str) -> bool:
        """Whether its agent has its channel open, as far as libvirt told."""
        return vm in self._open

    async def run(self, see: See) -> None:
        self._see = see
        while True:
            self._changed.clear()
            await self._ping()
            try:
                async with asyncio.timeout(SILENT_PERIOD_S if self.silent else PERIOD_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _whom(self) -> dict[str, Incarnation]:
        """Whom to ask now. A channel is of one life: the next one opens its own."""
        running, asked = self._running(), {}
        for vm, key in list(self._open.items()):
            life = running.get(vm)
            if key and (life is None or life.key != key):
                del self._open[vm]
            elif life is not None:
                self._open[vm] = life.key
                asked[vm] = life
        self.silent &= asked.keys()
        return asked

    async def _ping(self) -> None:
        asked = self._whom()
        if not asked:
            return
        try:
            answers = await self._client.call(
                "ping_all", CALL_LIMIT_MS, vms=sorted(asked), wait_ms=PING_WAIT_MS
            )
        except CallFailed:
            self.silent.clear()
            return  # Nothing is known: libvirt, not the guests, was silent.
        now_running = self._running()
        for vm, answered in answers.items():
            life = asked[vm]
            if now_running.get(vm) != life or vm not in self._open or answered is None:
                self.silent.discard(vm)
            elif answered:
                self.silent.discard(vm)
                self._see(AgentAnswered(at=_now(), incarnation=life))
            else:
                self.silent.add(vm)
                self._see(AgentSilent(at=_now(), incarnation=life))


def _now() -> Instant:
    return Instant(time.monotonic_ns())


PLUGIN: type[Sensor] = GuestAgent
