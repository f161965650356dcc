"""What agent and pulse of a host tell each other of its lease, on a board. Standard library only.

Instants are nanoseconds of the host's monotonic clock.
"""

from typing import NamedTuple, Protocol

from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.lease_times import END_MS


class Armed(NamedTuple):
    """The agent's: whether VMs rely on the lease, which holds until then without a grant."""

    epoch: int = 0
    is_armed: bool = False
    until: int = 0


class Held(NamedTuple):
    """The pulse's: until when the newest grant holds, in which epoch it came; and for which word
    of the agent the watchdog is open, with which time-out (0: it is closed)."""

    until: int = 0
    granted_epoch: int = 0
    seen_epoch: int = 0
    watchdog_ms: int = 0


class LeaseBoard(Protocol):
    """Each has one writer. A boot begins with an empty one; a process that ends leaves its word."""

    def armed(self) -> Armed: ...

    def arm(self, word: Armed) -> None: ...

    def held(self) -> Held: ...

    def hold(self, word: Held) -> None: ...

    def gone_for(self) -> int: ...

    def say_gone(self, end: int) -> None:
        """The agent's: of the lease that ended then, nothing that relied on it is left."""
        ...


def lease_end(armed: Armed, held: Held) -> int:
    return max(armed.until, held.until)


def may_pet(armed: Armed, held: Held, gone_for: int, at: int) -> bool:
    """While the lease holds; a bounded time longer, in which the agent ends what relies on it; and
    from then on only if the agent showed that nothing of it is left."""
    end = lease_end(armed, held)
    return at < end + END_MS * NS_PER_MS or gone_for == end
