"""What the kernel says of network devices: carrier, state, and how many packets went wrong.

It listens to rtnetlink, so a carrier that is lost is seen as it happens. Everything is read anew
every few seconds, since the kernel drops news that nobody reads in time, and to see the counters.
"""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Iterator

from msgspec import structs

from holdfast.adapters.drivers.net_devices import is_physical
from holdfast.facts.instants import Instant
from holdfast.facts.vswitch import LinkGone, LinkSeen
from holdfast.ports.clock import now
from holdfast.ports.sensor import See, Sensor

READ_ANEW_S = 10.0
RECEIVE_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_AT_ONCE = 1_000  # So many datagrams, then others have their turn.
# linux/netlink.h, linux/rtnetlink.h, linux/if.h, linux/if_link.h
_DONE, _RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK = 3, 16, 17, 18
_REQUEST_DUMP = 0x301
_GROUP_LINK = 1
_IFF_UP, _IFF_RUNNING, _IFF_LOOPBACK = 0x1, 0x40, 0x8
_IFLA_NAME, _IFLA_STATE, _IFLA_STATS64, _IFLA_CARRIER = 3, 16, 23, 33
_HEAD, _LINK, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BxHiII"), struct.Struct("=HH")
_ERRORS = struct.Struct("=4Q2Q")  # rx, tx packets; rx, tx bytes; rx, tx errors.
_STATES = ("unknown", "absent", "down", "lower layer down", "testing", "dormant", "up")


class Links:
    name = "links"

    def __init__(self, *, read_anew_s: float = READ_ANEW_S) -> None:
        self._read_anew_s = read_anew_s
        self._known: dict[int, LinkSeen] = {}
        self._read_now: set[int] = set()  # Since everything was asked for the last time.

    async def run(self, see: See) -> None:
        """Raises OSError where there is no rtnetlink."""
        loop = asyncio.get_running_loop()
        with _open() as door:
            loop.add_reader(door.fileno(), self._read, door, see)
            try:
                while True:
                    _ask_all(door)
                    await asyncio.sleep(self._read_anew_s)
            finally:
                loop.remove_reader(door.fileno())

    def _read(self, door: socket.socket, see: See) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = door.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError as trouble:
                if trouble.errno != errno.ENOBUFS:
                    raise
                with contextlib.suppress(BlockingIOError):
                    _ask_all(door)  # The kernel dropped news: everything is read anew.
                continue
            at = now()
            for kind, payload in messages(data):
                self._take(kind, payload, at, see)

    def _take(self, kind: int, payload: bytes, at: Instant, see: See) -> None:
        if kind == _RTM_NEWLINK:
            index, link = read_link(payload, at)
            self._read_now.add(index)
            before = self._known.get(index)
            if link is None or _is_same(before, link):
                return
            if before is not None and before.device != link.device:
                see(LinkGone(at=at, device=before.device))
            self._known[index] = link
            see(link)
        elif kind == _RTM_DELLINK:
            _, _, index, _, _ = _LINK.unpack_from(payload)
            self._forget(index, at, see)
        elif kind == _DONE:
            for index in self._known.keys() - self._read_now:
                self._forget(index, at, see)
            self._read_now.clear()

    def _forget(self, index: int, at: Instant, see: See) -> None:
        gone = self._known.pop(index, None)
        if gone is not None:
            see(LinkGone(at=at, device=gone.device))


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of one datagram: kind, and what follows their head. A torn one ends it."""
    while len(data) >= _HEAD.size:
        size, kind, _, _, _ = _HEAD.unpack_from(data)
        if size < _HEAD.size or size > len(data):
            return
        payload = data[_HEAD.size : size]
        # A bridge's own news of its ports come with its family: they are no devices that go.
        if kind == _DONE or (len(payload) >= _LINK.size and payload[0] == socket.AF_UNSPEC):
            yield kind, payload
        data = data[_aligned(size) :]


def read_link(payload: bytes, at: Instant) -> tuple[int, LinkSeen | None]:
    """Its number, and what is said of it; None of the loopback, and of one without a name."""
    _, _, index, flags, _ = _LINK.unpack_from(payload)
    said = dict(_attributes(payload[_LINK.size :]))
    name = said.get(_IFLA_NAME, b"").rstrip(b"\0").decode(errors="replace")
    if not name or flags & _IFF_LOOPBACK:
        return index, None
    state = said.get(_IFLA_STATE, b"\0")[0]
    carrier = said.get(_IFLA_CARRIER)
    counts = said.get(_IFLA_STATS64, b"")
    errors = sum(_ERRORS.unpack_from(counts)[4:]) if len(counts) >= _ERRORS.size else 0
    return index, LinkSeen(
        at=at,
        device=name,
        # A device that is switched off has no carrier, whatever is plugged in.
        has_carrier=bool(carrier[0]) if carrier else bool(flags & _IFF_RUNNING),
        is_up=bool(flags & _IFF_UP),
        state=_STATES[state] if state < len(_STATES) else f"state {state}",
        is_physical=is_physical(name),
        errors=errors,
    )


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        if size < _ATTRIBUTE.size or size > len(data):
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : size]
        data = data[_aligned(size) :]


def _aligned(size: int) -> int:
    return (size + 3) & ~3


def _is_same(before: LinkSeen | None, link: LinkSeen) -> bool:
    return before is not None and link == structs.replace(before, at=link.at)


def _open() -> socket.socket:
    door = socket.socket(
        socket.AF_NETLINK,
        socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
        socket.NETLINK_ROUTE,
    )
    door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    door.bind((0, _GROUP_LINK))
    return door


def _ask_all(door: socket.socket) -> None:
    head = _HEAD.pack(_HEAD.size + _LINK.size, _RTM_GETLINK, _REQUEST_DUMP, 1, 0)
    door.send(head + _LINK.pack(0, 0, 0, 0, 0))


PLUGIN: type[Sensor] = Links
