"""Whether the bridges of the virtual switch still have their flows, and whether a frame crosses.

Flows are counted on every bridge. Frames are sent only where the settings ask for a canary, since
it needs two ports and a flow of its own in the switch.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

from holdfast.adapters.drivers.canary import COOKIE, Canary
from holdfast.adapters.drivers.openflow import RUN_FOLDER, Openflow
from holdfast.facts.instants import Instant
from holdfast.facts.vswitch import CanaryCrossed, CanaryLost, FlowsCounted
from holdfast.ports.clock import now
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)

EVERY_S = 0.2
LOOK_EVERY_S = 1.0  # For bridges that came or went.
CROSSES = "crosses"
LITTLE, LITTLE_EVERY_S = 0.2, 5.0
LOST_FRAMES = 3  # In a row: one may be late where every core is busy.
CHANGE_EVERY_S = 2.0  # What cannot be laid is tried again, and is not hammered at.


class _Bridge:
    """What is watched of one bridge."""

    def __init__(
        self, name: str, folder: Path, recorded: Callable[[str], int], *, has_canary: bool
    ) -> None:
        self.name, self._recorded = name, recorded
        self._openflow = Openflow(name, folder)
        self._canary = Canary(name) if has_canary else None
        self._flows: int | None = None  # As they were said.
        self._every: int | None = None  # As they were counted, ours too.
        self._said_at = -math.inf
        self._own: int | None = None  # How many of its flows are ours; None: not known.
        self._trouble = ""  # With its daemon.
        self._is_laid = False
        self._changed_at = -math.inf
        self._sent = self._crossed = 0  # The newest frame, and the newest that came out.
        self._first_lost_at: Instant | None = None
        self._said = ""  # crosses, or why not.

    async def watch(self, see: See) -> None:
        """Until cancelled. A daemon that hangs answers no count, which delays no frame."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_each(EVERY_S, self._count, see))
                if self._canary is not None:
                    group.create_task(_each(EVERY_S, self._cross, see))
        finally:
            if self._canary is not None:
                self._canary.close()
            await self._openflow.close()

    async def _count(self, see: See) -> None:
        try:
            every = await self._openflow.count() or 0
            if every != self._every:  # Else ours are as many as they were.
                self._own = await self._openflow.count(COOKIE)
        except OSError as trouble:
            if str(trouble) != self._trouble:
                log.warning("the flows of %s cannot be counted: %s", self.name, trouble)
            self._trouble, self._own = str(trouble), None
            self._flows = self._every = None  # Whoever answers next may have other ones.
            return
        self._trouble, self._every = "", every
        flows = every - (self._own or 0)
        if self._is_worth_saying(flows):
            self._flows, self._said_at = flows, asyncio.get_running_loop().time()
            recorded = self._recorded(self.name)
            see(FlowsCounted(at=now(), bridge=self.name, flows=flows, recorded=recorded))
        await self._see_to_canary()

    def _is_worth_saying(self, flows: int) -> bool:
        """Bridges that learn change all the time: of little changes the newest is enough."""
        if self._flows is None:
            return True
        is_much = abs(flows - self._flows) > LITTLE * self._flows
        is_late = asyncio.get_running_loop().time() - self._said_at > LITTLE_EVERY_S
        return flows != self._flows and (is_much or is_late)

    async def _see_to_canary(self) -> None:
        """That its flow is there, or is not, as the settings say."""
        canary, own = self._canary, self._own
        if canary is None:
            if own:
                await self._try(Canary(self.name).take_away)
            return
        if own or (own is None and self._is_laid):  # None: this bridge cannot say it.
            self._is_laid = True
            return
        # The first time, or somebody took its flow away: that alone is no fault.
        self._is_laid = await self._try(canary.lay)
        self._crossed = self._sent  # Those under way were lost with its flow.

    async def _cross(self, see: See) -> None:
        canary = self._canary
        if canary is None or not self._is_laid:
            return
        trouble = self._trouble
        try:
            self._crossed = max(self._crossed, canary.received())
            self._sent += 1
            canary.send(self._sent)
        except OSError as gone:
            canary.close()
            trouble = trouble or f"its canary's ports are not there: {gone.strerror or gone}"
        if self._sent - self._crossed <= 1:
            self._first_lost_at = None
            if self._crossed and self._said != CROSSES:
                self._said = CROSSES
                see(CanaryCrossed(at=now(), bridge=self.name))
            return
        self._first_lost_at = self._first_lost_at or now()
        why = f"no frame crosses it{f': {trouble}' if trouble else ''}"
        if self._sent - self._crossed > LOST_FRAMES and why != self._said:
            self._said = why
            see(CanaryLost(at=self._first_lost_at, bridge=self.name, reason=why))

    async def _try(self, change: Callable[[], Awaitable[None]]) -> bool:
        loop = asyncio.get_running_loop()
        if loop.time() - self._changed_at < CHANGE_EVERY_S:
            return False
        self._changed_at = loop.time()
        try:
            await change()
        except OSError as trouble:
            log.warning("the canary of %s: %s", self.name, trouble)
            return False
        return True


async def _each(period_s: float, look: Callable[[See], Awaitable[None]], see: See) -> None:
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        await look(see)
        await asyncio.sleep(max(0.01, period_s - (loop.time() - began)))


class VswitchFlows:
    """`bridges` names those there are now; `canaries` says whether frames are to cross them, and
    `recorded` how many flows a bridge had."""

    name = "vswitch_flows"

    def __init__(
        self,
        bridges: Callable[[], list[str]],
        *,
        canaries: bool = False,
        folder: Path = RUN_FOLDER,
        recorded: Callable[[str], int] = lambda _: 0,
    ) -> None:
        self._bridges, self._has_canaries, self._folder = bridges, canaries, folder
        self._recorded = recorded

    def _make(self, name: str) -> _Bridge:
        return _Bridge(name, self._folder, self._recorded, has_canary=self._has_canaries)

    async def run(self, see: See) -> None:
        """Until cancelled. A bridge that hangs delays no other one."""
        watched: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                names = set(self._bridges())
                for name in watched.keys() - names:
                    watched.pop(name).cancel()
                for name in names - watched.keys():
                    watched[name] = asyncio.create_task(self._make(name).watch(see))
                for task in watched.values():
                    if task.done():
                        task.result()  # A defect of ours: said, and begun again.
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for task in watched.values():
                task.cancel()
            await asyncio.gather(*watched.values(), return_exceptions=True)


PLUGIN: type[Sensor] = VswitchFlows
