"""More connections than are served: the rest is told so, and the controller keeps its files."""

import asyncio
import json
import os
import resource
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.faces.api.accepting import MOST_CONNECTIONS, MOST_FROM_ONE
from holdfast.faces.api.listening import SOCKET
from holdfast.facts.roles import Role
from tests.controller.fake_agent import wait_for
from tests.faces.api.site import api

TRIED = 3_000


@pytest.fixture(autouse=True)
def _limits_as_before() -> Iterator[None]:
    kept = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (kept[1], kept[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, kept)


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
def test_three_thousand_connections_on_the_host_are_bounded(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            path = str(tmp_path / "run" / SOCKET)
            before = files()
            held = [socket.socket(socket.AF_UNIX) for _ in range(TRIED)]
            try:
                for one in held:
                    one.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(one, path)
                    await asyncio.sleep(0)
                told = []
                for one in held:
                    try:
                        if raw := one.recv(4_096):
                            told.append(json.loads(raw.partition(b"\r\n\r\n")[2]))
                    except BlockingIOError:
                        continue
                assert len(told) >= TRIED - MOST_CONNECTIONS - 512, "all but served and queued"
                assert {one["code"] for one in told} == {3}
                assert "no more are served" in told[0]["error"]
                assert files() - before < TRIED + MOST_CONNECTIONS + 50
                async with site.there(await site.token(Role.SEE)) as session:
                    assert (await session.get("/v1/status")).status == 200, "another way in"
            finally:
                for one in held:
                    one.close()
            await wait_for(lambda: files() < before + 50)
            async with site.here() as session:
                assert (await session.get("/v1/status")).status == 200

    asyncio.run(work())


@pytest.mark.slow
def test_connections_that_never_begin_tls_are_counted_too(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            before = files()
            held = []
            try:
                for _ in range(TRIED // 2):
                    one = socket.socket()
                    held.append(one)
                    one.setblocking(False)
                    address = ("127.0.0.1", site.port)
                    await asyncio.get_running_loop().sock_connect(one, address)
                    await asyncio.sleep(0)
                await asyncio.sleep(0.5)  # So that all that waits in the queue is taken.
                assert files() - before < TRIED // 2 + MOST_CONNECTIONS + 50
                async with site.here() as session:
                    assert (await session.get("/v1/status")).status == 200, "another way in"
            finally:
                for one in held:
                    one.close()
            token = await site.token(Role.SEE)

            async def is_served() -> bool:
                try:
                    async with site.there(token) as session:
                        return (await session.get("/v1/health")).status == 200
                except (OSError, ssl.SSLError):
                    return False

            async with asyncio.timeout(20):
                while not await is_served():  # noqa: ASYNC110  Only asking tells.
                    await asyncio.sleep(0.1)

    asyncio.run(work())


@pytest.mark.slow
def test_one_address_does_not_keep_the_others_out(tmp_path: Path) -> None:
    async def work() -> None:
        async with api(tmp_path) as site:
            loop = asyncio.get_running_loop()
            held = []
            try:
                for _ in range(MOST_CONNECTIONS + 100):
                    one = socket.socket()
                    held.append(one)
                    one.setblocking(False)
                    one.bind(("127.0.0.9", 0))
                    await loop.sock_connect(one, ("127.0.0.1", site.port))
                    await asyncio.sleep(0)
                await wait_for(lambda: sum(not _is_closed(one) for one in held) <= MOST_FROM_ONE)
                async with site.there(await site.token(Role.SEE)) as session:
                    assert (await session.get("/v1/status")).status == 200
            finally:
                for one in held:
                    one.close()

    asyncio.run(work())


def _is_closed(one: socket.socket) -> bool:
    try:
        return one.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
