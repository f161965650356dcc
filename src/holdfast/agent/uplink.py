"""The way to the controller: everything that must arrive is on disk before it is sent.

One WebSocket that the agent dials, over the controller's Unix socket. While it is away entries
wait in the outbox; when it is back they go out in order. Ages are counted anew at each sending.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from holdfast.agent.loop import now
from holdfast.facts import actions as act
from holdfast.facts import wire
from holdfast.facts.alarms import Alarm, AlarmReport, AlarmState
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.observations import Observation, PieceLost, ReportTimed
from holdfast.facts.tenure import Tenure
from holdfast.ports.outbox import Outbox

log = logging.getLogger(__name__)

RETRY_S = 0.2
WELCOME_LIMIT_S = 5.0
SYNC_S = 0.5
US = 1_000


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One outbox entry as it is stored. Ages are as of writing; `boot` says whose clock."""

    boot: str
    written_at: Instant
    written_utc_ms: int
    alarm: Alarm | None = None
    tenure: Tenure | None = None
    tenure_reason: str = ""
    incident: Incident | None = None


class Uplink:
    """`hello` says who we are; `welcomed` hears what the controller knows; `obey` answers it."""

    def __init__(
        self,
        *,
        socket: Path,
        outbox: Outbox,
        boot: str,
        host: str,
        hello: Callable[[], wire.Hello],
        welcomed: Callable[[wire.Welcome], None],
        obey: Callable[[wire.Question], Awaitable[wire.Reply]],
        see: Callable[[Observation], None],
    ) -> None:
        self._socket = socket
        self._outbox = outbox
        self._boot, self._host = boot, host
        self._hello, self._welcomed, self._obey, self._see = hello, welcomed, obey, see
        self._link: ClientConnection | None = None
        self._to_send: asyncio.Queue[bytes] = asyncio.Queue()
        self._fault_at: dict[tuple[str, int], Instant] = {}
        self._gap = 0  # Entries that were lost, and of which the controller has not heard.
        self._gaps_sent: dict[tuple[str, int], int] = {}  # By the entry that told of them.
        self._is_dirty = False
        self._unknown = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.unreadable = 0

    @property
    def is_up(self) -> bool:
        return self._link is not None

    def report(self, action: act.Report) -> None:
        """Store the alarm, then hand it to the link, within this turn of the loop."""
        alarm = action.alarm
        kept = self._kept(alarm=alarm)
        key = self._keep(kept)
        if alarm.state is AlarmState.RAISED and alarm.not_before is None:
            self._fault_at[key] = alarm.fault_at

    def tell_tenure(self, action: act.TellTenure) -> None:
        self._keep(self._kept(tenure=action.tenure, tenure_reason=action.reason))

    def tell_incident(self, action: act.TellIncident) -> None:
        age_ms = (now() - action.incident.fault_at) // NS_PER_MS
        fault_utc_ms = time.time_ns() // NS_PER_MS - age_ms
        incident = msgspec.structs.replace(action.incident, fault_utc_ms=fault_utc_ms)
        self._keep(self._kept(incident=incident))

    def send(self, frame: wire.Frame) -> None:
        """Send what need not arrive (inventory, copies); dropped while the controller is away."""
        if self._link is not None:
            self._to_send.put_nowait(wire.encode(frame))

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sync())
            while True:
                try:
                    await self._talk()
                except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
                    log.debug("controller away: %s", error)
                await asyncio.sleep(RETRY_S)

    def _kept(self, **what: object) -> Kept:
        utc_ms = time.time_ns() // NS_PER_MS
        fields = {"boot": self._boot, "written_at": now(), "written_utc_ms": utc_ms, **what}
        return msgspec.convert(fields, Kept)

    def _keep(self, kept: Kept) -> tuple[str, int]:
        sequence = self._outbox.append(msgspec.json.encode(kept))
        stream = self._outbox.stream
        self._is_dirty = True
        if self._link is not None:
            self._to_send.put_nowait(self._frame(stream, sequence, kept))
        return stream, sequence

    def _frame(self, stream: str, sequence: int, kept: Kept) -> bytes:
        report = None if kept.alarm is None else self._aged(kept, kept.alarm)
        return wire.encode(
            wire.Entry(
                host=self._host,
                stream=stream,
                sequence=sequence,
                gap=self._take_gap(stream, sequence),
                alarm=report,
                tenure=kept.tenure,
                tenure_reason=kept.tenure_reason,
                incident=kept.incident,
            )
        )

    def _take_gap(self, stream: str, sequence: int) -> int:
        """What was lost before this entry. It counts as said once the entry is answered."""
        gap, self._gap = self._gap + self._outbox.take_gap(), 0
        if gap:
            self._gaps_sent[stream, sequence] = gap
        return gap

    def _aged(self, kept: Kept, alarm: Alarm) -> AlarmReport:
        """Ages now: on the monotonic clock within one boot, by wall clocks across boots."""
        is_same_boot = kept.boot == self._boot
        sent_utc_ms = time.time_ns() // NS_PER_MS
        if is_same_boot:
            base, extra_us = now(), 0
        else:
            base = kept.written_at
            extra_us = max(0, sent_utc_ms - kept.written_utc_ms) * US
        return AlarmReport(
            alarm=alarm,
            fault_age_us=max(0, base - alarm.fault_at) // US + extra_us,
            detected_age_us=max(0, base - alarm.detected_at) // US + extra_us,
            sent_utc_ms=sent_utc_ms,
            is_estimated=not is_same_boot,
        )

    async def _talk(self) -> None:
        async with unix_connect(
            str(self._socket), compression=None, max_size=1 << 22, open_timeout=WELCOME_LIMIT_S
        ) as link:
            await link.send(wire.encode(self._hello()), text=True)
            async with asyncio.timeout(WELCOME_LIMIT_S):
                first = wire.decode(await link.recv())
            if not isinstance(first, wire.Welcome):
                log.warning("the controller's first frame is no welcome: %s", type(first).__name__)
                return
            self._to_send = asyncio.Queue()
            unreadable = self._send_pending()
            self._link = link
            for lost in unreadable:  # Only now: what comes of it must find the link.
                self._see(lost)
            self._welcomed(first)
            sender = asyncio.create_task(self._send_all(link, self._to_send))
            try:
                async for raw in link:
                    self._heard(raw)
            finally:
                self._link = None
                sender.cancel()

    def _send_pending(self) -> list[PieceLost]:
        """All that waits, in order. What cannot be read is lost, and must not block the rest."""
        self._gap += sum(self._gaps_sent.values())
        self._gaps_sent.clear()
        lost = []
        for stream, sequence, payload in self._outbox.pending():
            try:
                kept = msgspec.json.decode(payload, type=Kept)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
                self._outbox.acknowledge(stream, sequence)
                self._gap += 1
                self.unreadable += 1
                log.error("entry %d of %s cannot be read and is lost: %s", sequence, stream, error)
                reason = f"entry {sequence} of {stream} cannot be read: {error}"
                lost.append(PieceLost(at=now(), what="outbox", count=1, reason=reason))
                continue
            self._to_send.put_nowait(self._frame(stream, sequence, kept))
        return lost

    @staticmethod
    async def _send_all(link: ClientConnection, queue: asyncio.Queue[bytes]) -> None:
        try:
            while True:
                await link.send(await queue.get(), text=True)
        except ConnectionClosed:
            return

    def _heard(self, raw: str | bytes) -> None:
        try:
            frame = wire.decode(raw)
        except wire.MalformedFrame as error:
            if next(self._unknown) == 1:
                log.warning("a frame of the controller is not understood: %s", error)
            return
        match frame:
            case wire.EntryAnswered():
                self._answered(frame)
            case wire.Question():
                task = asyncio.create_task(self._answer(frame))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case _:
                pass

    def _answered(self, frame: wire.EntryAnswered) -> None:
        self._outbox.acknowledge(frame.stream, frame.sequence)
        self._gaps_sent.pop((frame.stream, frame.sequence), None)
        fault_at = self._fault_at.pop((frame.stream, frame.sequence), None)
        if fault_at is not None:
            at = now()
            self._see(ReportTimed(at=at, fault_to_answer_ms=(at - fault_at) / NS_PER_MS))

    async def _answer(self, question: wire.Question) -> None:
        reply = await self._obey(question)
        self.send(reply)

    async def _sync(self) -> None:
        """Power loss may take what is younger than this; kill -9 takes nothing."""
        while True:
            await asyncio.sleep(SYNC_S)
            if not self._is_dirty:
                continue
            self._is_dirty = False
            try:
                await asyncio.to_thread(self._outbox.sync)
            except OSError as error:
                lost = PieceLost(at=now(), what="outbox", count=1, reason=str(error))
                self._see(lost)
