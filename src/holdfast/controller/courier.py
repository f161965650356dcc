"""One courier for each notifier: on disk before it is sent, in order, until it is answered.

A slow or dead notifier delays nobody: each has its own outbox, task and back-off.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from holdfast.controller.patience import Patience
from holdfast.facts.alarms import AlarmRecord
from holdfast.ports import clock
from holdfast.ports.journal import Losses
from holdfast.ports.notifier import Notice, Notifier, NotifyFailed, NotifyRefused
from holdfast.ports.outbox import Outbox

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
SYNC_S = 0.5
PARKED_BYTES = 4 << 20


class Kept(Struct, frozen=True, kw_only=True):
    """An entry of the outbox. `record` is None for a heartbeat."""

    record: AlarmRecord | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """How telling a notifier goes, for status."""

    name: str
    is_well: bool
    answered_utc_ms: int | None
    backlog: int
    gaps: int
    parked: int
    reason: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Kept)


class Courier:
    """`answered` hears which record arrived, and at which CLOCK_MONOTONIC instant."""

    def __init__(
        self,
        notifier: Notifier,
        outbox: Outbox,
        *,
        host: str,
        parked: Path,
        answered: Callable[[AlarmRecord, int], None] = lambda _record, _at: None,
        settled: Callable[[AlarmRecord, str], None] = lambda _record, _name: None,
        patience: Patience | None = None,
    ) -> None:
        """`settled` hears what was answered or refused for good, and by whom; `patience` keeps
        back what this notifier is not to be told at once."""
        self.patience = patience
        self._settled = settled
        self.notifier = notifier
        self._outbox = outbox
        self._host = host
        self._parked_file = parked
        self._answered = answered
        self._wait_s = 0.0
        self._news = asyncio.Event()
        self._gap = self._gaps = self._parked = 0
        self._reason = self._refusal = ""
        self._answered_utc_ms: int | None = None
        self._is_dirty = False

    def waiting(self) -> list[AlarmRecord]:
        """What is still to be told, oldest first."""
        kept = (_read(payload) for _, _, payload in self._outbox.pending())
        return [one.record for one in kept if one is not None and one.record is not None]

    def hand(self, record: AlarmRecord | None) -> None:
        """Keep it on disk, and send it as soon as all before it is answered."""
        if record is not None and self.patience is not None and self.patience.keeps(record):
            self._news.set()
            return
        self._keep(record)

    def absorb(self, record: AlarmRecord, *, is_end_told: bool) -> None:
        """Another controller tells it; only what is held back here may change by that."""
        if self.patience is not None:
            if self.patience.absorb(record, is_end_told=is_end_told):
                self._keep(record)
            self._news.set()

    def wake(self) -> None:
        """What is held back may be due by now: this controller has come to lead."""
        self._news.set()

    def _keep(self, record: AlarmRecord | None) -> None:
        self._outbox.append(_encoder.encode(Kept(record=record)))
        self._is_dirty = True
        self._news.set()

    def delivery(self) -> Delivery:
        return Delivery(
            name=self.notifier.name,
            is_well=not self._reason,
            answered_utc_ms=self._answered_utc_ms,
            backlog=self._outbox.waiting,
            gaps=self._gaps,
            parked=self._parked,
            reason=self._reason,
        )

    def refused(self) -> str:
        """What lies aside for a person, as a sentence; empty when it was taken away."""
        if not _size(self._parked_file):
            return ""
        why = f" (the last: {self._refusal})" if self._refusal else ""
        return f"{self.notifier.name} refused notices{why}; they are in {self._parked_file}"

    def losses(self) -> Losses:
        return self._outbox.losses()

    async def run(self) -> None:
        """Send until cancelled. A heartbeat at the start opens the connection ahead of time."""
        if self.notifier.heartbeat_s and not self._outbox.waiting:
            self.hand(None)
        while True:
            for record in self.patience.take_due() if self.patience is not None else ():
                self._keep(record)
            if self._outbox.waiting:
                await self._deliver()
                continue
            self._news.clear()
            due_s = self.patience.wait_s() if self.patience is not None else None
            try:
                async with asyncio.timeout(due_s or self.notifier.heartbeat_s or None):
                    await self._news.wait()
            except TimeoutError:
                if self.notifier.heartbeat_s:
                    self.hand(None)

    async def sync(self) -> None:
        """Power loss may take what is younger than this; kill -9 takes nothing."""
        while True:
            await asyncio.sleep(SYNC_S)
            if self._is_dirty:
                self._is_dirty = False
                await asyncio.to_thread(self._outbox.sync)

    async def close(self) -> None:
        await self.notifier.close()
        await asyncio.to_thread(self._outbox.sync)
        self._outbox.close()

    async def _deliver(self) -> None:
        """Try the oldest one, once. A first failure is repeated at once, for links grow old."""
        first = self._outbox.first()
        if first is None:
            return
        stream, sequence, payload = first
        lost = self._outbox.take_gap()
        self._gap += lost
        self._gaps += lost
        kept = _read(payload)
        if kept is None:
            self._gap += 1
            self._gaps += 1
            self._outbox.acknowledge(stream, sequence)
            return
        gap = self._gap
        notice = Notice(
            stream=stream, sequence=sequence, host=self._host, record=kept.record, gap=gap
        )
        try:
            await self.notifier.notify(notice)
        except NotifyRefused as refusal:
            self._park(notice, str(refusal))
        except NotifyFailed as failure:
            self._note_failure(str(failure))
            await self._back_off()
            return
        else:
            self._note_answer(kept)
        self._wait_s = 0.0
        self._gap -= gap
        self._outbox.acknowledge(stream, sequence)
        if kept.record is not None:
            self._settled(kept.record, self.notifier.name)

    async def _back_off(self) -> None:
        """What comes anew ends the wait: the notifier may be back, and news must not be late. A
        pager's program, which costs more and has time, is not begun for each."""
        wait_s = self._wait_s
        self._wait_s = min(max(FIRST_WAIT_S, wait_s * 2), LONGEST_WAIT_S)
        if not wait_s or self.patience is not None:
            await asyncio.sleep(wait_s)
            return
        await asyncio.sleep(FIRST_WAIT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s - FIRST_WAIT_S):
                await self._news.wait()
        self._news.clear()

    def _note_answer(self, kept: Kept) -> None:
        at = clock.now()
        self._answered_utc_ms = clock.utc_ms()
        if self._reason:
            log.warning("%s answers again", self.notifier.name)
        self._reason = ""
        if kept.record is not None:
            self._answered(kept.record, at)

    def _note_failure(self, reason: str) -> None:
        if not self._reason:
            log.warning("%s is not told: %s", self.notifier.name, reason)
        self._reason = reason

    def _park(self, notice: Notice, reason: str) -> None:
        """Lay a refused notice aside for a person, so that it does not block what follows."""
        self._parked += 1
        self._refusal = reason
        log.error("%s refused notice %s: %s", self.notifier.name, notice.sequence, reason)
        line = msgspec.json.encode({"refused": reason, "notice": notice}) + b"\n"
        try:
            if _size(self._parked_file) + len(line) > PARKED_BYTES:
                self._parked_file.replace(self._parked_file.with_suffix(".old"))
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            fd = os.open(self._parked_file, flags, 0o600)
            try:
                os.write(fd, line)
            finally:
                os.close(fd)
        except OSError as error:
            log.error("the refused notice could not be laid aside: %s", error.strerror)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(payload: bytes) -> Kept | None:
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError:
        log.error("an entry of an outbox is not understood, and lost: %r", payload[:200])
        return None
