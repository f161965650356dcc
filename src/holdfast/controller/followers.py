"""Those who watch alarms as they come: the present list first, then each change."""

import asyncio
import contextlib
from collections.abc import Iterator

from holdfast.facts.alarms import AlarmRecord

BEHIND_MOST = 10_000


class FellBehind(Exception):
    """This follower reads too slowly: what it has not read is dropped, and it must ask again."""


class Follower:
    def __init__(self) -> None:
        self._news: asyncio.Queue[AlarmRecord] = asyncio.Queue(BEHIND_MOST)
        self._fell_behind = False

    def tell(self, record: AlarmRecord) -> None:
        try:
            self._news.put_nowait(record)
        except asyncio.QueueFull:
            self._fell_behind = True

    async def next(self) -> AlarmRecord:
        """Raises FellBehind."""
        if self._fell_behind:
            raise FellBehind
        return await self._news.get()


class Followers:
    def __init__(self) -> None:
        self._all: set[Follower] = set()

    def tell(self, record: AlarmRecord) -> None:
        for follower in self._all:
            follower.tell(record)

    @contextlib.contextmanager
    def join(self) -> Iterator[Follower]:
        follower = Follower()
        self._all.add(follower)
        try:
            yield follower
        finally:
            self._all.discard(follower)
