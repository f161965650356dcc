"""A notifier in memory: what it was told, and the ways in which it can fail to be told."""

import asyncio

from holdfast.ports.notifier import Notice, NotifyFailed, NotifyRefused


class NotifierInMemory:
    """See ports.notifier.Notifier. `loses_answers`: it has the notice, and its answer is lost."""

    def __init__(self, name: str = "memory", heartbeat_s: float = 0.0) -> None:
        self.name = name
        self.heartbeat_s = heartbeat_s
        self.told: list[Notice] = []
        self.is_away = False
        self.refuses: set[int] = set()  # Sequences.
        self.loses_answers = 0
        self.delay_s = 0.0

    async def notify(self, notice: Notice) -> None:
        await asyncio.sleep(self.delay_s)
        if self.is_away:
            raise NotifyFailed("it is away, as it was told to be")
        if notice.sequence in self.refuses:
            raise NotifyRefused("it will not have this one")
        self.told.append(notice)
        if self.loses_answers:
            self.loses_answers -= 1
            raise NotifyFailed("its answer was lost")

    async def close(self) -> None:
        pass
