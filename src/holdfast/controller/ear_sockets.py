"""The ear's sockets: emptied whole, with the kernel's times of receipt where they are needed.

Standard library only. Kernel times are of the wall clock, which may be set at any time: only
their age is used, and it is never longer than since the socket was emptied last.
"""

import contextlib
import ctypes
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from holdfast.adapters.drivers.plane_sockets import open_plane_socket

MOST_AT_ONCE = 20_000  # Of one socket; what waits beyond it is a flood.
BUFFER_BYTES = 32 << 20  # Some 40,000 pulses: 1,000 hosts for a second on one plane.
LONGEST_BYTES = 2_048

_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_MEMINFO = 33, 35, 55
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_STAMP = struct.Struct("@qq")
_STAMP_ROOM = socket.CMSG_SPACE(_STAMP.size)
_MEMINFO = struct.Struct("@9I")
_NS = 1_000_000_000

# Classic BPF on what a UDP socket receives: absolute places count from the UDP header.
_LOAD_WORD, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
_SOURCE_AT, _PORT_AT = 0xFFF00000 + 12, 0  # In the IP header (SKF_NET_OFF), in the UDP header.
_INSTRUCTION = struct.Struct("@HBBI")
MOST_SHUT_OUT = 200

Sender = tuple[str, int]  # Address and port; port 0: all of the address.
Extra = list[tuple[int, int, bytes]]
Take = Callable[[bytes, str, Sender, int], None]


def read_stamp(extra: Extra) -> int | None:
    """When the kernel received it, on the wall clock."""
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _STAMP.size:
            seconds, ns = _STAMP.unpack_from(data)
            return int(seconds) * _NS + int(ns)
    return None


@dataclass(frozen=True)
class Clock:
    """Both clocks of this machine, in nanoseconds. The wall clock may be set at any time.

    `processor_s`: for how long this process had a processor.
    """

    monotonic: Callable[[], int] = time.monotonic_ns
    wall: Callable[[], int] = time.time_ns
    processor_s: Callable[[], float] = time.process_time


class PlaneEar:
    """One plane's socket. Raises OSError when its port is taken."""

    def __init__(
        self,
        plane: str,
        address: str,
        port: int,
        buffer_bytes: int = BUFFER_BYTES,
        read_stamp: Callable[[Extra], int | None] = read_stamp,
    ) -> None:
        self._read_stamp = read_stamp
        self.plane, self.address, self.port = plane, address, port
        self._socket = open_plane_socket(address, port)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._dropped = 0

    def drain(self, take: Take, at: int) -> bool:
        """Hand over all that waits, as received at `at`; False when there was too much."""
        receive, plane = self._socket.recvfrom, self.plane
        try:
            for _ in range(MOST_AT_ONCE):
                data, sender = receive(LONGEST_BYTES)
                take(data, plane, sender[:2], at)
        except BlockingIOError:
            return True
        return False

    def drain_late(self, take: Take, since: int, clock: Clock) -> list[int]:
        """As drain, with the instants at which the kernel had each; it returns those as well.

        `since` is when the socket was empty last: nothing here is older, whatever the clock says.
        """
        heard: list[int] = []
        with contextlib.suppress(BlockingIOError):
            for _ in range(MOST_AT_ONCE):
                data, extra, _, sender = self._socket.recvmsg(LONGEST_BYTES, _STAMP_ROOM)
                at = clock.monotonic()
                stamp = self._read_stamp(extra)
                if stamp is not None:
                    at = max(since, at - max(0, clock.wall() - stamp))
                heard.append(at)
                take(data, self.plane, sender[:2], at)
        return heard

    def has_overflowed(self) -> bool:
        """Whether the kernel had no room for what came since the last look."""
        info = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        if len(info) < _MEMINFO.size:
            return False
        waiting, room, *_, dropped = _MEMINFO.unpack(info)
        was, self._dropped = self._dropped, dropped
        # Those that are shut out count as dropped too, but do not fill the buffer.
        return bool(dropped != was and waiting > room // 2)

    def answer(self, data: bytes, sender: Sender) -> None:
        """To whom a datagram came from. What cannot be sent is lost, never late."""
        with contextlib.suppress(OSError):
            self._socket.sendto(data, sender)

    def shut_out(self, senders: Iterable[Sender]) -> None:
        """Have the kernel drop what these IPv4 senders send; of none: drop nothing."""
        chosen = [one for one in senders if ":" not in one[0]][:MOST_SHUT_OUT]
        if not chosen:
            with contextlib.suppress(FileNotFoundError):  # There was no filter.
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        code = b"".join(_drop(*one) for one in chosen) + _INSTRUCTION.pack(_RETURN, 0, 0, 0xFFFF)
        kept = ctypes.create_string_buffer(code, len(code))
        count = len(code) // _INSTRUCTION.size
        program = struct.pack("@HP", count, ctypes.addressof(kept))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def close(self) -> None:
        self._socket.close()


def _drop(address: str, port: int) -> bytes:
    """Instructions that end with 0 bytes for this sender, and go on for any other."""
    source = int.from_bytes(socket.inet_aton(address), "big")
    of_port = [(_LOAD_HALF, 0, 0, _PORT_AT), (_JUMP_EQUAL, 0, 1, port)] if port else []
    of_address = [(_LOAD_WORD, 0, 0, _SOURCE_AT), (_JUMP_EQUAL, 0, len(of_port) + 1, source)]
    return b"".join(_INSTRUCTION.pack(*one) for one in [*of_address, *of_port, (_RETURN, 0, 0, 0)])
