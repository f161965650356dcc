"""A connection between two simulated processes, with the manners of a WebSocket.

What arrives is read in order. Whoever reads from, or writes to, one that broke gets
`ConnectionClosed`, as from the real library; a machine that lost power says nothing to anybody.
"""

import asyncio
import collections
from collections.abc import AsyncIterator

from websockets.exceptions import ConnectionClosedError

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.network import GIVES_UP_MS, Network, Wire

Message = str | bytes


class End:
    """One side. `transport.abort` breaks it off at once, as the controller's door does."""

    def __init__(self) -> None:
        self._arrived: collections.deque[Message] = collections.deque()
        self._reader: asyncio.Future[None] | None = None
        self._wire: Wire | None = None
        self.is_open = True
        self.transport = self

    def join(self, wire: Wire) -> None:
        self._wire = wire

    async def send(self, message: Message, *, text: bool | None = None) -> None:  # noqa: ARG002
        """Raises ConnectionClosed."""
        if not self.is_open or self._wire is None:
            raise ConnectionClosedError(None, None)
        self._wire.send(message)

    async def recv(self) -> Message:
        """Raises ConnectionClosed once all that arrived was read."""
        while not self._arrived:
            if not self.is_open:
                raise ConnectionClosedError(None, None)
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._arrived.popleft()

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            yield await self.recv()

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Hang up: the other side hears of it once there is a path, after all that was sent."""
        if self.is_open:
            self._shut()
            self.reset()

    def vanish(self) -> None:
        """Its machine is no more, or has given the other side up: nobody is told."""
        self._shut()
        if self._wire is not None:
            self._wire.drop()

    def reset(self) -> None:
        """Its kernel does not know it (any more), and says so."""
        if self._wire is not None:
            self._wire.finish()

    def arrive(self, message: Message) -> None:
        if self.is_open:
            self._arrived.append(message)
            self._wake()

    def ended(self) -> None:
        """The other side has hung up."""
        self._shut()

    def _shut(self) -> None:
        self.is_open = False
        self._wake()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)


class _Pings:
    """What both sides do by themselves: who is not heard for too long is given up."""

    def __init__(self, network: Network, clock: Clock, plane: str, ends: dict[str, End]) -> None:
        self._network, self._clock, self._plane, self._ends = network, clock, plane, ends
        self._near, self._far = ends
        self._since: int | None = None
        network.changed.append(self.look)

    def look(self) -> None:
        if not any(end.is_open for end in self._ends.values()):
            self._network.changed.remove(self.look)
        elif self._network.talk(self._near, self._far, self._plane):
            self._since = None
        elif self._since is None:
            since = self._since = self._clock.now
            self._clock.later(GIVES_UP_MS, lambda: self._give_up(since))

    def _give_up(self, since: int) -> None:
        if self._since == since:
            for end in self._ends.values():
                end.vanish()


def connect(
    network: Network, clock: Clock, plane: str, source: str, target: str
) -> tuple[End, End]:
    """Both ends of a new connection. Raises TimeoutError."""
    if not network.talk(source, target, plane):
        raise TimeoutError(f"{target} does not answer")
    near, far = End(), End()

    near.join(Wire(network, clock, (plane, source, target), far.arrive, far.ended))
    far.join(Wire(network, clock, (plane, target, source), near.arrive, near.ended))
    if source != target:
        _Pings(network, clock, plane, {source: near, target: far})
    return near, far
