"""Losses of records are counted where they happen; here they become observations."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from holdfast.agent.loop import now
from holdfast.facts.observations import Observation, PieceLost

PERIOD_S = 2.0


class Counted(Protocol):
    @property
    def count(self) -> int: ...

    @property
    def reason(self) -> str: ...


async def watch_losses(
    losses: Mapping[str, Callable[[], Counted]], see: Callable[[Observation], None]
) -> None:
    """Say what was lost since it was last said, every few seconds, until cancelled."""
    said = dict.fromkeys(losses, 0)
    while True:
        for what, read in losses.items():
            lost = read()
            if lost.count > said[what]:
                news = lost.count - said[what]
                said[what] = lost.count
                see(PieceLost(at=now(), what=what, count=news, reason=lost.reason))
        await asyncio.sleep(PERIOD_S)
