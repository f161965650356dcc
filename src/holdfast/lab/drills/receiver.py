"""Receives alarms over HTTP and notes the CLOCK_MONOTONIC instant at which each was whole.

Run with the standard library alone, so that it shares nothing with what it judges. Its argument is
the address to listen on, by default the host's own loopback. The first line of its output is its
port; each further line is one message as a JSON object.
"""

import contextlib
import json
import os
import selectors
import socket
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
REFUSAL = b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
READ_BYTES = 1 << 16


class Caller:
    """One connection, kept open by whoever sends; messages follow each other on it."""

    def __init__(self, link: socket.socket) -> None:
        """Answers are small and leave at once."""
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.link = link
        self._buffer = b""

    def read(self) -> bool:
        """Take what has come, answer each whole message; whether the connection goes on."""
        try:
            chunk = self.link.recv(READ_BYTES)
        except ConnectionError:
            return False
        self._buffer += chunk
        return bool(chunk) and self._take_messages()

    def _take_messages(self) -> bool:
        while True:
            header, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return True
            told = read_header(header)
            length = int(told.get("content-length", "-1"))
            if length < 0:
                self.link.sendall(REFUSAL)
                return False
            if len(rest) < length:
                return True
            arrived_ns = time.monotonic_ns()
            self.link.sendall(ANSWER)
            self._buffer = rest[length:]
            text = rest[:length].decode(errors="replace")
            say({"at_ns": arrived_ns, "header": told, "body": text})


def read_header(header: bytes) -> dict[str, str]:
    """The header's lines by their names, in small letters."""
    lines = header.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def say(what: dict[str, object]) -> None:
    """One line of output, written whole."""
    line = json.dumps(what).encode() + b"\n"
    while line:
        line = line[os.write(1, line) :]


def be_quick() -> None:
    """Run before ordinary programs where that is allowed: the receiver must not be what is late."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    except OSError:
        with contextlib.suppress(OSError):
            os.nice(-20)


def main() -> None:
    """Serve for ever."""
    be_quick()
    door = socket.create_server(((sys.argv[1:] or ["127.0.0.1"])[0], 0), backlog=128)
    ready = selectors.DefaultSelector()
    ready.register(door, selectors.EVENT_READ, None)
    say({"port": door.getsockname()[1]})
    while True:
        for key, _ in ready.select():
            if key.data is None:
                link, _ = door.accept()
                ready.register(link, selectors.EVENT_READ, Caller(link))
            elif not key.data.read():
                ready.unregister(key.data.link)
                key.data.link.close()


if __name__ == "__main__":
    main()
