"""A receiver of webhooks on its own thread, with a clock of its own: what arrived, and when."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Receiver:
    """Answers with what `status` says: 0 for no answer at all. It can go down, and come up again
    on the same port."""

    def __init__(self) -> None:
        self.status: Callable[[dict[str, Any]], int] = lambda _body: 200
        self.arrived: list[tuple[int, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.port = 0
        self.connections = 0
        self._changed = threading.Condition()
        self._door: socket.socket | None = None
        self._links: set[socket.socket] = set()
        self.up()

    def up(self) -> None:
        self._door = socket.create_server(("127.0.0.1", self.port))
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._door,), daemon=True).start()

    def down(self) -> None:
        door, self._door = self._door, None
        if door is not None:
            door.shutdown(socket.SHUT_RDWR)
            door.close()
        for link in list(self._links):
            self._close(link)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alarms"

    def alarms(self) -> list[dict[str, Any]]:
        with self._changed:
            return [body for _, body in self.arrived if body["kind"] == "alarm"]

    def wait(self, condition: Callable[[], bool], limit_s: float = 20.0) -> bool:
        """Whether the condition came true; looked at whenever something arrives, too."""
        deadline = time.monotonic() + limit_s
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.05))
        return True

    def _accept(self, door: socket.socket) -> None:
        while True:
            try:
                link, _ = door.accept()
            except OSError:
                return
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._links.add(link)
            self.connections += 1
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        buffer = b""
        try:
            while chunk := link.recv(65_536):
                buffer += chunk
                while (found := _split(buffer)) is not None:
                    header, body, buffer = found
                    self._take(link, header, body, time.monotonic_ns())
        except OSError:
            pass
        finally:
            self._close(link)

    def _take(self, link: socket.socket, header: bytes, body: bytes, at: int) -> None:
        told = json.loads(body)
        status = self.status(told)
        with self._changed:
            self.raw.append(body)
            self.headers.append(_headers(header))
            if status == 200:
                self.arrived.append((at, told))
            self._changed.notify_all()
        if status == 200:
            link.sendall(OK)
        elif status:
            link.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 4\r\n\r\nno!\n" % status)

    def _close(self, link: socket.socket) -> None:
        self._links.discard(link)
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        link.close()


def _split(buffer: bytes) -> tuple[bytes, bytes, bytes] | None:
    header, separator, rest = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = int(_headers(header)["content-length"])
    return (header, rest[:length], rest[length:]) if len(rest) >= length else None


def _headers(header: bytes) -> dict[str, str]:
    lines = [line.partition(":") for line in header.decode().split("\r\n")[1:]]
    return {name.strip().lower(): value.strip() for name, _, value in lines}
