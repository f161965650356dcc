"""A mender in memory: it does, refuses or hangs, as it was told."""

import asyncio

from holdfast.facts.actions import TryRepair
from holdfast.ports.mender import MendFailed


class MenderInMemory:
    """`refusal` is why it fails; `hangs`: it never ends by itself."""

    def __init__(self) -> None:
        self.refusal, self.hangs = "", False
        self.asked: list[TryRepair] = []

    async def mend(self, asked: TryRepair) -> str:
        self.asked.append(asked)
        if self.hangs:
            await asyncio.sleep(asked.limit_ms / 1_000)
            raise TimeoutError
        if self.refusal:
            raise MendFailed(self.refusal)
        return f"did {asked.step.name}"
