"""What agents must tell: alarms to the VIM, tenures to the store, incidents kept; then answered.

An alarm is with the VIM and with every courier before it is answered; whoever is slow beyond them
delays neither the answer nor the next entry.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.controller.agents import Agents
from holdfast.controller.incident_order import Told, is_later
from holdfast.controller.registry import NotLeading
from holdfast.controller.streams import Stream
from holdfast.controller.timings import Timings
from holdfast.detectors.vm_gone.judgement import GONE
from holdfast.facts import wire
from holdfast.facts.alarms import Alarm, AlarmReport, AlarmState
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.tenure import Tenure
from holdfast.ports import clock
from holdfast.ports.store import StoreAway
from holdfast.ports.vim import Vim, VimAway, VimRefused

log = logging.getLogger(__name__)

INCIDENTS = "incident"
STREAMS = "stream"
INCIDENTS_KEPT = 1_000
STREAMS_KEPT = 16  # Of each host; its newest ones.
RETRY_S = 1.0
DEFECT_RETRY_S = 5.0


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    incident: Incident
    told: Told = ("", 0)  # By which entry.


class LeftToLeader(Exception):
    """Another controller leads, and the agent tells it as well."""


async def _kept_here(_alarm: Alarm) -> None:
    """With one controller what is on its disk is safe."""


class Entries:
    def __init__(
        self,
        vim: Vim,
        agents: Agents,
        shelf: Shelf,
        timings: Timings,
        take_tenure: Callable[[Tenure], Awaitable[None]],
        told: Callable[[Incident], None] = lambda _: None,
        *,
        safe: Callable[[Alarm], Awaitable[None]] = _kept_here,
        leads_elsewhere: Callable[[], bool] = lambda: False,
        is_anothers: Callable[[str, str], bool] = lambda _vm, _host: False,
        is_alone: bool = True,
    ) -> None:
        """`safe` returns once an alarm outlives the loss of this controller; `is_anothers` says
        whether a VM is another host's than this one."""
        self._is_anothers = is_anothers
        self._told, self._safe, self._leads_elsewhere = told, safe, leads_elsewhere
        self._is_alone = is_alone
        self.share_incident: Callable[[str, Incident, Told], None] = lambda *_: None
        self._vim, self._agents, self._shelf = vim, agents, shelf
        self._timings, self._take_tenure = timings, take_tenure
        self._streams: dict[tuple[str, str], Stream] = {}
        self._tenures: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._incidents: dict[tuple[str, str], Incident] = {}
        self._incident_told: dict[tuple[str, str], Told] = {}
        self.gaps = self.duplicates = self.refused = self.unreadable = self.defects = 0
        self._load()

    def take(self, entry: wire.Entry) -> None:
        """Begin to handle it, before anything that comes later. The answer follows by itself."""
        received_at = clock.now()
        name = (entry.host, entry.stream)
        stream = self._streams.get(name)
        if stream is None:
            stream = self._streams[name] = Stream()
            self._forget_old_streams(entry.host)
        if entry.sequence in stream.open or stream.is_done(entry.sequence):
            self.duplicates += 1
            if entry.sequence not in stream.open:
                self._start(self._answer(entry, clock.utc_ms()))
            return
        hole = stream.begin(entry.sequence)
        # What did not come here may have gone to another controller.
        self.gaps += max(hole, entry.gap) if self._is_alone else entry.gap
        self._start(self._handle(entry, stream, received_at))

    def incidents(self) -> list[Incident]:
        """The newest last."""
        return sorted(self._incidents.values(), key=lambda one: one.fault_utc_ms)

    def incidents_of(self, host: str) -> list[Incident]:
        return [incident for (owner, _), incident in self._incidents.items() if owner == host]

    def told_by(self, host: str, incident: str) -> Told:
        """By which entry the newest of it was told."""
        return self._incident_told[host, incident]

    def incident(self, name: str) -> tuple[str, Incident] | None:
        """By id, or the newest of a VM, or the newest of all; and its host."""
        found = [
            (host, incident)
            for (host, _), incident in self._incidents.items()
            if not name or name in (incident.id, incident.vm, incident.name)
        ]
        return max(found, key=lambda one: one[1].fault_utc_ms, default=None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, entry: wire.Entry, stream: Stream, received_at: int) -> None:
        while True:
            try:
                return await self._carry(entry, stream, received_at)
            except LeftToLeader:
                return stream.leave(entry.sequence)
            except Exception:
                self.defects += 1
                log.exception("entry %s of %s is tried again", entry.sequence, entry.host)
                await asyncio.sleep(DEFECT_RETRY_S)

    async def _carry(self, entry: wire.Entry, stream: Stream, received_at: int) -> None:
        arrived_utc_ms = clock.utc_ms()
        if entry.alarm is not None and not self._is_outlived(entry.host, entry.alarm.alarm):
            arrived_utc_ms = await self.report(entry.alarm, received_at)
        if entry.tenure is not None:
            await self._keep_tenure(entry.host, entry.tenure)
        if entry.incident is not None:
            told = (entry.stream, entry.sequence)
            self.keep_incident(entry.host, entry.incident, told)
            self.share_incident(entry.host, entry.incident, told)
        stream.end(entry.sequence)
        self._shelf.put(STREAMS, f"{entry.host} {entry.stream}", stream.kept())
        if entry.incident is not None:
            await self._shelf.kept()
        await self._answer(entry, arrived_utc_ms)

    def _is_outlived(self, host: str, alarm: Alarm) -> bool:
        """A host that comes back finds its VMs gone, and is told only then that they live on
        elsewhere: until that the VIM would hear of VMs that serve as of dead ones. What ended in
        this boot may have come by a move of which the store is not told yet: that counts."""
        agent, vm = self._agents.by_host.get(host), alarm.subject
        is_raised = alarm.condition == GONE and alarm.state is not AlarmState.CLEARED
        if not is_raised or agent is None or alarm.key.startswith(f"{vm.id}/{agent.boot}/"):
            return False
        if not self._is_anothers(vm.id, host):
            return False
        log.info("%s finds %s gone, which is another host's by now", host, vm.name)
        return True

    async def report(self, report: AlarmReport, received_at: int) -> int:
        """Hand an alarm to the VIM, however long that takes; when it arrived there."""
        self._timings.received(report, received_at)
        while True:
            try:
                answer = await self._vim.report(report)
            except VimRefused as refusal:
                self.refused += 1
                log.error("the VIM refuses %s: %s", report.alarm.key, refusal)
                return clock.utc_ms()
            except VimAway as error:
                log.debug("the VIM is away: %s", error)
                await asyncio.sleep(RETRY_S)
            else:
                self._timings.arrived(report)
                await self._safe(report.alarm)
                return answer.arrived_utc_ms

    async def _keep_tenure(self, host: str, tenure: Tenure) -> None:
        """In the order in which they came, however long the store is away."""
        async with self._tenures.setdefault(host, asyncio.Lock()):
            while True:
                try:
                    return await self._take_tenure(tenure)
                except NotLeading as error:
                    if self._leads_elsewhere():
                        raise LeftToLeader from None
                    log.debug("a tenure waits: %s", error)
                    await asyncio.sleep(RETRY_S)
                except StoreAway as error:
                    log.debug("a tenure waits: %s", error)
                    await asyncio.sleep(RETRY_S)

    async def _answer(self, entry: wire.Entry, arrived_utc_ms: int) -> None:
        """To whichever link its host has now."""
        agent = self._agents.by_host.get(entry.host)
        if agent is None or agent.link is None:
            return
        answered = wire.EntryAnswered(
            stream=entry.stream, sequence=entry.sequence, arrived_utc_ms=arrived_utc_ms
        )
        try:
            await agent.link.send(answered)
        except ConnectionError:
            return  # It will send the entry again, and be answered then.

    def keep_incident(self, host: str, incident: Incident, told: Told) -> None:
        """What another controller answered late may come here after what followed it."""
        known = self._incidents.get((host, incident.id))
        known_told = self._incident_told.get((host, incident.id), ("", 0))
        if known is not None and told == known_told:
            return
        if known is not None and is_later(incident, told, known, known_told) is False:
            return
        self._incidents[host, incident.id] = incident
        self._incident_told[host, incident.id] = told
        self._told(incident)
        kept = msgspec.json.encode(Kept(host=host, incident=incident, told=told))
        self._shelf.put(INCIDENTS, f"{host} {incident.id}", kept)
        if len(self._incidents) > INCIDENTS_KEPT:
            closed = [
                (one.fault_utc_ms, name)
                for name, one in self._incidents.items()
                if one.state is IncidentState.CLOSED
            ]
            if closed:
                _, name = min(closed)
                del self._incidents[name], self._incident_told[name]
                self._shelf.put(INCIDENTS, " ".join(name), None)

    def _forget_old_streams(self, host: str) -> None:
        names = [name for name in self._streams if name[0] == host]
        for name in names[:-STREAMS_KEPT]:
            if not self._streams[name].open:
                del self._streams[name]
                self._shelf.put(STREAMS, " ".join(name), None)

    def _load(self) -> None:
        for name, value in self._shelf.all(STREAMS).items():
            host, _, stream = name.partition(" ")
            try:
                self._streams[host, stream] = Stream(value)
            except msgspec.MsgspecError:
                self.unreadable += 1
        for value in self._shelf.all(INCIDENTS).values():
            try:
                kept = msgspec.json.decode(value, type=Kept)
            except msgspec.MsgspecError:
                self.unreadable += 1
                continue
            self._incidents[kept.host, kept.incident.id] = kept.incident
            self._incident_told[kept.host, kept.incident.id] = kept.told
