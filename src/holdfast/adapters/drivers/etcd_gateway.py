"""How to talk to etcd: its own JSON gateway (v3), several members, and what each failure means.

Every read is asked of one member after the other until one answers. A write is sent to another
member only when the first one certainly did not take it.
"""

import asyncio
import logging
import ssl
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from holdfast.ports.store import StoreAway

log = logging.getLogger(__name__)

CONNECT_S = 0.5
READ_S = 1.0  # Without a byte of an answer.
WHOLE_S = 8.0  # Until all of a long one was read.
WRITE_S = 2.0
STREAM_CHECK_S = 2.0
# gRPC codes with which etcd says that it read the request and will not have it, whoever asks.
_INVALID, _DENIED, _EXHAUSTED, _NOT_FOUND, _COMPACTED, _STRANGER = 3, 7, 8, 5, 11, 16
_FINAL = {_INVALID, _DENIED, _EXHAUSTED, _STRANGER}
NO_LEADER = "no leader"  # Said before anything was proposed to anybody.

Json = dict[str, Any]


class Refused(Exception):
    """etcd read it and will not do it; `code` is gRPC's."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code

    @property
    def is_not_found(self) -> bool:
        return self.code == _NOT_FOUND


class MayHaveHappened(Exception):
    """It was sent, and no answer came that says what became of it."""


class _NotSent(Exception):
    """This member never had it."""


class EtcdGateway:
    """`endpoints` are the members' client addresses: https://10.0.0.11:2379."""

    def __init__(
        self,
        endpoints: tuple[str, ...],
        tls: ssl.SSLContext | None = None,
        *,
        read_s: float = READ_S,
        write_s: float = WRITE_S,
    ) -> None:
        if not endpoints:
            raise ValueError("etcd needs the address of at least one member")
        self._endpoints = [one.rstrip("/") for one in endpoints]
        self._tls = tls
        self._read_s, self._write_s = read_s, write_s
        self._preferred = 0
        self._session: aiohttp.ClientSession | None = None

    async def read(self, path: str, body: Json) -> Json:
        """What repeats without harm. Raises StoreAway, Refused."""
        failures = []
        for number in self._order():
            try:
                answer = await self._post(number, path, body, self._read_s)
            except (_NotSent, MayHaveHappened) as failure:
                failures.append(f"{self._endpoints[number]} {failure}")
                continue
            self._preferred = number
            return answer
        raise self._away(failures)

    async def write(self, path: str, body: Json) -> Json:
        """Raises StoreAway (it did not happen), MayHaveHappened, Refused."""
        failures = []
        for number in self._order():
            try:
                answer = await self._post(number, path, body, self._write_s)
            except _NotSent as failure:
                failures.append(f"{self._endpoints[number]} {failure}")
                continue
            except MayHaveHappened as failure:
                self._preferred = (number + 1) % len(self._endpoints)
                raise MayHaveHappened(f"{self._endpoints[number]} {failure}") from None
            self._preferred = number
            return answer
        raise self._away(failures)

    async def stream(self, path: str, body: Json, check: Json) -> AsyncIterator[Json]:
        """The lines of a stream of one member; ends when that member is not well any more.

        While it is silent the member is asked for `check` (a read that needs the quorum): a frozen
        one, or one that was cut off from the others, would stay silent for ever. Raises StoreAway.
        """
        number = self._preferred
        where = self._endpoints[number]
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        try:
            async with self._open().post(
                where + path, json=body, timeout=timeout, ssl=self._tls or True
            ) as answer:
                if answer.status != 200:
                    raise StoreAway(f"{where}: {_said(await answer.read(), answer.status)}")
                async for line in self._lines(answer.content, number, check):
                    yield line
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._preferred = (number + 1) % len(self._endpoints)
            raise StoreAway(f"{where}: {_words(error)}") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _lines(
        self, content: aiohttp.StreamReader, number: int, check: Json
    ) -> AsyncIterator[Json]:
        pending = b""
        while True:
            coming = asyncio.ensure_future(content.readany())
            try:
                while not (await asyncio.wait({coming}, timeout=STREAM_CHECK_S))[0]:
                    await self._check(number, check)
                pending += coming.result()
            finally:
                coming.cancel()
            if content.at_eof() and not pending:
                raise StoreAway(f"{self._endpoints[number]} ended the stream")
            *lines, pending = pending.split(b"\n")
            for line in lines:
                if line.strip():
                    yield msgspec.json.decode(line)
            if content.at_eof():
                raise StoreAway(f"{self._endpoints[number]} ended the stream")

    async def _check(self, number: int, check: Json) -> None:
        """Raises StoreAway."""
        try:
            await self._post(number, "/v3/kv/range", check, self._read_s)
        except (_NotSent, MayHaveHappened, Refused) as failure:
            self._preferred = (number + 1) % len(self._endpoints)
            raise StoreAway(f"{self._endpoints[number]} {failure}") from None

    def _order(self) -> list[int]:
        count = len(self._endpoints)
        return [(self._preferred + step) % count for step in range(count)]

    async def _post(self, number: int, path: str, body: Json, limit_s: float) -> Json:
        """Raises _NotSent, MayHaveHappened, Refused."""
        connect_s = min(CONNECT_S, limit_s)
        timeout = aiohttp.ClientTimeout(total=WHOLE_S, sock_connect=connect_s, sock_read=limit_s)
        try:
            async with self._open().post(
                self._endpoints[number] + path, json=body, timeout=timeout, ssl=self._tls or True
            ) as answer:
                raw, status = await answer.read(), answer.status
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _NotSent(_words(error)) from None
        except TimeoutError:
            raise MayHaveHappened(f"did not answer within {limit_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise MayHaveHappened(_words(error)) from None
        return _read(raw, status)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    def _away(self, failures: list[str]) -> StoreAway:
        quorum = len(self._endpoints) // 2 + 1
        needs = f" (it needs {quorum} of its {len(self._endpoints)} members)" if quorum > 1 else ""
        return StoreAway(f"the store does not serve{needs}: {'; '.join(failures)}")


def _read(raw: bytes, status: int) -> Json:
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise MayHaveHappened(f"answered HTTP {status}, and nothing that is understood") from None
    error = found.get("error") if "error" in found else found if status != 200 else None
    if error is None:
        return found
    text, code = _error(error if isinstance(error, dict) else found)
    if NO_LEADER in text:
        raise _NotSent(f"says: {text}")
    if code in _FINAL or code in {_NOT_FOUND, _COMPACTED}:
        raise Refused(text, code)
    raise MayHaveHappened(f"says: {text}")


def _error(found: Json) -> tuple[str, int]:
    """3.4 and 3.5 say `error`, 3.6 `message`; in a stream `grpc_code`."""
    text = str(found.get("message") or found.get("error") or "it failed without a word")
    return text, int(found.get("code") or found.get("grpc_code") or 0)


def _said(raw: bytes, status: int) -> str:
    try:
        return _error(msgspec.json.decode(raw, type=dict[str, Any]))[0]
    except msgspec.MsgspecError:
        return f"HTTP {status}"


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return f"is not trusted, or does not trust us: {error}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "cannot be reached"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__


def text_of(raw: str) -> bytes:
    return b64decode(raw)


def coded(raw: bytes) -> str:
    """Bytes as the gateway wants them in JSON."""
    return b64encode(raw).decode()
