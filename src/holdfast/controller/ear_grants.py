"""The ear's part in leases: it answers pulses with grants, as far as the leader lets it.

It may do so for a moment only: without a new word of the leader's loop it grants nothing.
"""

import struct
from collections.abc import Callable
from typing import Any

from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.lease_times import GRANT_AGAIN_MS
from holdfast.facts.pulse import Grant, Names, encode_grant

Sender = tuple[str, int]
_NUMBERS = struct.Struct("!QQ")
_AGAIN_NS = GRANT_AGAIN_MS * NS_PER_MS


class EarGrants:
    """`until` is the end of the leader's word, on this host's clock."""

    def __init__(self) -> None:
        self.hosts: dict[str, tuple[str, int]] = {}  # Boot and epoch of those to be granted.
        self._until = 0
        self._granted_at: dict[tuple[str, str], int] = {}
        self._waiting: list[tuple[str, Sender, bytes]] = []

    @property
    def are_waiting(self) -> bool:
        return bool(self._waiting)

    def told(self, message: dict[str, Any]) -> None:
        self._until = int(message["until"])
        self.hosts = {name: (boot, epoch) for name, (boot, epoch) in message["hosts"].items()}
        lines = list(self._granted_at)
        for line in [one for one in lines if one[0] not in self.hosts]:
            del self._granted_at[line]

    def note(
        self, names: Names, key: bytes, data: bytes, body_at: int, sender: Sender, at: int
    ) -> None:
        """A pulse was heard at `at` that is newer than any before it."""
        boot, epoch = self.hosts[names.host]
        line = (names.host, names.plane)
        if boot != names.boot or at - self._granted_at.get(line, -_AGAIN_NS) < _AGAIN_NS:
            return
        self._granted_at[line] = at
        sequence, sent_ns = _NUMBERS.unpack_from(data, body_at)
        grant = encode_grant(Grant(names, sequence, sent_ns, epoch), key)
        self._waiting.append((names.plane, sender, grant))

    def send(self, answer: Callable[[str, Sender, bytes], None], at: int) -> None:
        """`at` is now, and not when the pulses came: a word that is over grants nothing."""
        waiting, self._waiting = self._waiting, []
        for plane, sender, grant in waiting:
            if at < self._until:
                answer(plane, sender, grant)
