"""The way to the controllers: everything that must arrive is on disk before it is sent.

An entry goes to the controller that leads, or else to the first that is reached. One that is not
answered in time goes to the next one as well; whoever answers, it has arrived. While no controller
is reached entries wait in the outbox; then they go out in order, with ages counted anew.
"""

import asyncio
import functools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from holdfast.agent.kept import Kept, Scribe
from holdfast.agent.line import Line
from holdfast.facts import actions as act
from holdfast.facts import wire
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.observations import Observation, PieceLost, ReportTimed
from holdfast.ports.clock import now, utc_ms
from holdfast.ports.link import Dial
from holdfast.ports.outbox import Outbox

log = logging.getLogger(__name__)

NEXT_AFTER_S = 0.25
SYNC_S = 0.5

Key = tuple[str, int]


class _Way:
    """An entry that was sent and is not answered yet, and the lines that have it."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.lines: set[str] = set()


class Uplink:
    """`hello` says who we are; `welcomed` hears what a controller knows; `obey` answers it."""

    def __init__(
        self,
        *,
        dials: Sequence[Dial],
        outbox: Outbox,
        boot: str,
        host: str,
        hello: Callable[[], wire.Hello],
        welcomed: Callable[[wire.Welcome], None],
        obey: Callable[[wire.Question], Awaitable[wire.Reply]],
        see: Callable[[Observation], None],
    ) -> None:
        self._outbox, self._obey, self._see = outbox, obey, see
        self._scribe = Scribe(host, boot)
        self.lines = [
            Line(
                dial,
                hello=hello,
                came_up=self._came_up,
                welcomed=functools.partial(self._was_welcomed, welcomed),
                heard=self._heard,
                went_down=self._went_down,
            )
            for dial in dials
        ]
        self._ways: dict[Key, _Way] = {}
        self._due: deque[tuple[float, Key]] = deque()  # When the next line shall have it, too.
        self._is_due = asyncio.Event()
        self._fault_at: dict[Key, Instant] = {}
        self._gap = 0  # Entries that were lost, and of which no controller has heard.
        self._gaps_said: dict[Key, int] = {}  # By the entry that tells of them, until answered.
        self._is_dirty = False
        self._term = 0  # The newest in which somebody came to lead.
        self._tasks: set[asyncio.Task[None]] = set()
        self.unreadable = 0

    @property
    def is_up(self) -> bool:
        return any(line.is_up for line in self.lines)

    def shown(self) -> dict[str, str]:
        """Each controller: that it leads, that it is up, or why it is not."""
        leading = self._in_order()[:1]
        return {
            line.name: line.reason
            if not line.is_up
            else "leads"
            if line in leading and line.is_leading
            else "up"
            for line in self.lines
        }

    def report(self, action: act.Report) -> None:
        """Store the alarm, then hand it to a line, within this turn of the loop."""
        kept = self._scribe.kept(alarm=action.alarm, is_repeat=action.is_repeat)
        key = self._keep(kept)
        if kept.timed_from is not None:
            self._fault_at[key] = kept.timed_from

    def tell_tenure(self, action: act.TellTenure) -> None:
        self._keep(self._scribe.kept(tenure=action.tenure, tenure_reason=action.reason))

    def tell_incident(self, action: act.TellIncident) -> None:
        age_ms = (now() - action.incident.fault_at) // NS_PER_MS
        fault_utc_ms = utc_ms() - age_ms
        incident = msgspec.structs.replace(action.incident, fault_utc_ms=fault_utc_ms)
        self._keep(self._scribe.kept(incident=incident))

    def send(self, frame: wire.Frame) -> None:
        """To every controller, what need not arrive (inventory, copies)."""
        raw = wire.encode(frame)
        for line in self.lines:
            line.send(raw)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sync())
            group.create_task(self._go_further())
            for line in self.lines:
                group.create_task(line.run())

    def _keep(self, kept: Kept) -> Key:
        sequence = self._outbox.append(msgspec.json.encode(kept))
        key = (self._outbox.stream, sequence)
        self._is_dirty = True
        self._send_on(key, kept)
        return key

    def _in_order(self) -> list[Line]:
        """The lines that are up, the best first: not slow, then who leads in the newest term."""
        up = [line for line in self.lines if line.is_up]
        return sorted(up, key=lambda line: (line.is_slow, -line.term))

    def _send_on(self, key: Key, kept: Kept) -> None:
        """To the best line that does not have it; nothing happens when all of them do."""
        way = self._ways.get(key)
        had = way.lines if way else set()
        line = next((line for line in self._in_order() if line.name not in had), None)
        if line is None:
            return
        if way is None:
            way = self._ways[key] = _Way(kept)
        way.lines.add(line.name)
        line.send(self._scribe.frame(*key, kept, self._gap_of(key)))
        if len(self.lines) > 1:
            self._due.append((asyncio.get_running_loop().time() + NEXT_AFTER_S, key))
            self._is_due.set()

    async def _go_further(self) -> None:
        """What a line did not answer in time goes to the next one as well."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._due:
                self._is_due.clear()
                await self._is_due.wait()
                continue
            at, key = self._due[0]
            if at > loop.time():
                await asyncio.sleep(at - loop.time())
                continue
            self._due.popleft()
            way = self._ways.get(key)
            if way is not None:
                self._note_slow(way)
                self._send_on(key, way.kept)

    def _note_slow(self, way: _Way) -> None:
        """A tenure waits for the store, which is no fault of its line."""
        if way.kept.alarm is not None:
            for line in self.lines:
                line.is_slow = line.is_slow or line.name in way.lines

    def _gap_of(self, key: Key) -> int:
        """What was lost before this entry. It is said with it until that is answered."""
        gap, self._gap = self._gap + self._outbox.take_gap(), 0
        if gap:
            self._gaps_said[key] = self._gaps_said.get(key, 0) + gap
        return self._gaps_said.get(key, 0)

    def _came_up(self, line: Line) -> None:
        """All that waits and this line does not have goes on, in order, to the best line that does
        not have it: others may be unable to do it, as who leads can. What cannot be read must not
        block the rest."""
        self._term = max(self._term, line.term)
        lost = []
        pending = self._outbox.pending()
        names = {(stream, sequence) for stream, sequence, _ in pending}
        for key in [key for key in self._gaps_said if key not in names]:
            self._gap += self._gaps_said.pop(key)
        for stream, sequence, payload in pending:
            way = self._ways.get((stream, sequence))
            if way is not None:
                if line.name not in way.lines:
                    self._send_on((stream, sequence), way.kept)
                continue
            try:
                kept = msgspec.json.decode(payload, type=Kept)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
                self._outbox.acknowledge(stream, sequence)
                self._gap += 1
                self.unreadable += 1
                log.error("entry %d of %s cannot be read and is lost: %s", sequence, stream, error)
                reason = f"entry {sequence} of {stream} cannot be read: {error}"
                at = now()
                lost.append(PieceLost(at=at, what="outbox", count=1, reason=reason))
                continue
            self._send_on((stream, sequence), kept)
        for one in lost:  # Only now: what comes of it goes out after all that waited.
            self._see(one)

    def _was_welcomed(
        self, welcomed: Callable[[wire.Welcome], None], line: Line, welcome: wire.Welcome
    ) -> None:
        """Who comes to lead is told once more what nobody answered: it could not do it before."""
        welcomed(welcome)
        if line.is_leading and line.term > self._term:
            self._term = line.term
            for key, way in list(self._ways.items()):
                way.lines.discard(line.name)
                self._send_on(key, way.kept)

    def _went_down(self, line: Line) -> None:
        """What only this line had goes to the next one, or waits."""
        alone: list[tuple[Key, Kept]] = []
        for key, way in self._ways.items():
            way.lines.discard(line.name)
            if not way.lines:
                alone.append((key, way.kept))
        for key, kept in alone:
            del self._ways[key]
            self._send_on(key, kept)

    def _heard(self, line: Line, frame: wire.AnyFrame) -> None:
        match frame:
            case wire.EntryAnswered():
                self._answered(line, frame)
            case wire.Question():
                task = asyncio.create_task(self._answer(line, frame))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case _:
                pass

    def _answered(self, line: Line, frame: wire.EntryAnswered) -> None:
        key = (frame.stream, frame.sequence)
        line.is_slow = False
        self._outbox.acknowledge(*key)
        self._ways.pop(key, None)
        self._gaps_said.pop(key, None)
        fault_at = self._fault_at.pop(key, None)
        if fault_at is not None:
            at = now()
            self._see(ReportTimed(at=at, fault_to_answer_ms=(at - fault_at) / NS_PER_MS))

    async def _answer(self, line: Line, question: wire.Question) -> None:
        line.send(wire.encode(await self._obey(question)))

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
                at = now()
                self._see(PieceLost(at=at, what="outbox", count=1, reason=str(error)))
