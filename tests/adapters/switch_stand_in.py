"""A stand-in for Open vSwitch: its database and a bridge's OpenFlow, on sockets in a folder."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from holdfast.facts.observations import Observation

LIMIT_S = 10.0
COLUMNS = {
    "Bridge": ["name", "ports"],
    "Port": ["name", "interfaces"],
    "Interface": ["name", "type", "link_state", "error", "bfd", "bfd_status", "external_ids"],
    "Open_vSwitch": ["bridges", "ovs_version"],
}


def first_state(interface: str = "eth9", **columns: Any) -> dict[str, Any]:
    """One bridge with one port."""
    row = {"name": interface, "type": "", "link_state": "up", "error": ["set", []], **columns}
    row |= {"bfd": ["map", []], "bfd_status": ["map", []], "external_ids": ["map", []]} | columns
    return {
        "Open_vSwitch": {"o": {"new": {"bridges": ["uuid", "b"], "ovs_version": "3.1.0"}}},
        "Bridge": {"b": {"new": {"name": "br", "ports": ["uuid", "p"]}}},
        "Port": {"p": {"new": {"name": interface, "interfaces": ["uuid", "i"]}}},
        "Interface": {"i": {"new": row}},
    }


class Seen(list[Observation]):
    """What a sensor saw, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def append(self, one: Observation) -> None:
        super().append(one)
        self._news.set()

    async def until(self, is_so: Callable[["Seen"], bool]) -> None:
        """Wait, within a limit, until this is so of all that was seen."""
        async with asyncio.timeout(LIMIT_S):
            while not is_so(self):
                self._news.clear()
                await self._news.wait()

    async def until_one(self, is_so: Callable[[Observation], bool]) -> Observation:
        """The first that is so."""
        await self.until(lambda seen: any(map(is_so, seen)))
        return next(one for one in self if is_so(one))


class SwitchStandIn:
    """Its database is at `path`. `flows` is what the bridge `br` says that it has."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "db.sock"
        self.state = first_state()
        self.columns = {table: list(names) for table, names in COLUMNS.items()}
        self.flows: dict[int | None, int] = {None: 5}
        self.hello = b"\x05\x00\x00\x10\x00\x00\x00\x01" + struct.pack("!HHI", 1, 8, 0b110010)
        self.is_hung = False
        self.asked: list[str] = []
        self._clients: list[asyncio.StreamWriter] = []
        self.came = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["SwitchStandIn"]:
        """While the block runs."""
        database = await asyncio.start_unix_server(self._database, str(self.path))
        bridge = await asyncio.start_unix_server(self._bridge, str(self.folder / "br.mgmt"))
        try:
            yield self
        finally:
            for server in (database, bridge):
                server.close()
            self.drop()
            self.path.unlink(missing_ok=True)

    def drop(self) -> None:
        """Close every connection, as a daemon that dies does."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def tell(self, update: dict[str, Any]) -> None:
        """What changed, to whoever follows."""
        self.say({"id": None, "method": "update", "params": ["holdfast", update]})

    def say(self, message: Any) -> None:
        self.say_raw(json.dumps(message))

    def say_raw(self, text: str) -> None:
        for client in self._clients:
            client.write(text.encode())

    async def _database(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.append(writer)
        decoder, text = json.JSONDecoder(), ""
        while chunk := await reader.read(65_536):
            text += chunk.decode()
            while text:
                try:
                    asked, end = decoder.raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                self.asked.append(asked.get("method", ""))
                if not self.is_hung:
                    self._answer(asked, writer)

    def _answer(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        result: Any = None
        match asked.get("method"):
            case "get_schema":
                tables: dict[str, Any] = {
                    table: {"columns": {key: {} for key in names}}
                    for table, names in self.columns.items()
                }
                result = {"version": "8.3.1", "tables": tables}
            case "monitor":
                result = self.state
                self.came.set()
            case "echo":
                result = asked["params"]
            case _:
                return
        writer.write(json.dumps({"id": asked["id"], "result": result, "error": None}).encode())

    async def _bridge(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.append(writer)
        writer.write(self.hello)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(8)
                version, kind, size, number = struct.unpack("!BBHI", head)
                body = await reader.readexactly(size - 8)
                if kind in (16, 18) and not self.is_hung:
                    writer.write(struct.pack("!BBHI", version, 2, 8, 99))  # An echo between.
                    writer.write(self._counted(version, number, body))

    def _counted(self, version: int, number: int, body: bytes) -> bytes:
        if version == 1:
            said = struct.pack("!HHQQI4x", 2, 0, 7, 70, self.flows[None])
            return struct.pack("!BBHI", 1, 17, 8 + len(said), number) + said
        cookie, mask = struct.unpack_from("!QQ", body, 24)
        flows = self.flows.get(cookie if mask else None, 0)
        said = struct.pack("!HH4xQQI4x", 2, 0, 7, 70, flows)
        return struct.pack("!BBHI", version, 19, 8 + len(said), number) + said
