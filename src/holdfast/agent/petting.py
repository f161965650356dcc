"""The pulse's part in a lease: it takes grants, and pets the watchdog while it may.

Nothing is decided here that could be decided late: each pulse looks at the board anew. Standard
library and `facts` only.
"""

from collections.abc import Callable

from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.lease_times import LEASE_MS, WATCHDOG_MS
from holdfast.facts.lease_words import LeaseBoard, may_pet
from holdfast.facts.pulse import PulseRefused, decode_grant
from holdfast.ports.watchdog import Watchdog, WatchdogRefused


class Petting:
    """`say` tells whoever started the pulse. It is made anew with each process of the pulse: what
    must outlive it is on the board."""

    def __init__(
        self,
        board: LeaseBoard,
        watchdog: Watchdog,
        *,
        host: str,
        boot: str,
        key: bytes,
        say: Callable[[str], None],
    ) -> None:
        self._board, self._watchdog, self._say = board, watchdog, say
        self._host, self._boot, self._key = host, boot, key
        self._is_open = False
        self._trouble = ""

    def granted(self, data: bytes, at: int) -> None:
        """From the leader. What is not for this boot, or not signed, is not there. The lease runs
        from when the pulse was sent that it answers, however late it comes."""
        try:
            grant = decode_grant(data, self._key)
        except PulseRefused:
            return
        names = grant.names
        if (names.host, names.boot) != (self._host, self._boot) or grant.sent_ns > at:
            return
        held = self._board.held()
        granted = held._replace(
            until=max(held.until, grant.sent_ns + LEASE_MS * NS_PER_MS),
            granted_epoch=max(held.granted_epoch, grant.epoch),
        )
        if granted != held:
            self._board.hold(granted)

    def look(self, at: int) -> None:
        """With each pulse: have the watchdog open or closed as the agent says, and pet it."""
        try:
            self._look(at)
        except ValueError as damaged:  # An open watchdog is not petted on a word nobody can read.
            self._complain(str(damaged))

    def _look(self, at: int) -> None:
        armed, held = self._board.armed(), self._board.held()
        if not armed.is_armed:
            # Left open by a pulse before this one: until it is closed it bites.
            if held.watchdog_ms and not self._is_open and not self._open():
                return
            self._stop()
            if (held.seen_epoch, held.watchdog_ms) != (armed.epoch, 0):
                self._board.hold(held._replace(seen_epoch=armed.epoch, watchdog_ms=0))
            return
        if not may_pet(armed, held, self._board.gone_for(), at):
            return
        if not self._is_open:
            watchdog_ms = self._open()
            held = held._replace(seen_epoch=armed.epoch, watchdog_ms=watchdog_ms)
            self._board.hold(held)
        elif held.seen_epoch != armed.epoch:
            self._board.hold(held._replace(seen_epoch=armed.epoch))
        if self._is_open:
            self._watchdog.pet()

    def _open(self) -> int:
        try:
            watchdog_ms = self._watchdog.open(WATCHDOG_MS)
        except WatchdogRefused as refused:
            self._complain(str(refused))
            return 0
        self._is_open, self._trouble = True, ""
        return watchdog_ms

    def _complain(self, trouble: str) -> None:
        if self._trouble != trouble:
            self._trouble = trouble
            self._say(f"no VM can rely on a lease here: {trouble}")

    def _stop(self) -> None:
        if self._is_open:
            self._watchdog.close()
            self._is_open = False
