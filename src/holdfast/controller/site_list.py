"""What the store knows of the site's members, as this controller last read it.

Tokens and certificates are changed by compare-and-swap of one key, so that any controller may
take a host in; no term is needed for that.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Struct

from holdfast.facts.membership import CERTIFICATES, CONTROLLERS, JOINS, Issued, JoinToken
from holdfast.facts.settings import ControllerPlace
from holdfast.ports import clock
from holdfast.ports.store import Store, StoreAway, TxnResult

TRIES = 5
INSIST_S, AGAIN_S = 20, 0.5
NS_PER_S = 1_000_000_000
Kind = TypeVar("Kind", bound=Struct)


def utc_ms() -> int:
    return clock.utc_ms()


class SiteList:
    def __init__(self, store: Store) -> None:
        self._store = store
        self.tokens: dict[str, JoinToken] = {}
        self.issued: dict[str, Issued] = {}
        self.controllers: dict[str, ControllerPlace] = {}
        self.is_read = False

    async def read(self) -> None:
        """Raises StoreAway."""
        self.tokens = await self._all(JOINS, JoinToken)
        self.issued = await self._all(CERTIFICATES, Issued)
        self.controllers = await self._all(CONTROLLERS, ControllerPlace)
        self.is_read = True

    @property
    def revoked(self) -> frozenset[str]:
        return frozenset(one.serial for one in self.issued.values() if one.revoked_utc_ms)

    def valid(self) -> list[Issued]:
        """The certificates that open something now."""
        now = utc_ms()
        return [
            one for one in self.issued.values() if not one.revoked_utc_ms and one.ends_utc_ms > now
        ]

    async def get(self, folder: str, name: str, kind: type[Kind]) -> Kind | None:
        """One of them, as the store has it now. Raises StoreAway."""
        held = await self._store.get(f"{folder}/{name}")
        return None if held is None else msgspec.json.decode(held.value, type=kind)

    async def change(
        self, folder: str, name: str, kind: type[Kind], wanted: Callable[[Kind | None], Kind | None]
    ) -> Kind | None:
        """Put what `wanted` makes of what is there; None deletes. Raises StoreAway, and its own."""
        key = f"{folder}/{name}"
        for _ in range(TRIES):
            held = await self._store.get(key)
            before = None if held is None else msgspec.json.decode(held.value, type=kind)
            after = wanted(before)
            if after == before:
                return after
            value = None if after is None else msgspec.json.encode(after)
            revision = held.revision if held else 0
            done = await self._store.txn(holds={key: revision}, puts={key: value})
            if done.result is TxnResult.COMMITTED:
                await self.read()
                return after
        raise StoreAway("the store refuses or loses every change")

    async def insist(
        self, folder: str, name: str, kind: type[Kind], wanted: Callable[[Kind | None], Kind | None]
    ) -> None:
        """Likewise, for what may be done twice: a store without a leader is waited for."""
        deadline = clock.now() + INSIST_S * NS_PER_S
        while True:
            try:
                await self.change(folder, name, kind, wanted)
                return
            except StoreAway:
                if clock.now() > deadline:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def _all(self, folder: str, kind: type[Kind]) -> dict[str, Kind]:
        """What cannot be read was written by a newer version: it is left alone."""
        found = {}
        for key, held in (await self._store.list(f"{folder}/")).items():
            try:
                found[key.partition("/")[2]] = msgspec.json.decode(held.value, type=kind)
            except msgspec.MsgspecError:
                continue
        return found
