"""An act on the hardware as a step of a repair: within its limit, and in a mender's words."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from holdfast.adapters.drivers.hardware_repairs import RepairFailed, Repairs
from holdfast.facts.actions import TryRepair
from holdfast.ports.mender import MendFailed

# Of the limit, so that what was waited for in vain can still be said, and by us.
OF_ONE_WAIT, OF_ALL = 0.4, 0.9


async def carry_out(
    asked: TryRepair, repairs: Repairs, act: Callable[[Repairs], Awaitable[str]]
) -> str:
    """Raises MendFailed, TimeoutError."""
    limit_s = asked.limit_ms / 1_000
    try:
        async with asyncio.timeout(limit_s * OF_ALL):
            return await act(replace(repairs, limit_s=limit_s * OF_ONE_WAIT))
    except RepairFailed as reason:
        raise MendFailed(str(reason)) from None
