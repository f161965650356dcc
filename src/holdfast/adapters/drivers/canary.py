"""A frame that crosses a bridge of the virtual switch: in at one port of ours, out at another one.

Its destination is one that no bridge forwards by itself (IEEE 802.1Q, table 8-1), so nothing but
our own flow carries it: it floods nobody, also when that flow is gone, and leaves the host on no
way. Its ethertype is one for experiments (IEEE 802, local experimental 1).
"""

import hashlib
import os
import socket
import struct

from holdfast.adapters.drivers.net_devices import switch_on
from holdfast.adapters.drivers.ovs_tools import ofctl, vsctl

ETHERTYPE = 0x88B5
COOKIE = 0x486F_6C64_6661_7374  # Of our flows alone: "Holdfast".
_NOBODY = bytes.fromhex("0180c200000a")
_SOL_PACKET, _PACKET_OUTGOING = 263, 4
_FRAME_BYTES = 256
MARK = "external_ids:holdfast=canary"


class Canary:
    """The two ports of one bridge. Every call but `lay` and `take_away` returns at once."""

    def __init__(self, bridge: str) -> None:
        self.bridge = bridge
        word = hashlib.sha256(bridge.encode()).hexdigest()[:8]
        self.ports = (f"hfa-{word}", f"hfb-{word}")  # A device's name has 15 letters at most.
        self._word = os.urandom(8)
        self._doors: tuple[socket.socket, socket.socket] | None = None

    async def lay(self) -> None:
        """Make its ports and its flow, where they are not there. Raises OSError."""
        for port in self.ports:
            made = ("--", "set", "interface", port, "type=internal", MARK)
            await vsctl("--may-exist", "add-port", self.bridge, port, *made)
        await self.lay_flow()

    async def lay_flow(self) -> None:
        """Make its flow, and one that drops what else has its ethertype. Raises OSError."""
        first, second = self.ports
        kind = f"cookie={COOKIE:#x},dl_type={ETHERTYPE:#x}"
        flows = (
            f"{kind},priority=65535,in_port={first},actions=output:{second}",
            f"{kind},priority=65534,actions=drop",
        )
        await ofctl("add-flows", self.bridge, "-", text="\n".join((*flows, "")))

    async def take_away(self) -> None:
        """Leave nothing of it in the switch. Raises OSError."""
        self.close()
        await ofctl("del-flows", self.bridge, f"cookie={COOKIE:#x}/-1")
        for port in self.ports:
            await vsctl("--if-exists", "del-port", self.bridge, port)

    def open(self) -> None:
        """Listen at its ports anew. Raises OSError: they are not there (yet)."""
        self.close()
        for port in self.ports:
            switch_on(port, is_quiet=True)
        first = _door(self.ports[0], 0)
        try:
            self._doors = (first, _door(self.ports[1], ETHERTYPE))
        except OSError:
            first.close()
            raise

    def close(self) -> None:
        """Listen no more."""
        for door in self._doors or ():
            door.close()
        self._doors = None

    def send(self, number: int) -> None:
        """Send one frame. Raises OSError: a port is gone, or its daemon takes nothing."""
        if self._doors is None:
            self.open()
        assert self._doors is not None
        head = _NOBODY + self._doors[0].getsockname()[4] + struct.pack("!H", ETHERTYPE)
        self._doors[0].send(head + self._word + struct.pack("!Q", number) + bytes(30))

    def received(self) -> int:
        """The newest number that came out; -1: none came since the last time. Raises OSError."""
        newest = -1
        while self._doors is not None:
            try:
                frame, address = self._doors[1].recvfrom(_FRAME_BYTES)
            except BlockingIOError:
                break
            if address[2] != _PACKET_OUTGOING and frame[14:22] == self._word:
                newest = max(newest, int(struct.unpack_from("!Q", frame, 22)[0]))
        return newest


def _door(port: str, kind: int) -> socket.socket:
    door = socket.socket(
        socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0
    )
    try:
        door.bind((port, kind))
    except OSError:
        door.close()
        raise
    return door
