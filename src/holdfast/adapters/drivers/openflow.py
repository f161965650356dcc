"""How to count the flows of a bridge: OpenFlow over its Unix socket, read-only.

Versions 1.0, 1.3 and 1.4 are spoken; flows of one cookie alone can be counted from 1.3 on. Source:
the OpenFlow switch specifications 1.0.0 and 1.3.5, `ofp_aggregate_stats_request` and its reply.
"""

import asyncio
import contextlib
import struct
from pathlib import Path

RUN_FOLDER = Path("/run/openvswitch")
ANSWER_S = 0.5
_HEAD = struct.Struct("!BBHI")  # Version, kind, size, number.
_HELLO, _ERROR, _ECHO, _ECHO_REPLY = 0, 1, 2, 3
_V10, _V13, _V14 = 1, 4, 5
# The highest, and which others: a bit for each.
_VERSIONS = struct.pack("!HHI", 1, 8, 1 << _V10 | 1 << _V13 | 1 << _V14)
_AGGREGATE, _ANY_TABLE = 2, 0xFF
_ASK_10 = struct.pack("!HHI36xBxH", _AGGREGATE, 0, 0x3FFFFF, _ANY_TABLE, 0xFFFF)
_ASK_13 = struct.Struct("!HH4xB3xII4xQQHH4x")
_REPLY_10, _REPLY_13 = struct.Struct("!HHQQI4x"), struct.Struct("!HH4xQQI4x")
_EVERY_BIT = 0xFFFF_FFFF_FFFF_FFFF


class OpenflowTrouble(OSError):
    """The bridge answers with something else than it should."""


class Openflow:
    """One connection to one bridge, made when it is first needed and again after it was lost."""

    def __init__(self, bridge: str, folder: Path = RUN_FOLDER) -> None:
        self._path = folder / f"{bridge}.mgmt"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._version = 0
        self._number = 0

    async def count(self, cookie: int | None = None) -> int | None:
        """How many flows it has, or has with this cookie; None: this bridge cannot say that.

        Raises OSError within half a second when the bridge does not answer.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._writer is None:
                    await self._connect()
                if cookie is not None and self._version == _V10:
                    return None
                return await self._ask(cookie)
        except TimeoutError:
            await self.close()
            raise OpenflowTrouble("its daemon does not answer") from None
        except (OSError, struct.error, EOFError) as trouble:
            await self.close()
            raise OpenflowTrouble(_words(trouble)) from None

    async def close(self) -> None:
        """End the connection; the next count makes another one."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(str(self._path))
        self._send(_HELLO, _VERSIONS, _V14)
        version, kind, _, body = await self._receive()
        if kind != _HELLO:
            raise OpenflowTrouble("its daemon says no hello")
        has_list = len(body) >= 8 and body[:2] == b"\0\1"
        theirs = struct.unpack_from("!I", body, 4)[0] if has_list else (2 << version) - 1
        common = [each for each in (_V14, _V13, _V10) if theirs & (1 << each)]
        if not common:
            raise OpenflowTrouble("it speaks none of OpenFlow 1.0, 1.3 and 1.4")
        self._version = common[0]

    async def _ask(self, cookie: int | None) -> int:
        is_old = self._version == _V10
        mask = 0 if cookie is None else _EVERY_BIT
        any_port = 0xFFFF_FFFF
        new = (_AGGREGATE, 0, _ANY_TABLE, any_port, any_port, cookie or 0, mask, 1, 4)
        self._send(16 if is_old else 18, _ASK_10 if is_old else _ASK_13.pack(*new))
        number = self._number
        while True:
            _, kind, answered, body = await self._receive()
            if kind == _ECHO:
                self._send(_ECHO_REPLY, body)
            elif kind == _ERROR and answered == number:
                raise OpenflowTrouble("its daemon refuses to count its flows")
            elif kind == (17 if is_old else 19) and answered == number:
                reply = _REPLY_10 if is_old else _REPLY_13
                return int(reply.unpack_from(body)[4])

    def _send(self, kind: int, body: bytes, version: int = 0) -> None:
        assert self._writer is not None
        self._number += 1
        size = _HEAD.size + len(body)
        self._writer.write(_HEAD.pack(version or self._version, kind, size, self._number) + body)

    async def _receive(self) -> tuple[int, int, int, bytes]:
        assert self._reader is not None
        head = await self._reader.readexactly(_HEAD.size)
        version, kind, size, number = _HEAD.unpack(head)
        if size < _HEAD.size:
            raise OpenflowTrouble("its daemon says something strange")
        return version, kind, number, await self._reader.readexactly(size - _HEAD.size)


def _words(trouble: Exception) -> str:
    if isinstance(trouble, FileNotFoundError | ConnectionRefusedError):
        return "its daemon is not there"
    if isinstance(trouble, EOFError | BrokenPipeError | ConnectionResetError):
        return "its daemon closed the connection"
    return str(trouble)
