"""Alarms as signed JSON by HTTP POST, on one connection that is kept open.

Documented for those who receive it in docs/operate/webhook.md.
"""

import hashlib
import hmac
import time
from pathlib import Path

import aiohttp

from holdfast.adapters.drivers.notice_json import render
from holdfast.facts.instants import NS_PER_MS
from holdfast.ports.notifier import Notice, NotifyFailed, NotifyRefused

TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 2.0
KEEP_ALIVE_S = 300.0
ANSWER_SHOWN_BYTES = 200
SIGNATURE = "Holdfast-Signature"
TIMESTAMP = "Holdfast-Timestamp"
# The receiver read this very message and objects to it. All other refusals (a wrong address, a
# missing right, a server in trouble) would befall every message alike: those are tried again.
REFUSALS = {400, 406, 409, 413, 415, 422}


class Webhook:
    """See ports.notifier.Notifier. One at a time: the next is sent when the last was answered."""

    def __init__(
        self,
        name: str,
        url: str,
        secret_file: str = "",
        heartbeat_s: float = 10.0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self.heartbeat_s = heartbeat_s
        self._url = url
        self._secret_file = Path(secret_file) if secret_file else None
        self._secret: bytes | None = None
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._session: aiohttp.ClientSession | None = None

    async def notify(self, notice: Notice) -> None:
        utc_ms = time.time_ns() // NS_PER_MS
        body = render(notice, utc_ms)
        headers = {"Content-Type": "application/json", **self._signature(body, utc_ms // 1_000)}
        try:
            async with self._open_session().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:
                    shown = await answer.content.read(ANSWER_SHOWN_BYTES)
                    self._secret = None  # It may have been changed: read it again.
                    text = f"HTTP {answer.status} {answer.reason}: {shown.decode(errors='replace')}"
                    raise _failure(answer.status)(text.rstrip(": \n"))
        except TimeoutError:
            raise NotifyFailed(f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotifyFailed(spoken_failure(error)) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        """Made when first used, in the running loop. Sets TCP_NODELAY, as it always does."""
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                headers={"User-Agent": "holdfast"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    def _signature(self, body: bytes, utc_s: int) -> dict[str, str]:
        """Raises NotifyFailed without the secret: nothing leaves unsigned by mistake."""
        if self._secret_file is None:
            return {}
        if self._secret is None:
            try:
                self._secret = self._secret_file.read_bytes().strip()
            except OSError as error:
                text = f"the secret {self._secret_file} cannot be read: {error.strerror}"
                raise NotifyFailed(text) from None
        signed = hmac.digest(self._secret, b"%d.%s" % (utc_s, body), hashlib.sha256)
        return {TIMESTAMP: str(utc_s), SIGNATURE: f"sha256={signed.hex()}"}


def spoken_failure(error: Exception) -> str:
    """What went wrong on the way, for a person; the library's own words name its parts."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {error.host} is not trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorDNSError():
            return f"nobody knows the name {error.host}: {error.os_error.strerror}"
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS with {error.host}:{error.port}: {error.os_error.strerror or error}"
        case aiohttp.ClientConnectorError():
            why = error.os_error.strerror or str(error.os_error)
            return f"cannot connect to {error.host}:{error.port}: {_first_lower(why)}"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection without an answer"
        case aiohttp.InvalidURL():
            return f"{error.url} is no address"
        case OSError() if error.strerror:
            return _first_lower(error.strerror)
        case _:
            return str(error) or type(error).__name__


def _first_lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _failure(status: int) -> type[NotifyFailed]:
    return NotifyRefused if status in REFUSALS else NotifyFailed


PLUGIN = Webhook
