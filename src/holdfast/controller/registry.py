"""What the store holds, in memory: promises, groups, agents, disarm. Changed by transactions only.

A change is a function from what is held to what shall be put. Refused or unknown, the store is
read again and the function asked anew: what is already so is not put twice.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.membership import KINDS_OF_SITE
from holdfast.facts.promises import DEFAULT_GROUP, Disarm, Group, Protection
from holdfast.facts.tokens import Token
from holdfast.ports.store import Held, Store, StoreAway, TxnResult

TRIES = 5
DISARM = "disarm"
STORE = "store"

Kind = TypeVar("Kind", bound=Struct)


class Known(Struct, frozen=True, kw_only=True):
    """An agent as the store knows it. Another `state_id` under the same host id: it forgot."""

    host: str
    host_name: str
    boot: str
    state_id: str


class Released(Struct, frozen=True, kw_only=True):
    """A VM that was unprotected. Its next grant is above this generation."""

    generation: int


class StoreName(Struct, frozen=True, kw_only=True):
    """Made once for each store, so that agents can tell a new store from theirs."""

    id: str


KINDS: Mapping[str, type[Struct]] = {
    "protections": Protection,
    "groups": Group,
    "agents": Known,
    "released": Released,
    "api-tokens": Token,
    DISARM: Disarm,
    STORE: StoreName,
}
# What others keep in the same store, and read themselves.
NOT_OURS = frozenset(("alarms", *KINDS_OF_SITE))

Puts = Mapping[str, Struct | None]


class NotLeading(StoreAway):
    """This controller does not lead: it reports, and changes nothing."""


class Registry:
    """`is_loaded` says that the store was read since this program started."""

    def __init__(self, store: Store, term: Callable[[], int | None]) -> None:
        self._store, self._term = store, term
        self._held: dict[str, tuple[Struct, int]] = {}
        self._changing = asyncio.Lock()
        self.is_loaded = False
        self.unreadable = 0

    async def begin(self, term: int) -> None:
        """Read the store, and name it if it is new. Raises StoreAway."""
        await self.load()
        if STORE not in self._held and not self.unreadable:
            name = msgspec.json.encode(StoreName(id=uuid.uuid4().hex))
            await self._store.txn(holds={STORE: 0}, puts={STORE: name}, term=term)
            await self.load()

    async def load(self) -> None:
        """Raises StoreAway."""
        stored = (await self._store.list("")).items()
        held = {k: _decode(k, one) for k, one in stored if k.partition("/")[0] not in NOT_OURS}
        self._held = {key: one for key, one in held.items() if one is not None}
        self.unreadable = len(held) - len(self._held)
        self.is_loaded = True

    @property
    def is_whole(self) -> bool:
        """Whether all that the store holds is known here."""
        return self.is_loaded and not self.unreadable

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def protections(self) -> dict[str, Protection]:
        return {p.vm: p for p in self._all("protections", Protection)}

    def protection(self, vm: str) -> Protection | None:
        return self._one(f"protections/{vm}", Protection)

    def released(self, vm: str) -> int:
        """The highest generation that was released, or 0."""
        held = self._one(f"released/{vm}", Released)
        return held.generation if held else 0

    @property
    def store_id(self) -> str:
        held = self._one(STORE, StoreName)
        return held.id if held else ""

    def groups(self) -> dict[str, Group]:
        """The default group is always there."""
        return {g.name: g for g in [DEFAULT_GROUP, *self._all("groups", Group)]}

    def known(self, host: str) -> Known | None:
        return self._one(f"agents/{host}", Known)

    def all_known(self) -> list[Known]:
        return list(self._all("agents", Known))

    def tokens(self) -> dict[str, Token]:
        return {token.name: token for token in self._all("api-tokens", Token)}

    def disarm(self) -> Disarm | None:
        """None also once it has ended by itself."""
        held = self._one(DISARM, Disarm)
        if held is None or held.until_utc_ms <= time.time_ns() // NS_PER_MS:
            return None
        return held

    async def change(self, wanted: Callable[[], Puts]) -> None:
        """Put what `wanted` says until it says nothing. Raises StoreAway, and what it raises."""
        async with self._changing:
            for _ in range(TRIES):
                puts = {k: v for k, v in wanted().items() if self._one(k, Struct) != v}
                if not puts:
                    return
                if await self._commit(puts):
                    return
                await self.load()
        raise StoreAway("the store refuses or loses every change; is another controller at work?")

    async def _commit(self, puts: Puts) -> bool:
        term = self._term()
        if term is None:
            raise NotLeading("this controller does not lead now: nothing was changed")
        done = await self._store.txn(
            holds={key: self._held[key][1] if key in self._held else 0 for key in puts},
            puts={k: None if v is None else msgspec.json.encode(v) for k, v in puts.items()},
            term=term,
        )
        if done.result is not TxnResult.COMMITTED:
            return False
        for key, value in puts.items():
            if value is None:
                self._held.pop(key, None)
            else:
                self._held[key] = (value, done.revision)
        return True

    def _one(self, key: str, kind: type[Kind]) -> Kind | None:
        held = self._held.get(key)
        return held[0] if held is not None and isinstance(held[0], kind) else None

    def _all(self, folder: str, kind: type[Kind]) -> list[Kind]:
        keys = sorted(key for key in self._held if key.startswith(f"{folder}/"))
        return [held for held, _ in (self._held[key] for key in keys) if isinstance(held, kind)]


def _decode(key: str, held: Held) -> tuple[Struct, int] | None:
    """None for what a newer version wrote: it is left alone, counted and shown."""
    kind = KINDS.get(key.partition("/")[0])
    if kind is None:
        return None
    try:
        return msgspec.json.decode(held.value, type=kind), held.revision
    except msgspec.MsgspecError:
        return None
