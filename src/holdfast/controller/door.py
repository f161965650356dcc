"""The controller's socket: agents greet and tell, people and programs ask."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from holdfast.adapters.drivers.certificates import Certificates
from holdfast.adapters.drivers.private_socket import private_socket
from holdfast.controller.agents import Agent, Agents, Link
from holdfast.controller.claims import Claims
from holdfast.controller.copies import Copies
from holdfast.controller.definitions import Definitions
from holdfast.controller.entries import Entries
from holdfast.controller.gate import Gate, Visitor
from holdfast.controller.greeting import Greeter, refusal
from holdfast.controller.host_words import HostWords
from holdfast.controller.questions import Questions
from holdfast.facts import wire
from holdfast.ports.answers import REFUSED, USAGE

log = logging.getLogger(__name__)

MESSAGE_BYTES = 8 << 20


class Door:
    """Frames in, frames out. `unknown` counts those that were not understood, or out of place."""

    def __init__(
        self,
        *,
        agents: Agents,
        claims: Claims,
        entries: Entries,
        questions: Questions,
        greeter: Greeter,
        copies: Copies,
        host_words: HostWords,
        definitions: Definitions,
        answer_peer: Callable[[wire.Question], Awaitable[wire.Reply]] | None = None,
    ) -> None:
        """`answer_peer` answers other controllers."""
        self._answer_peer = answer_peer
        self.claims = claims
        self._agents, self._entries, self._questions = agents, entries, questions
        self._greeter, self._copies, self._host_words = greeter, copies, host_words
        self._definitions = definitions
        self.unknown = 0

    @contextlib.asynccontextmanager
    async def open(self, path: Path) -> AsyncIterator[None]:
        """Serve on a Unix socket that only its owner may open. Raises OSError."""
        async with private_socket(path, self._serve, MESSAGE_BYTES):
            yield

    def gate(self, certificates: Certificates) -> Gate:
        """The same door for other hosts."""
        return Gate(certificates, self._serve, MESSAGE_BYTES)

    async def _serve(self, connection: ServerConnection, visitor: Visitor | None = None) -> None:
        """Without a visitor it is root of this host."""

        async def send(frame: wire.Frame) -> None:
            try:
                await connection.send(wire.encode(frame), text=True)
            except ConnectionClosed:
                raise ConnectionError("the connection is closed") from None

        link = Link(send, connection.transport.abort)
        agent: Agent | None = None
        tasks: set[asyncio.Task[None]] = set()
        try:
            async for raw in connection:
                try:
                    frame = wire.decode(raw)
                except wire.MalformedFrame as error:
                    self._note_unknown(f"a frame is not understood: {error}")
                    if agent is None:  # A person's program, by hand as a rule, shall hear why.
                        text = f"that is no question: {error}"
                        await send(wire.Reply(id=0, error=text, code=USAGE))
                    continue
                if isinstance(frame, wire.Hello):
                    agent = await self._greeter.greet(await self._admit(frame, visitor, link), link)
                elif isinstance(frame, wire.Question):
                    task = asyncio.create_task(self._answer(frame, visitor, link))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                else:
                    await self._take(frame, agent, link)
        except (ConnectionClosed, ConnectionError):
            return
        finally:
            for task in tasks:
                task.cancel()
            if agent is not None:
                self._agents.left(agent, link)

    async def _take(self, frame: wire.AnyFrame, agent: Agent | None, link: Link) -> None:
        """What agents tell. Nothing is taken from one that has not greeted."""
        if agent is None:
            self._note_unknown(f"{type(frame).__name__} came before a greeting")
            return
        match frame:
            case wire.Entry() if frame.host != agent.host:
                self._note_unknown(f"{agent.host} tells in the name of {frame.host}")
            case wire.Entry():
                self._entries.take(self.claims.checked(frame, agent))
            case wire.Reply():
                link.replied(frame)
            case wire.Inventory():
                agent.parts = frame.parts
                self._agents.take_inventory(agent, frame.vms, frame.size)
            case wire.Definitions():
                self._definitions.take(agent, frame.definitions)
            case wire.RecorderCopy():
                own = self.claims.own_copies(frame.pieces, agent)
                await asyncio.to_thread(self._copies.add, own)
            case wire.HostRecords():
                await asyncio.to_thread(self._host_words.take, agent.host, frame)
            case _:
                self._note_unknown(f"{type(frame).__name__} is not for a controller")

    async def _admit(self, hello: wire.Hello, visitor: Visitor | None, link: Link) -> wire.Hello:
        """Its greeting, under the name that its certificate gives it. Raises ConnectionError:
        nothing is taken from it."""
        if visitor is None:
            return hello
        text = visitor.refusal(hello.host) or self.claims.shares_boot(hello)
        if text:
            log.error("%s", text)
            await link.send(refusal(text))
            raise ConnectionError(text)
        return self.claims.certified(hello, visitor.peer.host_name)

    async def _answer(self, question: wire.Question, visitor: Visitor | None, link: Link) -> None:
        with contextlib.suppress(ConnectionError):
            if visitor is not None:
                await link.send(await self._answer_visitor(question, visitor))
                return
            await link.send(await self._questions.answer(question))

    async def _answer_visitor(self, question: wire.Question, visitor: Visitor) -> wire.Reply:
        if visitor.peer.is_controller and self._answer_peer is not None:
            return await self._answer_peer(question)
        text = f"{visitor.peer.host_name} may not ask here: it is no controller"
        return wire.Reply(id=question.id, error=text, hint="ask over the API", code=REFUSED)

    def _note_unknown(self, text: str) -> None:
        self.unknown += 1
        if self.unknown == 1:
            log.warning("%s (further ones are only counted)", text)
