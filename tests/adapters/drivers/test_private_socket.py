"""A socket is its owner's from its first instant, and the umask of the program is left alone."""

import asyncio
import contextlib
import os
import stat
from pathlib import Path

import pytest
from websockets.asyncio.client import unix_connect
from websockets.asyncio.server import ServerConnection

from holdfast.adapters.drivers.private_socket import bind_private, private_socket


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_only_its_owner_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.sock"
    with bind_private(path):
        assert mode(path) == 0o600
        assert mode(path.parent) == 0o700


def test_many_at_once_leave_the_umask_as_it_was(tmp_path: Path) -> None:
    async def echo(link: ServerConnection) -> None:
        async for raw in link:
            await link.send(raw)

    async def one(path: Path) -> None:
        async with private_socket(path, echo, 1_000):
            await asyncio.sleep(0.01)
            async with unix_connect(str(path), uri="ws://localhost/") as link:
                await link.send("hello")
                assert await link.recv() == "hello"
        assert not path.exists()

    async def story() -> None:
        paths = [tmp_path / f"{number}.sock" for number in range(5)]
        paths[0].write_text("left by another")
        await asyncio.gather(*map(one, paths))

    before = umask()
    asyncio.run(story())
    assert umask() == before


@pytest.mark.parametrize("steps", range(4))
def test_an_end_while_it_begins_leaves_nothing_open(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "door" / "controller.sock"

    async def work() -> None:
        async def hold() -> None:
            async with private_socket(path, _serve_nobody, 1_024):
                await asyncio.sleep(60)

        task = asyncio.create_task(hold())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    before = len(os.listdir("/proc/self/fd"))
    asyncio.run(work())
    assert len(os.listdir("/proc/self/fd")) == before


async def _serve_nobody(_: ServerConnection) -> None:
    raise AssertionError("nobody comes")
