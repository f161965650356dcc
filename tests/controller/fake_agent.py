"""A small agent: greets, tells, and answers what it is asked, as the wire says."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed

from holdfast.facts import wire
from holdfast.facts.alarms import Alarm, AlarmReport, AlarmState, Severity
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import vm_subject
from holdfast.facts.tenure import Tenure
from holdfast.facts.verdicts import Certainty

LIMIT_S = 10.0


def alarm(
    number: int = 1, revision: int = 1, state: AlarmState = AlarmState.RAISED, vm: str = "vm-1"
) -> Alarm:
    at = Instant(time.monotonic_ns())
    return Alarm(
        key=f"{vm}/boot/{number}.1:vm-gone",
        condition="vm-gone",
        revision=revision,
        state=state,
        subject=vm_subject(vm, "web-1"),
        host="host-a",
        boot="boot-1",
        certainty=Certainty.CERTAIN,
        severity=Severity.CRITICAL,
        text=f"web-1 is gone, number {number}",
        fault_at=at,
        detected_at=at,
        cause="killed by SIGKILL",
    )


def report(
    number: int = 1, revision: int = 1, state: AlarmState = AlarmState.RAISED, vm: str = "vm-1"
) -> AlarmReport:
    return AlarmReport(
        alarm=alarm(number, revision, state, vm),
        fault_age_us=2_500,
        detected_age_us=1_000,
        sent_utc_ms=time.time_ns() // 1_000_000,
    )


def summary(vm: str = "vm-1", name: str = "web-1") -> wire.VmSummary:
    return wire.VmSummary(
        vm=vm, name=name, state="running", is_running=True, is_protected=False, pid=42
    )


class FakeAgent:
    """`answers` gives the reply to a question by its name; a callable gets the question."""

    def __init__(
        self,
        socket: Path,
        *,
        host: str = "host-a",
        boot: str = "boot-1",
        state_id: str = "state-1",
        stream: str = "boot-1.x",
        is_amnesiac: bool = False,
        tenures: tuple[Tenure, ...] = (),
    ) -> None:
        self.socket, self.host, self.stream = socket, host, stream
        self.hello = wire.Hello(
            version=1,
            host=host,
            host_name=host,
            boot=boot,
            state_id=state_id,
            stream=stream,
            is_amnesiac=is_amnesiac,
            tenures=tenures,
        )
        self.welcome: wire.Welcome | None = None
        self.asked: list[wire.Question] = []
        self.answered: list[wire.EntryAnswered] = []
        self.answers: dict[str, Callable[[wire.Question], wire.Reply | None]] = {}
        self._link: ClientConnection | None = None
        self._changed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def link(self) -> AsyncIterator["FakeAgent"]:
        async with unix_connect(str(self.socket), compression=None, max_size=1 << 22) as link:
            self._link = link
            await self.send(self.hello)
            async with asyncio.timeout(LIMIT_S):
                first = wire.decode(await link.recv())
            assert isinstance(first, wire.Welcome)
            self.welcome = first
            reader = asyncio.create_task(self._read(link))
            try:
                yield self
            finally:
                reader.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reader

    async def send(self, frame: wire.Frame) -> None:
        assert self._link is not None
        await self._link.send(wire.encode(frame), text=True)

    async def hang_up(self) -> None:
        assert self._link is not None
        await self._link.close()

    async def tell(
        self,
        sequence: int,
        *,
        alarm: AlarmReport | None = None,
        tenure: Tenure | None = None,
        incident: Incident | None = None,
        stream: str = "",
        gap: int = 0,
    ) -> None:
        await self.send(
            wire.Entry(
                host=self.host,
                stream=stream or self.stream,
                sequence=sequence,
                gap=gap,
                alarm=alarm,
                tenure=tenure,
                incident=incident,
            )
        )

    async def wait_answered(self, count: int) -> None:
        await self.wait(lambda: len(self.answered) >= count)

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S), self._changed:
            await self._changed.wait_for(condition)

    async def _read(self, link: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._read_all(link)

    async def _read_all(self, link: ClientConnection) -> None:
        async for raw in link:
            frame = wire.decode(raw)
            if isinstance(frame, wire.EntryAnswered):
                self.answered.append(frame)
            elif isinstance(frame, wire.Welcome):
                self.welcome = frame
            elif isinstance(frame, wire.Question) and frame.name == wire.GREET:
                await self.send(_agree(frame))
                await self.send(self.hello)
            elif isinstance(frame, wire.Question):
                self.asked.append(frame)
                answer = self.answers.get(frame.name, _agree)
                reply = answer(frame)
                if reply is not None:
                    await self.send(reply)
            async with self._changed:
                self._changed.notify_all()


def _agree(question: wire.Question) -> wire.Reply:
    return wire.Reply(id=question.id, data={})


async def ask_all(socket: Path, name: str, /, **args: Any) -> wire.Reply:
    """What the command line gets for one question."""
    async with unix_connect(str(socket), compression=None, max_size=1 << 26) as link:
        question = wire.Question(id=7, name=name, args=args, by="anna")
        await link.send(wire.encode(question), text=True)
        async with asyncio.timeout(LIMIT_S):
            reply = wire.decode(await link.recv())
        assert isinstance(reply, wire.Reply)
        return reply


async def ask(socket: Path, name: str, /, **args: Any) -> Any:
    reply = await ask_all(socket, name, **args)
    assert not reply.error, reply.error
    return reply.data


async def wait_for(condition: Callable[[], Any], limit_s: float = LIMIT_S) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110  What is waited for lives in other threads, too.
            await asyncio.sleep(0.01)
