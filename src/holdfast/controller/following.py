"""Every replica follows the store: all of it once, then each change; all again when in doubt."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any

from msgspec import Struct

from holdfast.ports.store import Changed, Held, Store, StoreAway, WatchLost

log = logging.getLogger(__name__)

RETRY_S = 1.0

Loaded = Callable[[Mapping[str, Held], int], None]


class _Follower(Struct, frozen=True):
    folder: str
    loaded: Loaded
    changed: Callable[[Changed], None]
    older: Callable[[], None]

    def is_its(self, key: str) -> bool:
        return not self.folder or key.startswith(f"{self.folder}/")


class Following:
    """`is_live`: what is known here is what the store holds, but for what is on its way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._followers: list[_Follower] = []
        self._seen = 0
        self.is_live = False

    def add(
        self,
        folder: str,
        loaded: Loaded,
        changed: Callable[[Changed], None],
        older: Callable[[], None] = lambda: None,
    ) -> None:
        """`loaded` gets all keys of the folder (empty: all there are) and the revision at which
        they were asked for; `changed` each change since, some of them perhaps once more; `older`
        is called before, when the store is an older copy or a new one: what was known is void."""
        self._followers.append(_Follower(folder, loaded, changed, older))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._follow()
            except StoreAway as away:
                log.info("the store is not followed: %s", away)
            finally:
                self.is_live = False
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        """Raises StoreAway."""
        revision = await self._store.newest()
        held = await self._store.list("")
        if revision < self._seen:
            log.error("the store is an older copy, or a new one: it is at revision %d", revision)
            for follower in self._followers:
                follower.older()
        self._seen = revision
        for follower in self._followers:
            its = {key: one for key, one in held.items() if follower.is_its(key)}
            follower.loaded(its, revision)
        self.is_live = True
        watch: Any = self._store.watch("", revision)
        async with aclosing(watch):
            async for change in watch:
                if isinstance(change, WatchLost):
                    log.info("the store is read anew: %s", change.reason)
                    return
                self._seen = max(self._seen, change.revision)
                for follower in self._followers:
                    if follower.is_its(change.key):
                        follower.changed(change)
