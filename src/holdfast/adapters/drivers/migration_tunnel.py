"""A tunnel for one migration between the libvirts of two hosts, in a process of its own.

Both ends show their certificates (TLS 1.3), and each lets in that one other host alone. The
control connection and the memory of the guest go through it, so that libvirt needs neither an
open port nor certificates of its own. It ends with the agent that began it.
"""

import contextlib
import os
import select
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

from holdfast.adapters.drivers.certificates import CertificateProblem, Certificates, explain
from holdfast.adapters.drivers.child import Parent

PIECE_BYTES = 256 << 10
HANDSHAKE_LIMIT_S = 5.0
LOST_AFTER_MS = 5_000  # What was sent and is not acknowledged for so long: the other end is away.
LOOK_S = 0.05  # TLS may want to read before it can write: then nobody wakes us.


def main() -> None:
    """`receive TLS_DIR HOST ADDRESS PORT LIBVIRT` or `send TLS_DIR HOST ADDRESS PORT DOOR`: the
    other HOST's id, where that end listens, and the Unix socket at this end."""
    parent = Parent()
    way, tls_dir, host, address, port, path = parent.args
    try:
        certificates = Certificates(tls_dir)
        end = _receive if way == "receive" else _send
        end(parent, certificates, host, (address, int(port)), path)
    except (OSError, CertificateProblem) as error:
        parent.send({"error": explain(error, "the migration's tunnel")})
    parent.receive()  # Nothing is told: it ends with the agent.


def _receive(
    parent: Parent, certificates: Certificates, host: str, place: tuple[str, int], path: str
) -> None:
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    door = socket.create_server(place, family=family)
    tls = certificates.server_context()

    def serve(visitor: socket.socket) -> None:
        _limit(visitor)
        shown = tls.wrap_socket(visitor, server_side=True)
        certificates.check_host(shown, host)
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        inner.connect(path)
        _join(inner, shown)

    _accept(parent, door, serve)
    parent.send({"port": door.getsockname()[1]})


def _send(
    parent: Parent, certificates: Certificates, host: str, place: tuple[str, int], path: str
) -> None:
    Path(path).unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        door.bind(path)
    finally:
        os.umask(before)
    door.listen()
    tls = certificates.host_context()

    def serve(inner: socket.socket) -> None:
        outer = socket.create_connection(place, HANDSHAKE_LIMIT_S)
        _limit(outer)
        shown = tls.wrap_socket(outer)
        certificates.check_host(shown, host)
        _join(inner, shown)

    _accept(parent, door, serve)
    parent.send({"port": place[1]})


def _accept(parent: Parent, door: socket.socket, serve: Any) -> None:
    def always() -> None:
        while True:
            visitor, _ = door.accept()
            threading.Thread(target=once, args=[visitor], daemon=True).start()

    def once(visitor: socket.socket) -> None:
        try:
            serve(visitor)
        except (OSError, CertificateProblem) as error:
            parent.send({"error": explain(error, "the other end")})
            visitor.close()

    threading.Thread(target=always, daemon=True).start()


def _limit(outer: socket.socket) -> None:
    outer.settimeout(HANDSHAKE_LIMIT_S)
    outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_AFTER_MS)
    outer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    outer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, LOST_AFTER_MS // 1_000)


def _join(inner: socket.socket, outer: ssl.SSLSocket) -> None:
    """Carry both ways until either side ends. One thread: a TLS connection serves only one."""
    inner.setblocking(False)
    outer.setblocking(False)
    flows = (_Flow(inner, outer), _Flow(outer, inner))
    with inner, outer, contextlib.suppress(OSError):
        while not any(flow.is_over for flow in flows):
            moved = [flow.step() for flow in flows]  # Each has its turn.
            if any(moved):
                continue
            empty = [flow.source for flow in flows if not flow.waiting]
            full = [flow.sink for flow in flows if flow.waiting]
            select.select(empty, full, [], LOOK_S)


class _Flow:
    """One way of two: what was read waits until all of it is written."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.waiting = memoryview(b"")
        self.is_over = False
        self._room = memoryview(bytearray(PIECE_BYTES))

    def step(self) -> bool:
        """Whether anything moved."""
        try:
            if not self.waiting:
                size = self.source.recv_into(self._room)
                self.is_over = not size
                self.waiting = self._room[:size]
            else:
                self.waiting = self.waiting[self.sink.send(self.waiting) :]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        return True


if __name__ == "__main__":
    main()
