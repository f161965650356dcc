"""Run something for ever, ahead of the guests: again after it failed, and say that it did."""

import asyncio
import contextlib
import os
import resource
from collections.abc import Awaitable, Callable

FIRST_WAIT_S = 0.1
AHEAD = -10  # Nice value: before guests and ordinary work, behind what is real-time.
LONGEST_WAIT_S = 10.0


def come_first() -> None:
    """Let this program run before the guests it watches, where that is permitted. Threads and
    processes made later inherit it."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, AHEAD)


def open_many_files() -> None:
    """A thousand links are more files than a program may usually open: take what is permitted."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def fall_back(pid: int) -> None:
    """Somebody else's program, run by us, has no claim to that."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpriority(os.PRIO_PROCESS, pid, 0)


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
