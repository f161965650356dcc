"""What goes through a migration's tunnel comes out whole, and only between the two hosts named.

covers: H2
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.adapters.drivers.authority import Authority
from holdfast.adapters.drivers.worker_link import Worker
from tests.adapters.drivers.test_certificates import host
from tests.ports import free_port

MODULE = "holdfast.adapters.drivers.migration_tunnel"
HERE = "127.0.0.1"
LIMIT_S = 30.0
BYTES = 3_000_000


class End:
    """A tunnel's process, and what it says."""

    def __init__(self, *args: str) -> None:
        self.said: asyncio.Queue[Any] = asyncio.Queue()
        self.worker = Worker(MODULE, list(args), self.said.put_nowait)

    async def next(self) -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await self.said.get()


@contextlib.asynccontextmanager
async def ends(
    folder: Path, *, source: str = "b", lets_in: str = "id-a", wants: str = "id-b"
) -> AsyncIterator[tuple[End, End, Path]]:
    """The target's end lets `lets_in` in, the source's wants `wants`; behind the target's is a
    program that sends back what it gets. The third is the door at the source."""
    site, other = Authority.make("a site"), Authority.make("another site")
    for name in ("a", "b"):
        host(folder, site, name)
    host(folder, other, "x")
    libvirt, door = folder / "libvirt.sock", folder / "door.sock"
    server = await asyncio.start_unix_server(_echo, str(libvirt))
    port = str(free_port((HERE,)))
    target = End("receive", str(folder / "b"), lets_in, HERE, port, str(libvirt))
    tls = folder / ("x" if source == "x" else "a")
    sender = End("send", str(tls), wants, HERE, port, str(door))
    try:
        for end in (target, sender):
            await end.worker.start()
            assert await end.next() == {"port": int(port)}
        yield target, sender, door
    finally:
        server.close()
        for end in (target, sender):
            await end.worker.kill()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def talk(door: Path, said: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(door))
    try:
        async with asyncio.timeout(LIMIT_S):
            sending = asyncio.ensure_future(_send(writer, said))
            heard = b""
            with contextlib.suppress(ConnectionResetError):
                while len(heard) < len(said) and (piece := await reader.read(65_536)):
                    heard += piece
            sending.cancel()
            return heard
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, said: bytes) -> None:
    with contextlib.suppress(OSError):
        writer.write(said)
        await writer.drain()


def test_it_carries_both_ways_at_once_and_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        said = bytes(range(256)) * (BYTES // 256)
        async with ends(tmp_path) as (_, _, door):
            assert door.stat().st_mode & 0o777 == 0o600, "only root comes in at this end"
            both = await asyncio.gather(talk(door, said), talk(door, said[::-1]))
        assert list(both) == [said, said[::-1]]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lets_in": "id-c"}, "host id-c shows the certificate of a"),
        ({"source": "x"}, "certificate is of another site"),
    ],
)
def test_the_target_lets_in_only_the_host_that_is_named(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    async def story() -> None:
        async with ends(tmp_path, **changes) as (target, sender, door):
            assert await talk(door, b"hello") == b""
            said = [(await (sender if "source" in changes else target).next())["error"]]
            assert any(words in one for one in said), said

    asyncio.run(story())


def test_the_source_tells_nothing_to_another_host_than_the_one_named(tmp_path: Path) -> None:
    async def story() -> None:
        async with ends(tmp_path, wants="id-c") as (_, sender, door):
            assert await talk(door, b"secret") == b""
            assert "host id-c shows the certificate of b" in (await sender.next())["error"]

    asyncio.run(story())


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async def story() -> None:
        host(tmp_path, Authority.make("a site"), "b")
        with socket.create_server((HERE, 0)) as taken:
            port = str(taken.getsockname()[1])
            end = End("receive", str(tmp_path / "b"), "id-a", HERE, port, "/nowhere")
            await end.worker.start()
            assert "in use" in (await end.next())["error"]
            await end.worker.kill()

    asyncio.run(story())
