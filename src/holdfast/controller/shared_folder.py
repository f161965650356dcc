"""A folder of the store on which every replica writes what it knows, beside what is urgent.

Nothing waits for it: `put` returns at once, and what could not be written yet is written when the
store is back. Where two replicas write the same, a rule makes one of both, whatever came first.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from holdfast.ports.store import Changed, Held, Store, StoreAway, TxnResult

log = logging.getLogger(__name__)

RETRY_S = 1.0
AT_ONCE = 16
Fact = TypeVar("Fact", bound=msgspec.Struct)


class SharedFolder(Generic[Fact]):
    """`taken` hears what another replica wrote, or what became of both; `kept` that the store
    has what was put; `gone` what was deleted from it."""

    def __init__(
        self,
        store: Store,
        name: str,
        kind: type[Fact],
        merge: Callable[[Fact, Fact], Fact],
        *,
        taken: Callable[[Fact], None] = lambda _: None,
        kept: Callable[[str], None] = lambda _: None,
        gone: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store, self.name, self._merge = store, name, merge
        self._kind = kind
        self._taken, self._kept, self._gone = taken, kept, gone
        self._held: dict[str, tuple[Fact, int]] = {}  # As the store has it.
        self._wanted: dict[str, Fact] = {}  # What it does not have yet, in order.
        self._news = asyncio.Event()
        self.unreadable = 0

    def get(self, name: str) -> Fact | None:
        """What is known of it here, written or not."""
        return self._wanted.get(name) or self.stored(name)

    def stored(self, name: str) -> Fact | None:
        held = self._held.get(name)
        return held[0] if held else None

    def all(self) -> dict[str, Fact]:
        """What the store has, as far as is known here."""
        return {name: fact for name, (fact, _) in self._held.items()}

    def revision(self, name: str) -> int:
        """Of what the store has; 0 when it has nothing."""
        held = self._held.get(name)
        return held[1] if held else 0

    @property
    def waiting(self) -> int:
        return len(self._wanted)

    def put(self, name: str, fact: Fact) -> None:
        known = self.get(name)
        self._wanted[name] = self._merge(known, fact) if known is not None else fact
        self._news.set()

    async def delete(self, names: list[str], term: int) -> None:
        """Raises StoreAway. What was changed meanwhile stays."""
        for name in names:
            held = self._held.get(name)
            if held is not None and name not in self._wanted:
                key = f"{self.name}/{name}"
                await self._store.txn(holds={key: held[1]}, puts={key: None}, term=term)

    async def run(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            names = list(self._wanted)
            for start in range(0, len(names), AT_ONCE):
                if not await self._write_all(names[start : start + AT_ONCE]):
                    self._news.set()
                    await asyncio.sleep(RETRY_S)
                    break

    async def _write_all(self, names: list[str]) -> bool:
        """Whether the store serves."""
        done = await asyncio.gather(*map(self._write, names), return_exceptions=True)
        for failure in done:
            if isinstance(failure, StoreAway):
                log.debug("%s waits: %s", self.name, failure)
                return False
            if failure is not None:
                raise failure
        return True

    # As the store is followed.

    def forget_all(self) -> None:
        """The store is another one, or an older copy. What it has not is not gone for that."""
        self._held.clear()

    def loaded(self, held: Mapping[str, Held], revision: int) -> None:
        del revision  # What is older than it is known already, and does no harm.
        names = {key.removeprefix(f"{self.name}/"): one for key, one in held.items()}
        for name in [name for name in self._held if name not in names]:
            self._drop(name)
        for name, one in names.items():
            self._take(name, one)

    def changed(self, change: Changed) -> None:
        name = change.key.removeprefix(f"{self.name}/")
        if change.value is not None:
            self._take(name, Held(value=change.value, revision=change.revision))
        elif name in self._held and self._held[name][1] < change.revision:
            self._drop(name)

    def _drop(self, name: str) -> None:
        del self._held[name]
        self._gone(name)

    def _take(self, name: str, one: Held) -> None:
        before = self._held.get(name)
        if before is not None and before[1] >= one.revision:
            return
        try:
            fact = msgspec.json.decode(one.value, type=self._kind)
        except msgspec.MsgspecError:
            self.unreadable += 1
            return
        self._held[name] = (fact, one.revision)
        mine = self._wanted.get(name)
        whole = fact if mine is None else self._merge(fact, mine)
        if mine is not None and whole == fact:
            del self._wanted[name]
        elif mine is not None:
            self._wanted[name] = whole
            self._news.set()
        self._taken(whole)
        self._kept(name)

    async def _write(self, name: str) -> None:
        """Raises StoreAway; then it waits."""
        wanted = self._wanted.get(name)
        if wanted is None:
            return
        held = self._held.get(name)
        key = f"{self.name}/{name}"
        done = await self._store.txn(
            holds={key: held[1] if held else 0}, puts={key: msgspec.json.encode(wanted)}
        )
        if done.result is not TxnResult.COMMITTED:
            found = await self._store.get(key)
            if found is not None:
                self._take(name, found)
            elif held is not None:
                self._held.pop(name, None)
            self._news.set()
            return
        if self.revision(name) < done.revision:  # Else somebody wrote since, and we heard of it.
            self._held[name] = (wanted, done.revision)
        if self._wanted.get(name) == wanted:
            del self._wanted[name]
        else:
            self._news.set()
        self._kept(name)
