"""The ear: a process of the controller that hears pulses, and says who fell silent.

Run with `python -m holdfast.controller.ear FD PARENT`. Each turn it empties its sockets, and only
then judges. When it was late it says so, uses the kernel's times of receipt, excuses the time in
which nothing could be heard, and says of nobody that he is silent until it has kept time again.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from struct import pack as pack_numbers
from typing import Any

from holdfast.adapters.drivers.child import die_with
from holdfast.adapters.drivers.plane_sockets import open_plane_socket
from holdfast.adapters.drivers.real_time import EAR_PRIORITY, keep_time
from holdfast.adapters.drivers.worker_frames import HEAD, pack, unpack
from holdfast.controller.ear_hosts import EarHosts, Message
from holdfast.controller.ear_sockets import MOST_AT_ONCE, Clock, PlaneEar, Sender
from holdfast.facts.instants import NS_PER_MS, NS_PER_S
from holdfast.facts.pulse import read_key

TICK_NS = 100 * NS_PER_MS
COUNTS_NS = 1_000 * NS_PER_MS
BOOTS_NS = 5_000 * NS_PER_MS
SLOW_NS = 20 * NS_PER_MS  # Later than that, the kernel is asked when it received what waits.
PRESSED_AFTER = 200  # Refused datagrams of one sender in 100 ms: a flood.
SHUT_OUT_NS = 5_000 * NS_PER_MS
MEETS_NS = 1_000 * NS_PER_MS  # Until then whoever lives has pulsed, and is known by its sender.
BELIEVED_NS = 60_000 * NS_PER_MS  # Who pulsed so lately is not shut out, whatever bears its name.
MOST_WAITING_BYTES = 8 << 20
GASP = b"Kernel panic"
LONGEST_GASP = 400
GASPS_AT_ONCE = 100  # A kernel that panics has much to say.
# What fence_kdump_send sends: a magic number and a version, in the order of the sender's processor.
DUMPS = frozenset(pack_numbers(order, 0x1B302A40, 1) for order in ("<II", ">II"))
DUMP_EACH_NS = 1_000 * NS_PER_MS  # Of one host no more is told.


@dataclass(frozen=True, kw_only=True)
class EarSettings:
    """As the controller tells it first. `planes`: name and own address of each."""

    planes: tuple[tuple[str, str], ...]
    port: int
    period_ms: int
    misses: int
    look_ms: int
    longest_patience_ms: int
    gasp_port: int = 0
    kdump_port: int = 0

    @classmethod
    def read(cls, told: Message) -> "EarSettings":
        known = {name: told[name] for name in cls.__dataclass_fields__ if name in told}
        return cls(**{**known, "planes": tuple((str(p), str(a)) for p, a in told["planes"])})


@dataclass
class _Doubt:
    """Since when it keeps time again; None while it is trusted."""

    on_time_since: int | None = None


@dataclass
class Ear:
    """All but the process: `turn` is called each `look_ms`. Raises OSError at its making."""

    settings: EarSettings
    clock: Clock = field(default_factory=Clock)
    open_ear: Callable[[str, str, int], PlaneEar] = PlaneEar

    def __post_init__(self) -> None:
        told = self.settings
        self._period = told.period_ms * NS_PER_MS
        self.look_ns = told.look_ms * NS_PER_MS
        self.hosts = EarHosts(
            planes=[plane for plane, _ in told.planes],
            silence_ns=told.misses * self._period,
            period_ns=self._period,
            longest_patience_ns=told.longest_patience_ms * NS_PER_MS,
        )
        self.out = self.hosts.out
        self.ears = [self.open_ear(plane, at, told.port) for plane, at in told.planes]
        self._gasps = _open_beside(told, told.gasp_port)
        self._dumps = _open_beside(told, told.kdump_port)
        beside = ((self._gasps, self._hear_gasp), (self._dumps, self._hear_dump))
        self._beside = [(sockets, hear) for sockets, hear in beside if sockets]
        self._dumped: dict[str, int] = {}  # When it was told of a host that it writes a dump.
        self._addresses: dict[str, str] = {}  # Of known hosts: who gasped.
        self._doubt = _Doubt()
        self._emptied_at = self.clock.monotonic()
        self._began_at = self._emptied_at
        self._shut_out: dict[Sender, int] = {}
        self._let_in: dict[Sender, int] = {}  # Floods in the names of those that are believed.
        self._tick_at = self._counts_at = self._boots_at = self._emptied_at
        self.doubts = self.overflows = 0
        self.latest_ns = 0

    def turn(self, due: int) -> None:
        """One look at everything; `due` is when it should have begun."""
        at = self.clock.monotonic()
        late = at - due
        if late > self.latest_ns:
            self.latest_ns = late
        is_all = True
        for ear in self.ears:
            is_all = not ear.has_overflowed() and is_all
        if late > SLOW_NS:
            is_all = all(self._catch_up(at, late)) and is_all
        else:
            for ear in self.ears:
                is_all = ear.drain(self.hosts.take, at) and is_all
        if not is_all:
            self.overflows += 1
            self.hosts.excuse(at - self._emptied_at)
            self._begin_doubt(at, at - self._emptied_at, "more came than could be read")
        self._emptied_at = at
        if self._doubt.on_time_since is not None:
            self._end_doubt(at, late)
        if self._doubt.on_time_since is None:
            self.hosts.judge(at)
        if self.hosts.grants.are_waiting:
            self.hosts.grants.send(self._answer, self.clock.monotonic())
        for sockets, hear in self._beside:
            _hear_beside(sockets, hear, at)
        self._now_and_then(at)

    def told(self, message: Message) -> None:
        """Something from the controller."""
        at = self.clock.monotonic()
        match message["is"]:
            case "know":
                name, addresses = message["host"], message["addresses"]
                due = at + int(message["grace_ms"]) * NS_PER_MS
                self._addresses.update(dict.fromkeys(addresses.values(), name))
                self.hosts.known_addresses = frozenset(self._addresses)
                self._let_meet(addresses.values(), at)
                key = read_key(message["key"])
                self.hosts.know(name, key, addresses, message["boots"], due, at)
            case "forget":
                self.hosts.forget(message["host"])
                kept = {a: h for a, h in self._addresses.items() if h != message["host"]}
                self._addresses, self.hosts.known_addresses = kept, frozenset(kept)
            case "grant":
                self.hosts.grants.told(message)
            case "own":
                self.hosts.own = message["host"]
            case _:
                pass

    def _answer(self, plane: str, sender: Sender, data: bytes) -> None:
        for ear in self.ears:
            if ear.plane == plane:
                ear.answer(data, sender)

    def close(self) -> None:
        for ear in self.ears:
            ear.close()
        for one in (*self._gasps, *self._dumps):
            one.close()

    def _catch_up(self, at: int, late: int) -> list[bool]:
        """Read what waited, as of when it came; excuse the time in which nothing came at all."""
        self.hosts.is_late = True
        came = [ear.drain_late(self.hosts.take, self._emptied_at, self.clock) for ear in self.ears]
        self.hosts.is_late = False
        heard = sorted(instant for instants in came for instant in instants)
        if late > 2 * self._period:
            borders = [self._emptied_at, *heard, self.clock.monotonic()]
            gaps = (after - before for before, after in pairwise(borders))
            deaf = sum(gap for gap in gaps if gap > 2 * self._period)
            self.hosts.excuse(deaf)
            self._begin_doubt(at, late, "it was late")
        return [len(instants) < MOST_AT_ONCE for instants in came]

    def _begin_doubt(self, at: int, late: int, reason: str) -> None:
        if self._doubt.on_time_since is None:
            self.doubts += 1
            late_ms = late / NS_PER_MS
            if self._let_in:
                names = ", ".join(sorted({address for address, _ in self._let_in}))
                reason += f", and a flood comes in the name of {names}"
            self.out.append({"is": "doubted", "at": at, "late_ms": late_ms, "reason": reason})
        self._doubt.on_time_since = at

    def _end_doubt(self, at: int, late: int) -> None:
        """After two periods in which it kept time, every host that lives was heard again."""
        since = self._doubt.on_time_since
        if since is not None and at - since >= 2 * self._period and late <= SLOW_NS:
            self._doubt.on_time_since = None
            self.out.append({"is": "trusted", "at": at})

    def _now_and_then(self, at: int) -> None:
        if at - self._tick_at >= TICK_NS:
            self._shut_out_floods(at)
            self.out.append({"is": "tick", "at": at})
            self._tick_at = at
        if at - self._counts_at >= COUNTS_NS:
            self.hosts.tell_refused(at)
            self.out.append({"is": "counts", "at": at, **self.counts()})
            self._counts_at, self.latest_ns = at, 0
        if at - self._boots_at >= BOOTS_NS:
            self.out.append({"is": "boots", "at": at, "hosts": self.hosts.boots()})
            self._boots_at = at

    def counts(self) -> dict[str, Any]:
        return {
            "hosts": self.hosts.hosts,
            "accepted": self.hosts.accepted,
            "refused": dict(self.hosts.refused),
            "doubts": self.doubts,
            "overflows": self.overflows,
            "latest_ms": self.latest_ns / NS_PER_MS,
            "shut_out": sorted({address for address, _ in self._shut_out}),
            "let_in": sorted({address for address, _ in self._let_in}),
            "cpu_s": self.clock.processor_s(),
        }

    def _shut_out_floods(self, at: int) -> None:
        """Whoever presses is not heard for a while, so that the others are.

        Any datagram can bear the sender of a host that lives: such a flood is read, and when it is
        too much to be read, nobody is judged.
        """
        pressing = [s for s, count in self.hosts.pressing.items() if count > PRESSED_AFTER]
        self.hosts.pressing.clear()
        believed = self.hosts.believed_since(at - BELIEVED_NS)
        believed |= {(address, 0) for address, _ in believed}
        if at - self._began_at < MEETS_NS:
            believed.update(one for one in pressing if one[0] in self.hosts.known_addresses)
        self._let_in = {sender: until for sender, until in self._let_in.items() if until > at}
        over = [sender for sender, until in self._shut_out.items() if until <= at]
        for sender in over:
            del self._shut_out[sender]
        for sender in pressing:
            (self._let_in if sender in believed else self._shut_out)[sender] = at + SHUT_OUT_NS
        if pressing or over:
            for ear in self.ears:
                ear.shut_out(self._shut_out)

    def _let_meet(self, addresses: Iterable[str], at: int) -> None:
        """A flood from there before the host was known must not keep it from being heard."""
        for sender in [one for one in self._shut_out if one[0] in set(addresses)]:
            self._shut_out[sender] = at

    def _hear_gasp(self, data: bytes, sender: str, at: int) -> None:
        """What kernels shout by netconsole. Not signed: it explains a silence, and no more."""
        host = self._addresses.get(sender)
        if host is not None and GASP in data:
            text = data[:LONGEST_GASP].decode("utf-8", "replace").strip()
            self.out.append({"is": "gasp", "at": at, "host": host, "text": text})

    def _hear_dump(self, data: bytes, sender: str, at: int) -> None:
        """What crash kernels say while they write a dump. Nor is this signed."""
        host = self._addresses.get(sender)
        if host is None or data not in DUMPS:
            return
        if at - self._dumped.get(host, at - DUMP_EACH_NS) >= DUMP_EACH_NS:
            self._dumped[host] = at
            self.out.append({"is": "dump", "at": at, "host": host})


def _open_beside(told: EarSettings, port: int) -> list[socket.socket]:
    """Beside the pulses, where there is a port for it."""
    return [open_plane_socket(address, port) for _, address in told.planes] if port else []


def _hear_beside(
    sockets: list[socket.socket], hear: Callable[[bytes, str, int], None], at: int
) -> None:
    for one in sockets:
        with contextlib.suppress(BlockingIOError):
            for _ in range(GASPS_AT_ONCE):
                data, sender = one.recvfrom(2_048)
                hear(data, sender[0], at)


class _Parent:
    """The pipe to the controller, which is never waited for."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        self.socket.setblocking(False)
        self._came, self._waiting = bytearray(), bytearray()

    def receive(self) -> list[Message]:
        """All whole messages that came. Ends this process when the controller is gone."""
        try:
            while part := self.socket.recv(1 << 16):
                self._came += part
            os._exit(0)
        except BlockingIOError:
            pass
        messages: list[Message] = []
        while len(self._came) >= HEAD.size:
            (size,) = HEAD.unpack_from(self._came)
            end = HEAD.size + size
            if len(self._came) < end:
                break
            messages.append(unpack(self._came[HEAD.size : end]))
            del self._came[:end]
        return messages

    def send(self, messages: list[Message]) -> None:
        for message in messages:
            self._waiting += pack(message)
        try:
            while self._waiting:
                sent = self.socket.send(self._waiting)
                del self._waiting[:sent]
        except BlockingIOError:
            if len(self._waiting) > MOST_WAITING_BYTES:  # It is begun again, and tells all anew.
                sys.exit("ear: the controller reads nothing")


def run(parent: _Parent) -> None:
    """Until the controller ends. Raises OSError."""
    while not (waiting := parent.receive()):
        time.sleep(0.01)
    ear = Ear(EarSettings.read(waiting.pop(0)))
    for message in waiting:
        ear.told(message)
    parent.send([{"is": "listening", "lacks": keep_time(EAR_PRIORITY)}])
    due = ear.clock.monotonic()
    while True:
        for message in parent.receive():
            ear.told(message)
        began = ear.clock.monotonic()
        ear.turn(due)
        parent.send(ear.out)
        ear.out.clear()
        due = max(due, began) + ear.look_ns  # A turn that took long makes the next one late.
        time.sleep(max(0, due - ear.clock.monotonic()) / NS_PER_S)


def main() -> None:
    die_with(int(sys.argv[2]))
    parent = _Parent(int(sys.argv[1]))
    try:
        run(parent)
    except OSError as error:
        why = f"{error.filename or 'what it needs'} cannot be used: {error.strerror}"
        with contextlib.suppress(OSError):  # It may be the pipe itself.
            parent.send([{"is": "ends", "why": why}])
        sys.exit(f"ear: {why}")


if __name__ == "__main__":
    main()
