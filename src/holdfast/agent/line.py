"""One line to one controller: dialed again whenever it breaks, greeted, and read."""

import asyncio
import itertools
import logging
from collections.abc import Callable

from holdfast.adapters.drivers.dials import LINK_ENDED, NOBODY, why_ended
from holdfast.facts import wire
from holdfast.facts.instants import NS_PER_S
from holdfast.ports import clock
from holdfast.ports.link import Connection, Dial

log = logging.getLogger(__name__)

RETRY_S = 0.2
REFUSED_RETRY_S = 5.0
WELCOME_LIMIT_S = 5.0
BEGIN_LIMIT_S = 5  # For so long after its start a controller may be missing without a word.


class Line:
    """`came_up` may send at once; then the welcome is told, and each frame as it comes.

    `term` is that of its last whole welcome: who has the highest one leads. `is_slow` says that
    it left something unanswered for too long, and has answered nothing since.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        hello: Callable[[], wire.Hello],
        came_up: Callable[["Line"], None],
        welcomed: Callable[["Line", wire.Welcome], None],
        heard: Callable[["Line", wire.AnyFrame], None],
        went_down: Callable[["Line"], None],
        begin_limit_s: float = BEGIN_LIMIT_S,
    ) -> None:
        self.name = dial.name
        self._dial = dial
        self._hello, self._came_up, self._welcomed = hello, came_up, welcomed
        self._heard, self._went_down = heard, went_down
        self._to_send: asyncio.Queue[bytes] | None = None
        self._unknown = itertools.count(1)
        self.term = 0
        self.is_slow = False
        self.reason = "it was not reached yet"
        self._logged, self._is_new, self._began_at = "", True, clock.now()
        self._begin_limit_ns = int(begin_limit_s * NS_PER_S)

    @property
    def is_up(self) -> bool:
        return self._to_send is not None

    @property
    def is_leading(self) -> bool:
        return self.is_up and self.term > 0

    def send(self, frame: bytes) -> None:
        """Dropped while it is down."""
        if self._to_send is not None:
            self._to_send.put_nowait(frame)

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            is_refused = False
            try:
                is_refused = await self._talk()
            except LINK_ENDED as error:
                self._say(why_ended(error))
            await asyncio.sleep(REFUSED_RETRY_S if is_refused else RETRY_S)

    async def _talk(self) -> bool:
        """Whether the controller will not have us."""
        async with self._dial.open() as link:
            await link.send(wire.encode(self._hello()), text=True)
            async with asyncio.timeout(WELCOME_LIMIT_S):
                first = wire.decode(await link.recv())
            if not isinstance(first, wire.Welcome):
                self._say(f"its first frame is no welcome: {type(first).__name__}")
                return True
            if first.refusal:
                self._say(first.refusal)
                self._welcomed(self, first)
                return True
            await self._serve(link, first)
            return False

    async def _serve(self, link: Connection, first: wire.Welcome) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._to_send, self.reason, self.is_slow = queue, "", False
        self._logged, self._is_new = "", False
        self.term = _term(first)
        sender = asyncio.create_task(self._send_all(link, queue))
        try:
            self._came_up(self)
            self._welcomed(self, first)
            async for raw in link:
                self._read(raw)
        finally:
            self._to_send, self.term, self.reason = None, 0, "it hung up"
            sender.cancel()
            self._went_down(self)

    def _read(self, raw: str | bytes) -> None:
        try:
            frame = wire.decode(raw)
        except wire.MalformedFrame as error:
            if next(self._unknown) == 1:
                log.warning("a frame of controller %s is not understood: %s", self.name, error)
            return
        if isinstance(frame, wire.Welcome):
            self.term = _term(frame)
            self._welcomed(self, frame)
        elif isinstance(frame, wire.Question) and frame.name == wire.GREET:
            self.send(wire.encode(wire.Reply(id=frame.id, data={})))
            self.send(wire.encode(self._hello()))
        else:
            self._heard(self, frame)

    def _say(self, reason: str) -> None:
        """Where both begin together the controller is later by a moment: that is no news."""
        self.reason = reason
        is_early = (
            reason == NOBODY
            and self._is_new
            and clock.now() < self._began_at + self._begin_limit_ns
        )
        if reason != self._logged and not is_early:
            log.info("controller %s: %s", self.name, reason)
            self._logged = reason

    @staticmethod
    async def _send_all(link: Connection, queue: asyncio.Queue[bytes]) -> None:
        try:
            while True:
                await link.send(await queue.get(), text=True)
        except LINK_ENDED:
            return


def _term(welcome: wire.Welcome) -> int:
    """Only who leads says all that there is to know."""
    return welcome.term if welcome.is_complete else 0
