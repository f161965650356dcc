"""Something that passes alarms on, in order: a webhook, a program. The VIM keeps; this tells."""

from typing import Protocol

from msgspec import Struct

from holdfast.facts.alarms import AlarmRecord

REASON_CHARACTERS = 200


class NotifyFailed(Exception):
    """It did not arrive; the text says why. It is tried again, in order.

    What a receiver says of itself may be anything: it is cut to a line that a person can read.
    """

    def __init__(self, reason: str) -> None:
        line = "".join(c if c.isprintable() else " " for c in reason[:REASON_CHARACTERS])
        super().__init__(line.strip())


class NotifyRefused(NotifyFailed):
    """It arrived, and the receiver will not have this very one: a repeat cannot help."""


class Notice(Struct, frozen=True, kw_only=True):
    """What is passed on: a sequence without holes per `stream`, so that a gap is visible.

    `record` is None in a heartbeat, which is sent so that silence is noticed.
    """

    stream: str
    sequence: int
    host: str
    record: AlarmRecord | None = None
    gap: int = 0


class Notifier(Protocol):
    name: str
    heartbeat_s: float  # 0: none.

    async def notify(self, notice: Notice) -> None:
        """Return when it has arrived. Raises NotifyFailed, NotifyRefused, within bounded time."""
        ...

    async def close(self) -> None: ...
