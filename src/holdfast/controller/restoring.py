"""A store that came out of a backup becomes one of its own, in which nothing is taken for granted.

Agents count terms within one store: under its old name they would refuse a restored one, whose
terms are lower than those they heard. And it does not know what was agreed after the backup.
"""

import uuid
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from holdfast.controller import restored_hosts
from holdfast.controller.registry import STORE, Known, StoreName
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.membership import CONTROLLERS, JOINS, JoinToken
from holdfast.facts.migrations import Migration
from holdfast.facts.promises import Protection
from holdfast.facts.settings import ControllerPlace
from holdfast.policy import tenures
from holdfast.policy.site_world import is_of_lease
from holdfast.ports.store import MOST_KEYS, Held, Store, StoreAway, TxnResult

PROTECTIONS = "protections"
HOSTS = "agents"
FENCES = "fences"
MIGRATIONS = "migrations"
LEASES = "leases"

Kind = TypeVar("Kind", bound=Struct)


class Restored(Struct, frozen=True, kw_only=True):
    """What was made of it. `others` are the controllers that belong to the site no more,
    `moving` the VMs that were on their way to another host."""

    store_id: str
    promises: int
    tokens: int
    others: tuple[str, ...]
    moving: tuple[str, ...] = ()


async def restore(store: Store, place: ControllerPlace | None, utc_ms: int) -> Restored:
    """Nobody else may use the store meanwhile. `place` is this controller, the only one from now
    on. The name comes last: until then no agent obeys, and all can be done again.

    Raises StoreAway, also for what is empty, or was written by a newer version.
    """
    held = await store.list("")
    if STORE not in held:
        raise StoreAway("it has no name, as an empty one has none: is this the right backup?")
    name = _read(STORE, held, StoreName)
    promises = _promises(held)
    tokens = _tokens(held, utc_ms)
    others = _others(held, place)
    forgotten: dict[str, Struct | None] = {**others, **_leases(held)}
    doubted = {**_fences(held), **_hosts(held)}
    puts: dict[str, Struct | None] = {**promises, **tokens, **forgotten, **doubted}
    if place is not None:
        puts[f"{CONTROLLERS}/{place.name}"] = place
    keys = sorted(puts)
    for first in range(0, len(keys), MOST_KEYS):
        await _put(store, held, {key: puts[key] for key in keys[first : first + MOST_KEYS]})
    anew = StoreName(id=uuid.uuid4().hex, replaces=(*name.replaces, name.id))
    await _put(store, held, {STORE: anew})
    return Restored(
        store_id=anew.id,
        promises=len(promises),
        tokens=len(tokens),
        others=tuple(key.partition("/")[2] for key in sorted(others)),
        moving=tuple(sorted(_moving(held))),
    )


def _promises(held: Mapping[str, Held]) -> dict[str, Protection]:
    """A VM may have been unprotected since, and given to another host."""
    found = {}
    for key in _under(PROTECTIONS, held):
        one = _read(key, held, Protection)
        if one.tenure.boot:
            found[key] = structs.replace(one, tenure=tenures.restored(one.tenure))
    return found


def _hosts(held: Mapping[str, Held]) -> dict[str, Known]:
    return {key: restored_hosts.as_restored(_read(key, held, Known)) for key in _under(HOSTS, held)}


def _moving(held: Mapping[str, Held]) -> list[str]:
    """They are left as they are: whose they are both ends must say (restored_moves.py)."""
    moves = (_read(key, held, Migration) for key in _under(MIGRATIONS, held))
    return [one.name for one in moves if one.is_open]


def _fences(held: Mapping[str, Held]) -> dict[str, Fence]:
    """Who was to be switched off then may have been mended since, and run what it should."""
    read = {key: _read(key, held, Fence) for key in _under(FENCES, held)}
    return {
        key: structs.replace(one, step=FenceStep.CLOSED)
        for key, one in read.items()
        if one.step is FenceStep.INTENDED
        or (one.step is FenceStep.OFF and is_of_lease(one))  # Its boot may have lived on.
    }


def _leases(held: Mapping[str, Held]) -> dict[str, None]:
    """What relied on them may be another VM by now: none counts until its host says so anew."""
    return dict.fromkeys(_under(LEASES, held))


def _tokens(held: Mapping[str, Held], utc_ms: int) -> dict[str, JoinToken]:
    """They may have been used since, and serve once."""
    found = {}
    for key in _under(JOINS, held):
        one = _read(key, held, JoinToken)
        if not one.used_by and not one.revoked_utc_ms and one.until_utc_ms > utc_ms:
            found[key] = structs.replace(one, revoked_utc_ms=utc_ms)
    return found


def _others(held: Mapping[str, Held], place: ControllerPlace | None) -> dict[str, None]:
    """Their stores are not of this one's cluster: whoever asked them would get other answers."""
    own = f"{CONTROLLERS}/{place.name}" if place is not None else ""
    return {key: None for key in _under(CONTROLLERS, held) if place is not None and key != own}


def _under(folder: str, held: Mapping[str, Held]) -> list[str]:
    return [key for key in held if key.startswith(f"{folder}/")]


def _read(key: str, held: Mapping[str, Held], kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(held[key].value, type=kind)
    except msgspec.MsgspecError:
        raise StoreAway(f"{key} was written by a newer version of Holdfast") from None


async def _put(store: Store, held: Mapping[str, Held], puts: Mapping[str, Struct | None]) -> None:
    done = await store.txn(
        holds={key: held[key].revision if key in held else 0 for key in puts},
        puts={k: None if one is None else msgspec.json.encode(one) for k, one in puts.items()},
    )
    if done.result is not TxnResult.COMMITTED:
        raise StoreAway(f"a change was not written ({done.result}); type the command again")
