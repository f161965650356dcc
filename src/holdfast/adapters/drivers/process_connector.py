"""The kernel's process connector tells each thread's end with its exit status, on any kernel.

It speaks only in the initial network namespace, and with the initial namespace's pids, to root.
A filter in the kernel passes the events of the watched processes alone, however busy the host is.
"""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable

from msgspec import Struct

from holdfast.facts.instants import Instant

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_LISTEN = 1
_EXIT, _COREDUMP = 0x8000_0000, 0x4000_0000
_EVENT_AT = 36  # After struct nlmsghdr and struct cn_msg.
_INITIAL_PID_NAMESPACE = 0xEFFF_FFFC  # PROC_PID_INIT_INO of the kernel.
_ACK_LIMIT_S = 0.5
_MOST_FILTERED = 1_500  # Two instructions each, of the 4,096 that the kernel takes.
_SO_ATTACH_FILTER = 26
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_PASS, _DROP = 0xFFFF, 0


class ThreadEnd(Struct, frozen=True, kw_only=True):
    """`at` is when the kernel saw it; `status` as wait(2) gives it."""

    at: Instant
    pid: int
    tid: int
    status: int


class CoreBegan(Struct, frozen=True, kw_only=True):
    at: Instant
    pid: int


class Overrun(Struct, frozen=True, kw_only=True):
    """Events came faster than they were read, and some are lost: look again."""


class ConnectorAway(Exception):
    """The connector does not speak to us; the text says why."""


class ProcessConnector:
    """Raises ConnectorAway where it cannot serve. `fileno` is ready when there is news."""

    def __init__(self) -> None:
        if os.stat("/proc/self/ns/pid").st_ino != _INITIAL_PID_NAMESPACE:
            raise ConnectorAway("this is not the initial pid namespace")
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR
            )
        except OSError as error:
            raise ConnectorAway(f"the kernel has no process connector: {error}") from None
        try:
            self._socket.bind((0, _CN_IDX_PROC))
            self._listen()
            self.watch(())
        except OSError as error:
            self._socket.close()
            raise ConnectorAway(f"the process connector refuses: {error}") from None
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def watch(self, pids: Iterable[int]) -> None:
        """Pass the events of these processes from now on, and no others."""
        self._attach(_filter(sorted(pids)[-_MOST_FILTERED:]))

    def read(self) -> list[ThreadEnd | CoreBegan | Overrun]:
        """All that waits."""
        found: list[ThreadEnd | CoreBegan | Overrun] = []
        while True:
            try:
                message = self._socket.recv(4_096)
            except BlockingIOError:
                return found
            except OSError:  # ENOBUFS; reading it clears it.
                found.append(Overrun())
                continue
            event = _parse(message)
            if event is not None:
                found.append(event)

    def close(self) -> None:
        self._socket.close()

    def _listen(self) -> None:
        """Subscribe, and wait for the kernel's word that it heard us."""
        body = struct.pack("=IIIIHHI", _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0, _LISTEN)
        self._socket.send(struct.pack("=IHHII", 16 + len(body), 3, 0, 0, 0) + body)
        self._socket.settimeout(_ACK_LIMIT_S)
        for _ in range(1_000):
            message = self._socket.recv(4_096)
            what, error = struct.unpack_from("=I12xI", message, _EVENT_AT)
            if what == 0:
                if error:
                    raise OSError(error, os.strerror(error))
                return
        raise OSError("it does not answer")

    def _attach(self, program: bytes) -> None:
        code = ctypes.create_string_buffer(program, len(program))
        head = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)


def _filter(pids: list[int]) -> bytes:
    """A classic BPF program: exits and core dumps of these processes."""
    rules = [
        (_LOAD_WORD, 0, 0, _EVENT_AT),
        (_JUMP_EQUAL, 2, 0, _word(_EXIT)),
        (_JUMP_EQUAL, 1, 0, _word(_COREDUMP)),
        (_RETURN, 0, 0, _DROP),
        (_LOAD_WORD, 0, 0, _EVENT_AT + 20),
    ]
    for pid in pids:
        rules += [(_JUMP_EQUAL, 0, 1, _word(pid)), (_RETURN, 0, 0, _PASS)]
    rules.append((_RETURN, 0, 0, _DROP))
    return b"".join(struct.pack("=HBBI", *rule) for rule in rules)


def _word(number: int) -> int:
    """A number as the filter sees it: it loads words in network order."""
    return int.from_bytes(number.to_bytes(4, sys.byteorder), "big")


def _parse(message: bytes) -> ThreadEnd | CoreBegan | None:
    if len(message) < _EVENT_AT + 28:
        return None
    what, _, stamp, tid, pid, status = struct.unpack_from("=IIQIII", message, _EVENT_AT)
    if what == _EXIT:
        return ThreadEnd(at=Instant(stamp), pid=pid, tid=tid, status=status)
    if what == _COREDUMP:
        return CoreBegan(at=Instant(stamp), pid=pid)
    return None
