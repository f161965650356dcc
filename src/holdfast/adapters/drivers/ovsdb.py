"""How to follow an Open vSwitch database: JSON-RPC over its Unix socket (RFC 7047), read-only."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

DATABASE = "Open_vSwitch"
SOCKET = Path("/run/openvswitch/db.sock")
CONNECT_S = 2.0
ANSWER_S = 5.0  # For the schema, the first whole state, and each echo.
CHUNK_BYTES = 1 << 18
MOST_BYTES = 64 << 20  # Of one message: thousands of ports are a few MiB.

Row = dict[str, Any]
Tables = dict[str, dict[str, Row]]


class OvsdbTrouble(OSError):
    """It answers with something else than it should, or not at all."""


class Ovsdb:
    """`wanted` names the columns of each table; those that this version does not have are said
    once, and are absent from the rows. Values are plain: sets are lists, maps are dicts, and
    references are the other row's id.
    """

    def __init__(
        self,
        wanted: Mapping[str, tuple[str, ...]],
        path: Path = SOCKET,
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._wanted, self._path, self._answer_s = wanted, path, answer_s
        self.rows: Tables = {}
        self.version = ""
        self._missing: tuple[str, ...] = ()
        self._text = ""
        self._decoder = json.JSONDecoder()
        self._bytes = b""
        self._number = 0

    async def follow(self, changed: Callable[[], None]) -> None:
        """Keep `rows` as the database has them, and call at each change, first with all of it.

        Returns never; raises OSError when there is no database, or no more.
        """
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            self.rows, self._bytes, self._text = {}, b"", ""
            async with asyncio.timeout(self._answer_s):
                schema = await self._ask(reader, writer, "get_schema", [DATABASE])
                asked = self._known_columns(schema)
                whole = await self._ask(reader, writer, "monitor", [DATABASE, "holdfast", asked])
            self._take(whole)
            changed()
            echoes = asyncio.create_task(self._echo(writer))
            try:
                await self._listen(reader, writer, changed)
            finally:
                echoes.cancel()
                await asyncio.gather(echoes, return_exceptions=True)
        except TimeoutError:
            raise OvsdbTrouble("OVSDB does not answer") from None
        except ConnectionError:
            raise OvsdbTrouble("OVSDB closed the connection") from None
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def read(self) -> Tables:
        """What the database has now. Raises OSError."""
        came = asyncio.Event()
        following = asyncio.create_task(self.follow(came.set))
        coming = asyncio.create_task(came.wait())
        try:
            await asyncio.wait((following, coming), return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                await following  # It never returns: this raises why.
            return self.rows
        finally:
            for task in (following, coming):
                task.cancel()
            await asyncio.gather(following, coming, return_exceptions=True)

    async def _listen(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        changed: Callable[[], None],
    ) -> None:
        while True:
            async with asyncio.timeout(2 * self._answer_s):  # An echo is on its way by then.
                said = await self._receive(reader)
            match said:
                case {"method": "update", "params": [_, dict() as updates]}:
                    self._take(updates)
                    changed()
                case {"method": "echo", "params": params, "id": number}:
                    self._send(writer, {"id": number, "result": params, "error": None})
                case _:
                    pass  # The answer to an echo of ours.

    async def _echo(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(self._answer_s)
            self._send(writer, {"method": "echo", "params": [], "id": "holdfast"})

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        params: list[Any],
    ) -> dict[str, Any]:
        self._number += 1
        self._send(writer, {"method": method, "params": params, "id": self._number})
        while True:
            said = await self._receive(reader)
            if said.get("id") != self._number or "result" not in said:
                continue
            if said.get("error"):
                raise OvsdbTrouble(f"OVSDB refuses {method}: {said['error']}")
            result = said["result"]
            if not isinstance(result, dict):
                raise OvsdbTrouble(f"OVSDB answers {method} with no object")
            return result

    @staticmethod
    def _send(writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
        writer.write(json.dumps(said).encode())

    async def _receive(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        """The next message. Between two there is nothing: each ends with its last brace."""
        while True:
            if self._bytes.endswith(b"}"):
                self._text += self._bytes.decode(errors="replace")
                self._bytes = b""
            if self._text:
                with contextlib.suppress(ValueError):
                    said, end = self._decoder.raw_decode(self._text)
                    self._text = self._text[end:].lstrip()
                    if not isinstance(said, dict):
                        raise OvsdbTrouble("OVSDB says something strange")
                    return said
            chunk = await reader.read(CHUNK_BYTES)
            if not chunk:
                raise OvsdbTrouble("OVSDB closed the connection")
            self._bytes += chunk
            if len(self._bytes) + len(self._text) > MOST_BYTES:
                raise OvsdbTrouble("OVSDB says more than can be")

    def _known_columns(self, schema: dict[str, Any]) -> dict[str, Any]:
        """What to ask for: what is wanted, as far as this version has it."""
        self.version = str(schema.get("version", ""))
        tables = schema.get("tables", {})
        asked, missing = {}, []
        for table, columns in self._wanted.items():
            has = tables.get(table, {}).get("columns", {})
            missing += [f"{table}.{column}" for column in columns if column not in has]
            known = [column for column in columns if column in has]
            if known:
                asked[table] = {"columns": known}
        if tuple(missing) != self._missing:
            self._missing = tuple(missing)
            words = ", ".join(missing) or "nothing"
            log.warning("OVSDB (version %s) lacks %s", self.version, words)
        return asked

    def _take(self, updates: dict[str, Any]) -> None:
        for table, rows in updates.items():
            kept = self.rows.setdefault(table, {})
            for row, change in rows.items():
                new = change.get("new")
                if new is None:
                    kept.pop(row, None)
                else:
                    columns = {column: plain(value) for column, value in new.items()}
                    kept[row] = {**kept.get(row, {}), **columns}


def plain(value: Any) -> Any:
    """A value of the database as Python has it (RFC 7047, 5.1)."""
    match value:
        case ["set", list() as members]:
            return [plain(each) for each in members]
        case ["map", list() as pairs]:
            return {str(plain(key)): plain(each) for key, each in pairs}
        case ["uuid" | "named-uuid", str() as row]:
            return row
        case _:
            return value


def several(value: Any) -> list[Any]:
    """A set of exactly one is written as that one alone."""
    return value if isinstance(value, list) else [value]


def one(value: Any, otherwise: Any = "") -> Any:
    """The only member of a set; `otherwise` of an empty one, or of a column that is not there."""
    found = several(value)
    return found[0] if found and found[0] is not None else otherwise
