"""Links from other hosts: over TLS, both sides with certificates; nobody speaks for another."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from holdfast.adapters.drivers.certificates import CertificateProblem, Certificates, Peer
from holdfast.ports import clock

log = logging.getLogger(__name__)

LOOK_S = 1.0
PING_S = 5.0  # A peer that is frozen or cut off is missed after two of these.
CLOSE_LIMIT_S = 1.0
OPEN_LIMIT_S = 5.0


class Visitor:
    """Who is at the other end of a link, as its certificate says."""

    def __init__(self, peer: Peer, check_host: Callable[[str], Peer]) -> None:
        self.peer, self._check_host = peer, check_host

    def refusal(self, host: str) -> str:
        """Why it may not greet as this host, or empty."""
        try:
            self._check_host(host)
        except CertificateProblem as problem:
            return str(problem)
        return ""


class Gate:
    """`refused` counts those whose certificate did not open it."""

    def __init__(
        self,
        certificates: Certificates,
        serve_visitor: Callable[[ServerConnection, Visitor], Awaitable[None]],
        message_bytes: int,
    ) -> None:
        self._certificates, self._serve_visitor = certificates, serve_visitor
        self._message_bytes = message_bytes
        self._inside: dict[ServerConnection, Peer] = {}
        self.refused = 0

    async def run(self, address: str, port: int) -> None:
        """Let visitors in until cancelled. Raises OSError when the address is not ours (yet)."""
        async with serve(
            self._meet,
            address,
            port,
            ssl=self._certificates.server_context(),
            compression=None,
            max_size=self._message_bytes,
            open_timeout=OPEN_LIMIT_S,
            ssl_handshake_timeout=OPEN_LIMIT_S,
            close_timeout=CLOSE_LIMIT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
        ):
            log.info("links from other hosts are taken at %s port %d", address, port)
            while True:
                await asyncio.sleep(LOOK_S)
                self._put_out()

    def _put_out(self) -> None:
        """A certificate that is revoked, or has ended, keeps nothing open. With a renewed one its
        host is back at once."""
        for connection, peer in list(self._inside.items()):
            is_revoked = peer.serial in self._certificates.revoked
            if is_revoked or peer.ends_utc_ms <= clock.utc_ms():
                why = "is revoked" if is_revoked else "has expired"
                log.warning("the link of %s is closed: its certificate %s", peer.host_name, why)
                connection.transport.abort()

    async def _meet(self, connection: ServerConnection) -> None:
        ssl_object: Any = connection.transport.get_extra_info("ssl_object")
        try:
            peer = self._certificates.peer(ssl_object)
        except CertificateProblem as problem:
            self.refused += 1
            log.warning("a link from %s is refused: %s", connection.remote_address, problem)
            with contextlib.suppress(OSError):
                await connection.close(1008, str(problem)[:120])
            return
        visitor = Visitor(peer, lambda host: self._certificates.check_host(ssl_object, host))
        self._inside[connection] = peer
        try:
            await self._serve_visitor(connection, visitor)
        finally:
            del self._inside[connection]
