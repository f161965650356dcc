"""The other controllers: each is asked whether it hears a host, and for its journal."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.adapters.drivers.dials import LINK_ENDED, why_ended
from holdfast.adapters.journals.segments import read
from holdfast.controller.agents import Link
from holdfast.facts import wire
from holdfast.facts.hearing import Sign, WitnessKind, WitnessSpoke
from holdfast.ports import clock
from holdfast.ports.link import Connection, Dial

log = logging.getLogger(__name__)

RETRY_S = 0.5
ASK_LIMIT_MS = 200
JOURNAL_LIMIT_S = 5.0
JOURNAL_BYTES = 4 << 20
RECORDS = 2_000
HEARD, JOURNAL = "heard", "journal"
USAGE = 2


class HeardSaid(Struct, frozen=True, kw_only=True):
    """What a controller hears of a host now."""

    sign: Sign


def _hears_nobody(_host: str) -> HeardSaid:
    return HeardSaid(sign=Sign.UNKNOWN)


class Peers:
    """`heard` is what this controller hears of a host; its watch sets it."""

    def __init__(self, me: str, dials: Sequence[Dial], journal: Path) -> None:
        self._me, self._journal = me, journal
        self._lines = [_Line(dial) for dial in dials]
        self.heard: Callable[[str], HeardSaid] = _hears_nobody

    async def run(self) -> None:
        """Stay linked to each of them, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(line.run())

    @property
    def names(self) -> list[str]:
        return [line.name for line in self._lines]

    def shown(self) -> dict[str, str]:
        """Each of them: up, or why it is not."""
        return {line.name: line.reason or "up" for line in self._lines}

    async def ask_peers(self, host: str) -> list[WitnessSpoke]:
        """Whether each of them hears that host. Who does not answer in time knows nothing."""
        asked = (self._ask_heard(line, host) for line in self._lines)
        return list(await asyncio.gather(*asked))

    async def journals(self, *, containing: str = "") -> dict[str, list[dict[str, Any]]]:
        """The newest records of every replica's journal, this one's first; of one that is away
        a single record with `error`. `containing`: only lines with this text (a host, a VM)."""
        args = {"newest": RECORDS, "containing": containing}
        asked = (self._ask_journal(line, args) for line in self._lines)
        own, *others = await asyncio.gather(self._read_journal(args), *asked)
        return {self._me: own, **dict(zip(self.names, others, strict=True))}

    async def answer(self, question: wire.Question) -> wire.Reply:
        """What another controller asks."""
        if question.name == HEARD:
            said = self.heard(str(question.args.get("host") or ""))
            return wire.Reply(id=question.id, data=msgspec.to_builtins(said))
        if question.name == JOURNAL:
            return wire.Reply(id=question.id, data=await self._read_journal(question.args))
        text = f"controllers do not ask each other {question.name!r}"
        return wire.Reply(id=question.id, error=text, code=USAGE)

    async def _ask_heard(self, line: "_Line", host: str) -> WitnessSpoke:
        try:
            data = await line.ask(HEARD, {"host": host}, ASK_LIMIT_MS / 1_000)
            sign = msgspec.convert(data, HeardSaid).sign
        except (*LINK_ENDED, msgspec.ValidationError) as error:
            log.debug("controller %s does not say: %s", line.name, error)
            sign = Sign.UNKNOWN
        return WitnessSpoke(
            at=clock.now(),
            host=host,
            kind=WitnessKind.CONTROLLER,
            witness=line.name,
            plane="",
            sign=sign,
        )

    async def _ask_journal(self, line: "_Line", args: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            return msgspec.convert(
                await line.ask(JOURNAL, args, JOURNAL_LIMIT_S), list[dict[str, Any]]
            )
        except (*LINK_ENDED, msgspec.ValidationError) as error:
            why = why_ended(error, JOURNAL_LIMIT_S)
            return [{"error": f"controller {line.name} does not answer: {why}"}]

    async def _read_journal(self, args: dict[str, Any]) -> list[dict[str, Any]]:
        newest, containing = args.get("newest"), str(args.get("containing") or "")
        most = newest if isinstance(newest, int) and 0 < newest <= RECORDS else RECORDS
        return await asyncio.to_thread(_newest, self._journal, most, containing.encode())


class _Line:
    """One link to one controller, dialed again whenever it breaks."""

    def __init__(self, dial: Dial) -> None:
        self.name, self._dial = dial.name, dial
        self._link: Link | None = None
        self.reason = "it was not reached yet"

    async def run(self) -> None:
        while True:
            try:
                async with self._dial.open() as connection:
                    await self._read(connection)
                self.reason = "it hung up"
            except LINK_ENDED as error:
                self.reason = why_ended(error)
            await asyncio.sleep(RETRY_S)

    async def ask(self, name: str, args: dict[str, Any], limit_s: float) -> Any:
        """Raises what a broken link raises, TimeoutError, ConnectionError."""
        if self._link is None:
            raise ConnectionError(self.reason)
        reply = await self._link.ask(name, args, by="", term=0, limit_s=limit_s)
        if reply.error:
            raise ConnectionError(reply.error)
        return reply.data

    async def _read(self, connection: Connection) -> None:
        async def send(frame: wire.Frame) -> None:
            await connection.send(wire.encode(frame), text=True)

        unknown = itertools.count(1)
        link = Link(send)
        self._link, self.reason = link, ""
        try:
            async for raw in connection:
                try:
                    frame = wire.decode(raw)
                except wire.MalformedFrame as error:
                    if next(unknown) == 1:
                        log.warning("controller %s is not understood: %s", self.name, error)
                    continue
                if isinstance(frame, wire.Reply):
                    link.replied(frame)
        finally:
            self._link = None
            link.broke()


def _newest(folder: Path, most: int, containing: bytes) -> list[dict[str, Any]]:
    """In the order in which they were written. Blocks: use a thread."""
    notes = (one for one in read(folder) if one.kind != "snapshot")
    about = (one for one in notes if containing in bytes(one.body))
    size, shown = 0, []
    for record in reversed(deque(about, maxlen=most)):
        line = msgspec.json.encode(record)
        size += len(line)
        if size > JOURNAL_BYTES:
            break
        shown.append(msgspec.json.decode(line))
    return shown[::-1]
