"""A controller or agent that answers from a table, on a real socket, and keeps the questions."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from websockets.sync.server import ServerConnection, unix_serve

from holdfast.controller.events import Events
from holdfast.faces.api.callers import who_is_local
from holdfast.faces.api.listening import SOCKET, on_socket, running
from holdfast.faces.api.server import Served, make_app
from holdfast.faces.api.streams import Streams
from holdfast.facts import wire
from holdfast.facts.events import EventKind
from holdfast.facts.roles import Caller
from holdfast.ports.answers import Unanswerable

# An answer is data, a Reply, a function of the question, or a broken link.
Answer = Any
HANG_UP = "hang up"


class FakeProgram:
    """`table` is from the question's name to its answer; any other question is unknown."""

    def __init__(self, table: dict[str, Answer]) -> None:
        self.table = table
        self.asked: list[wire.Question] = []

    def answer(self, question: wire.Question) -> wire.Reply:
        self.asked.append(question)
        if question.name not in self.table:
            return wire.Reply(id=question.id, error="an unknown question", code=2)
        answer = self.table[question.name]
        if isinstance(answer, Callable):  # type: ignore[arg-type]
            answer = answer(question)
        if not isinstance(answer, wire.Reply):
            return wire.Reply(id=question.id, data=answer)
        plain = {name: getattr(answer, name) for name in answer.__struct_fields__}
        return wire.Reply(**{**plain, "id": question.id})

    def is_hanging_up(self, name: str) -> bool:
        return bool(self.table.get(name) == HANG_UP)


class FakeController(FakeProgram):
    """The real API over a table of answers; alarms that come are told with `tell`."""

    def __init__(self, table: dict[str, Answer]) -> None:
        super().__init__(table)
        self.loop = asyncio.new_event_loop()
        self.events: Events | None = None

    async def ask(self, name: str, args: dict[str, Any], caller: Caller) -> Any:
        if name == "events" and name not in self.table:
            assert self.events is not None
            return {"events": [], "gap": None, "next": str(self.events.position)}
        reply = self.answer(wire.Question(id=0, name=name, args=args, by=caller.name))
        if reply.error:
            raise Unanswerable(reply.error, reply.hint, reply.code)
        return reply.data

    def identify(self, request: web.Request) -> Caller:
        if HANG_UP in self.table.values() and request.transport is not None:
            request.transport.abort()
        return who_is_local(request)

    def tell(self, record: Any) -> None:
        assert self.events is not None
        self.loop.call_soon_threadsafe(self.events.note, EventKind.ALARM, "an alarm", record)

    @contextlib.asynccontextmanager
    async def serving(self, run_dir: Path) -> AsyncIterator[None]:
        self.events = Events(run_dir / "events.db")
        served = Served(
            ask=self.ask, denied=_nobody, identify=self.identify, streams=Streams(self.events)
        )
        try:
            async with (
                running(make_app(served)) as runner,
                on_socket(runner, run_dir / SOCKET),
            ):
                yield
        finally:
            self.events.close()


async def _nobody(*_: object) -> None:
    raise AssertionError("root may do everything")


@contextmanager
def answering(run_dir: Path, program: str, table: dict[str, Answer]) -> Iterator[Any]:
    """The program answers on its socket in `run_dir` as long as the block lasts."""
    if program == "controller":
        with _controller(run_dir, table) as controller:
            yield controller
        return
    fake = FakeProgram(table)
    path = run_dir / f"{program}.sock"

    def serve(link: ServerConnection) -> None:
        for raw in link:
            question = wire.decode(raw)
            assert isinstance(question, wire.Question)
            if fake.is_hanging_up(question.name):
                return
            link.send(wire.encode(fake.answer(question)).decode())

    with unix_serve(serve, str(path), compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join(10)
            path.unlink()


@contextmanager
def _controller(run_dir: Path, table: dict[str, Answer]) -> Iterator[FakeController]:
    fake = FakeController(table)
    is_up, ended = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with fake.serving(run_dir):
            is_up.set()
            await ended.wait()

    thread = threading.Thread(target=fake.loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert is_up.wait(10)
        yield fake
    finally:
        fake.loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        fake.loop.close()
