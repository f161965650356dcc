"""Run something for ever: again after it failed, and say that it did."""

import asyncio
from collections.abc import Awaitable, Callable

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0


async def keep_running(
    work: Callable[[], Awaitable[None]], say: Callable[[str, BaseException | None], None], name: str
) -> None:
    """Never returns by itself; ends when cancelled. `say` hears of each end of `work`."""
    wait_s = FIRST_WAIT_S
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        failure: BaseException | None = None
        try:
            await work()
        except Exception as error:  # noqa: BLE001  Whatever it was, it is said and tried again.
            failure = error
        say(name, failure)
        ran_long = loop.time() - began > LONGEST_WAIT_S
        wait_s = FIRST_WAIT_S if ran_long else min(wait_s * 2, LONGEST_WAIT_S)
        await asyncio.sleep(wait_s)
