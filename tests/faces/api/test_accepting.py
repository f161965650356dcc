"""A connection that comes while the API ends is closed, and is no error in the loop."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from holdfast.faces.api.accepting import accepting


def closed(caller: socket.socket) -> bool:
    try:
        return caller.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("steps", range(8))
def test_the_end_at_any_step_of_an_opening_is_quiet(tmp_path: Path, steps: int) -> None:
    noise: list[dict[str, Any]] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: noise.append(what))
        runner = web.AppRunner(web.Application())
        await runner.setup()
        path = str(tmp_path / "door")
        with (
            socket.socket(socket.AF_UNIX) as listener,
            socket.socket(socket.AF_UNIX) as caller,
        ):
            listener.bind(path)
            listener.listen()
            async with accepting(runner, listener):
                await asyncio.sleep(0)
                caller.connect(path)
                for _ in range(steps):
                    await asyncio.sleep(0)
            await runner.cleanup()
            await asyncio.sleep(0)
            listener.close()
            caller.settimeout(1.0)
            assert closed(caller)

    asyncio.run(work())
    assert noise == []
