"""What the store holds, in memory: promises, groups, agents, disarm. Changed by transactions only.

A change is a function from what is held to what shall be put. Refused or unknown, the store is
read again and the function asked anew: what is already so is not put twice.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TypeVar

import msgspec
from msgspec import Struct

from holdfast.facts.definitions import VmDefinition
from holdfast.facts.fencing import Fence, HostFencing, Rehearsal
from holdfast.facts.instances import Instance, Template
from holdfast.facts.instants import Instant, after, elapsed_ms
from holdfast.facts.leases import HostLease
from holdfast.facts.membership import KINDS_OF_SITE
from holdfast.facts.migrations import Drain, Migration, Prediction
from holdfast.facts.promises import DEFAULT_GROUP, Disarm, Group, Protection
from holdfast.facts.recoveries import Recovery
from holdfast.facts.tenure import Tenure
from holdfast.facts.tokens import Token
from holdfast.ports import clock
from holdfast.ports.store import MOST_KEYS, Changed, Held, Store, StoreAway, TxnResult

TRIES = 5
DISARM = "disarm"
STORE = "store"

Kind = TypeVar("Kind", bound=Struct)


class Known(Struct, frozen=True, kw_only=True):
    """An agent as the store knows it. Another `state_id` under the same host id: it forgot.

    The rest lets every replica hear its pulses, and ask for it on every plane.
    """

    host: str
    host_name: str
    boot: str
    state_id: str
    pulse_key: str = ""
    addresses: dict[str, str] = {}
    rack: str = ""
    switch: str = ""
    zone: str = ""
    is_restored: bool = False  # It has not greeted since the store came out of a backup.
    boot_then: str = ""  # In which it was when that backup was made.


class Released(Struct, frozen=True, kw_only=True):
    """A VM that was unprotected. Its next grant is above this generation. `held` is how it was
    until then: a host that held it before does not know that it was another's in the end."""

    generation: int
    held: Protection | None = None


class StoreName(Struct, frozen=True, kw_only=True):
    """Made once for each store, and anew when it was restored from a backup, so that agents can
    tell it from theirs. `replaces`: what the copies were called that it came from."""

    id: str
    replaces: tuple[str, ...] = ()


KINDS: Mapping[str, type[Struct]] = {
    "protections": Protection,
    "groups": Group,
    "agents": Known,
    "released": Released,
    "api-tokens": Token,
    "definitions": VmDefinition,
    "fencing": HostFencing,
    "fences": Fence,
    "leases": HostLease,
    "rehearsals": Rehearsal,
    "recoveries": Recovery,
    "migrations": Migration,
    "drains": Drain,
    "templates": Template,
    "instances": Instance,
    "predictions": Prediction,
    DISARM: Disarm,
    STORE: StoreName,
}
# What others keep in the same store, and read themselves.
NOT_OURS = frozenset(("alarms", "incidents", *KINDS_OF_SITE))

Puts = Mapping[str, Struct | None]


class NotLeading(StoreAway):
    """This controller does not lead: it reports, and changes nothing."""


class Registry:
    """`is_loaded` says that the store was read since this program started."""

    def __init__(self, store: Store, term: Callable[[], int | None]) -> None:
        self._store, self._term = store, term
        self._held: dict[str, tuple[Struct, int]] = {}
        self._changing = asyncio.Lock()
        self.on_change: list[Callable[[str], None]] = []  # Each hears the key of every change.
        self.on_loaded: list[Callable[[], None]] = []  # All of it was read.
        self.is_loaded = False
        self._unreadable: set[str] = set()
        self._disarm_heard: tuple[Disarm, Instant] | None = None  # As it was made, and its end.

    async def begin(self, term: int) -> None:
        """Read the store, and name it if it is new. Raises StoreAway.

        Whatever was known before counts no more: it may be an older copy, or another store.
        """
        stored = await self._store.list("")
        self.forget_all()
        self.take_all(stored, term)
        if STORE not in self._held and not self.unreadable:
            name = msgspec.json.encode(StoreName(id=uuid.uuid4().hex))
            await self._store.txn(holds={STORE: 0}, puts={STORE: name}, term=term)
            await self.load()

    async def load(self) -> None:
        """Raises StoreAway."""
        revision = await self._store.newest()
        self.take_all(await self._store.list(""), revision)

    def take_all(self, stored: Mapping[str, Held], revision: int) -> None:
        """What the store held; `revision` is of before it was asked, so that what changed since
        stands."""
        held = {k: _decode(k, v) for k, v in stored.items() if k.partition("/")[0] not in NOT_OURS}
        before = self._held
        self._held = {key: one for key, one in held.items() if one is not None}
        for key, one in before.items():
            if one[1] > max(revision, self._held[key][1] if key in self._held else 0):
                self._held[key] = one
        self._unreadable = {key for key, one in held.items() if one is None}
        self.is_loaded = True
        for key in sorted(before.keys() | self._held.keys()):
            if before.get(key) != self._held.get(key):
                self._tell(key)
        for hear in self.on_loaded:
            hear()

    def forget_all(self) -> None:
        """The store is another one, or an older copy: what it held counts no more."""
        self._held = {}

    def take(self, change: Changed) -> None:
        """One change that the store tells of, perhaps once more."""
        key = change.key
        if key.partition("/")[0] in NOT_OURS or change.revision <= self._revision_of(key):
            return
        self._unreadable.discard(key)
        if change.value is None:
            self._held.pop(key, None)
        else:
            found = _decode(key, Held(value=change.value, revision=change.revision))
            if found is None:
                self._unreadable.add(key)
                self._held.pop(key, None)
            else:
                self._held[key] = found
        self._note_made(key)
        self._tell(key)

    @property
    def is_leading(self) -> bool:
        """Whether what is known here is the newest, and may be changed."""
        return self._term() is not None

    @property
    def unreadable(self) -> int:
        """How many of its keys were written by a newer version."""
        return len(self._unreadable)

    @property
    def is_whole(self) -> bool:
        """Whether all that the store holds is known here."""
        return self.is_loaded and not self.unreadable

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def lacks(self, key: str) -> bool:
        """Not even as a newer version wrote it."""
        return key not in self._held and key not in self._unreadable

    def protections(self) -> dict[str, Protection]:
        return {p.vm: p for p in self._all("protections", Protection)}

    def protection(self, vm: str) -> Protection | None:
        return self._one(f"protections/{vm}", Protection)

    def outlives(self, copy: Tenure, host: str) -> Protection | None:
        """How another host held the VM when it was unprotected, after this one's copy of before."""
        end = self._one(f"released/{copy.vm}", Released)
        held = end.held if end is not None and self.protection(copy.vm) is None else None
        if held is None or held.tenure.host == host:
            return None
        return held if held.tenure.generation > copy.generation else None

    def released(self, vm: str) -> int:
        """The highest generation that was released, or 0."""
        held = self._one(f"released/{vm}", Released)
        return held.generation if held else 0

    @property
    def store_id(self) -> str:
        held = self._one(STORE, StoreName)
        return held.id if held else ""

    @property
    def replaces(self) -> tuple[str, ...]:
        held = self._one(STORE, StoreName)
        return held.replaces if held else ()

    def groups(self) -> dict[str, Group]:
        """The default group is always there."""
        return {g.name: g for g in [DEFAULT_GROUP, *self._all("groups", Group)]}

    def known(self, host: str) -> Known | None:
        return self._one(f"agents/{host}", Known)

    def all_known(self) -> list[Known]:
        return list(self._all("agents", Known))

    def definition(self, vm: str) -> VmDefinition | None:
        return self._one(f"definitions/{vm}", VmDefinition)

    def fencing(self, host: str) -> HostFencing:
        """What is said of a host's fencing; nothing said: it is only reported."""
        return self._one(f"fencing/{host}", HostFencing) or HostFencing(host=host)

    def all_fencing(self) -> list[HostFencing]:
        """Of hosts of which anything is said."""
        return list(self._all("fencing", HostFencing))

    def rehearsal(self, host: str) -> Rehearsal | None:
        return self._one(f"rehearsals/{host}", Rehearsal)

    def fence(self, host: str) -> Fence | None:
        return self._one(f"fences/{host}", Fence)

    def fences(self) -> dict[str, Fence]:
        return {fence.host: fence for fence in self._all("fences", Fence)}

    def lease(self, host: str) -> HostLease | None:
        return self._one(f"leases/{host}", HostLease)

    def leases(self) -> list[HostLease]:
        return list(self._all("leases", HostLease))

    def recovery(self, vm: str) -> Recovery | None:
        return self._one(f"recoveries/{vm}", Recovery)

    def recoveries(self) -> dict[str, Recovery]:
        return {one.vm: one for one in self._all("recoveries", Recovery)}

    def migration(self, vm: str) -> Migration | None:
        return self._one(f"migrations/{vm}", Migration)

    def migrations(self) -> dict[str, Migration]:
        return {one.vm: one for one in self._all("migrations", Migration)}

    def drains(self) -> dict[str, Drain]:
        return {one.host: one for one in self._all("drains", Drain)}

    def predictions(self) -> dict[str, Prediction]:
        return {one.host: one for one in self._all("predictions", Prediction)}

    def templates(self) -> dict[str, Template]:
        """By group."""
        return {one.group: one for one in self._all("templates", Template)}

    def instance(self, vm: str) -> Instance | None:
        return self._one(f"instances/{vm}", Instance)

    def instances(self, group: str) -> list[Instance]:
        """Of one group, the oldest first."""
        found = (one for one in self._all("instances", Instance) if one.group == group)
        return sorted(found, key=lambda one: one.number)

    def tokens(self) -> dict[str, Token]:
        return {token.name: token for token in self._all("api-tokens", Token)}

    def disarm(self) -> Disarm | None:
        """None also once it has ended by itself."""
        return self._one(DISARM, Disarm) if self.disarm_left_ms() else None

    def disarm_left_ms(self) -> int:
        """Who heard it being made measures it from then: the clock of the controller that wrote
        its end may be another's. Who has only read it has nothing but that end."""
        held = self._one(DISARM, Disarm)
        if held is None:
            return 0
        if self._disarm_heard is not None and self._disarm_heard[0] == held:
            return round(max(0.0, elapsed_ms(clock.now(), self._disarm_heard[1])))
        return held.left_ms(clock.utc_ms())

    def _note_made(self, key: str) -> None:
        held = self._one(DISARM, Disarm) if key == DISARM else None
        if held is not None:
            lasts_ms = held.until_utc_ms - held.since_utc_ms
            self._disarm_heard = held, after(clock.now(), lasts_ms)

    async def change(self, wanted: Callable[[], Puts]) -> None:
        """Put what `wanted` says until it says nothing. Raises StoreAway, and what it raises."""
        async with self._changing:
            tries = 0
            while tries < TRIES:
                if self._term() is None:
                    raise NotLeading("this controller does not lead now: nothing was changed")
                puts = {k: v for k, v in wanted().items() if self._one(k, Struct) != v}
                if not puts:
                    return
                # In parts, where it is much: the same function says again what is left.
                if not await self._commit(dict(islice(puts.items(), MOST_KEYS))):
                    tries += 1
                    await self.load()
                elif len(puts) <= MOST_KEYS:
                    return
        raise StoreAway("the store refuses or loses every change; is another controller at work?")

    async def _commit(self, puts: Puts) -> bool:
        term = self._term()
        if term is None:
            raise NotLeading("this controller does not lead now: nothing was changed")
        done = await self._store.txn(
            holds={key: self._revision_of(key) for key in puts},
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
            self._note_made(key)
            self._tell(key)
        return True

    def _revision_of(self, key: str) -> int:
        return self._held[key][1] if key in self._held else 0

    def _tell(self, key: str) -> None:
        for hear in self.on_change:
            hear(key)

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
