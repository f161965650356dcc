"""Where the truth about VMs is kept, shaped like its hardest adapter (etcd).

Keys are paths, values bytes. Every key has the revision of its last change; a key that does not
exist has revision 0. Pulses, observations and recordings never enter the store.
"""

from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

MOST_KEYS = 100  # In one transaction, on either side: etcd takes no more than 128.


class Held(Struct, frozen=True, kw_only=True):
    value: bytes
    revision: int


class TxnResult(StrEnum):
    COMMITTED = "committed"
    REFUSED = "refused"  # A condition did not hold, or the term is not ours any more.
    UNKNOWN = "unknown"  # It may or may not have happened: read again.


class Txn(Struct, frozen=True, kw_only=True):
    result: TxnResult
    revision: int = 0


class Changed(Struct, frozen=True, kw_only=True):
    """`value` is None where the key was deleted."""

    key: str
    value: bytes | None
    revision: int


class WatchLost(Struct, frozen=True, kw_only=True):
    """Changes may have been missed: read all."""

    reason: str


class StoreAway(Exception):
    """The store does not answer. Nothing is known about what was asked of it."""


class Store(Protocol):
    async def begin_term(self, owner: str, lease_ms: int) -> int | None:
        """Become the leader; the term, or None while another holds it. Raises StoreAway."""
        ...

    async def keep_term(self, term: int) -> bool:
        """Renew the lease. False: deposed. A leader counts its lease from when it *sent* this."""
        ...

    async def end_term(self, term: int) -> None: ...

    async def leader(self) -> str:
        """The owner of the present term, or empty. Raises StoreAway."""
        ...

    async def wait_vacant(self) -> None:
        """Return once nobody holds the term; it may return early. Raises StoreAway."""
        ...

    async def newest(self) -> int:
        """The revision of the newest change of all. Raises StoreAway.

        Ask for it before `list`, and `watch` from it: nothing is missed, something may be repeated.
        """
        ...

    async def get(self, key: str) -> Held | None: ...

    async def list(self, prefix: str) -> dict[str, Held]: ...

    async def txn(
        self,
        *,
        holds: Mapping[str, int],
        puts: Mapping[str, bytes | None],
        term: int | None = None,
    ) -> Txn:
        """If every key in `holds` has that revision (0: absent) and `term`, where given, is the
        current one, write `puts` (None deletes) at one revision."""
        ...

    def watch(self, prefix: str, after_revision: int) -> AsyncIterator[Changed | WatchLost]: ...

    async def close(self) -> None: ...
