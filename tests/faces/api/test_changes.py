"""A change that was begun is done to its end, though nobody waits for the answer any more."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import aiohttp

from holdfast.controller.events import Events
from holdfast.faces.api.callers import who_is_local
from holdfast.faces.api.listening import SOCKET, on_socket, running
from holdfast.faces.api.server import Served, make_app
from holdfast.faces.api.streams import Streams
from holdfast.facts.roles import Caller


async def change(folder: Path, client_limit_s: float | None) -> tuple[list[str], int]:
    """What was done, and the status that the client saw, or 0."""
    done: list[str] = []
    events = Events(folder / "events.db")
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def ask(name: str, args: dict[str, Any], caller: Caller) -> Any:
        done.append(f"{name} begun")
        begun.set()
        await may_end.wait()
        done.append(f"{name} done")
        return {}

    async def denied(*_: object) -> None:
        raise AssertionError("root may do all")

    served = Served(
        ask=ask, denied=denied, identify=who_is_local, streams=Streams(events), limit_s=0.5
    )
    status = 0
    async with running(make_app(served)) as runner, on_socket(runner, folder / SOCKET):
        connector = aiohttp.UnixConnector(str(folder / SOCKET))
        limit = aiohttp.ClientTimeout(total=client_limit_s)
        async with aiohttp.ClientSession("http://x", connector=connector, timeout=limit) as session:
            with contextlib.suppress(TimeoutError):
                async with session.post("/v1/arm") as answer:
                    status = answer.status
        await begun.wait()
        may_end.set()
        async with asyncio.timeout(5):
            while len(done) < 2:  # noqa: ASYNC110  It has no other sign.
                await asyncio.sleep(0.01)
    events.close()
    return done, status


def test_when_the_client_goes_away(tmp_path: Path) -> None:
    done, status = asyncio.run(change(tmp_path, 0.1))
    assert (done, status) == (["arm begun", "arm done"], 0)


def test_when_it_takes_longer_than_an_answer_may(tmp_path: Path) -> None:
    done, status = asyncio.run(change(tmp_path, None))
    assert (done, status) == (["arm begun", "arm done"], 504)
