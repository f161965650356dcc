"""What the ear knows of each host: when it was heard on each plane, in which boot, saying what.

No I/O and no clock, and little work for a datagram: there are tens of thousands in a second. Only
a sequence that rises counts as a sign of life. Standard library and `facts` only.
"""

import struct
from collections import Counter
from collections.abc import Iterable
from hmac import compare_digest
from typing import Any

from holdfast.controller.ear_grants import EarGrants
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.layers import Plan
from holdfast.facts.pulse import (
    BODY,
    DIGEST_BYTES,
    MAGIC,
    MALFORMED,
    NAMES_AT,
    SAID_AT,
    WRONG_KEY,
    Kind,
    Names,
    PulseRefused,
    begin_digest,
    digest_of,
    is_signed,
    peek,
    read_said,
)

UNKNOWN_HOST, WRONG_PLANE = "unknown host", "wrong plane"
REPEATED, REORDERED = "repeated", "reordered"  # Heard before; or later than one sent after it.

WINDOW = 64  # Sequences behind the highest, of which it is known whether they were heard.
_WINDOW_MASK = (1 << WINDOW) - 1
MOST_BOOTS = 8  # Of one host, of which the highest sequence is remembered.
MOST_SENDERS = 1_024
CROSSED_AFTER = 3  # Pulses of an older boot, so that one that went astray is none.
CROSSED_AGAIN_NS = 5_000_000_000
REFUSED_AGAIN_NS = 1_000_000_000
REFUSED_LEAST = 5
_NEVER = 1 << 63
_NUMBERS = struct.Struct("!QQ")
_BODY_LEAST = BODY.size + 1 + DIGEST_BYTES

Message = dict[str, Any]
Sender = tuple[str, int]  # Address and port; port 0: all of the address.
NOBODY: Sender = ("", 0)


class _Line:
    """One host on one plane. `due`: when it is silent, unless it is heard before."""

    __slots__ = ("due", "host", "is_silent", "last", "plane", "window")

    def __init__(self, host: "_Host", plane: str, at: int, due: int) -> None:
        self.host, self.plane, self.last, self.due = host, plane, at, due
        self.window: _Window | None = None
        self.is_silent = False


class _Window:
    """The sequences that were heard of one boot of a host on one plane."""

    __slots__ = ("bits", "body_at", "boot", "highest", "line", "sender")

    def __init__(self, line: _Line, boot: str, body_at: int, highest: int) -> None:
        self.line, self.boot, self.body_at, self.highest = line, boot, body_at, highest
        self.bits, self.sender = _WINDOW_MASK, NOBODY


class _Host:
    __slots__ = (
        *("boot", "boots", "crossed", "crossed_at", "crossed_said_at", "digest", "key", "lines"),
        *("name", "patience", "refused", "refused_said_at", "said", "said_sequence", "windows"),
    )

    def __init__(self, name: str, key: bytes, patience: int) -> None:
        self.name, self.patience = name, patience
        self.believe(key)
        self.lines: dict[str, _Line] = {}
        self.windows: dict[bytes, _Window] = {}
        self.boot = ""
        self.boots: dict[str, int] = {}  # The newest last, with the highest sequence heard.
        self.said, self.said_sequence = b"", 0
        self.crossed = self.crossed_at = 0
        self.crossed_said_at: int | None = None
        self.refused: dict[tuple[str, str], tuple[int, str]] = {}
        self.refused_said_at = 0

    def believe(self, key: bytes) -> None:
        self.key, self.digest = key, begin_digest(key)


class EarHosts:
    """`out` collects what must be told; instants and durations are nanoseconds."""

    def __init__(
        self, planes: Iterable[str], silence_ns: int, period_ns: int, longest_patience_ns: int
    ) -> None:
        self.planes = frozenset(planes)
        self.own = ""  # The controller's own host: that it is heard says nothing of the network.
        self.out: list[Message] = []
        self.refused: Counter[str] = Counter()
        self.pressing: Counter[Sender] = Counter()  # Since somebody last cleared it.
        self.known_addresses: frozenset[str] = frozenset()  # Another's flood must not silence them.
        self.believed: dict[Sender, int] = {}  # Whoever sent a signed pulse, and when last.
        self.is_late = False  # What is taken has waited: plane by plane, in no order of time.
        self.accepted = 0
        self.grants = EarGrants()
        self._silence, self._period, self._longest = silence_ns, period_ns, longest_patience_ns
        self._often = period_ns // 8
        self._hosts: dict[str, _Host] = {}
        self._windows: dict[bytes, _Window] = {}
        self._awake: dict[_Line, None] = {}
        self._earliest = _NEVER  # No line that is awake is due before; so most looks are short.

    def know(
        self, name: str, key: bytes, planes: Iterable[str], boots: dict[str, int], due: int, at: int
    ) -> None:
        """Believe this key from now on; where the host was never heard, it is silent when due."""
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name, key, self._silence)
            host.boots = dict(list(boots.items())[-MOST_BOOTS:])
            host.boot = next(reversed(host.boots), "")
        host.believe(key)
        wanted = self.planes.intersection(planes)
        for plane in sorted(wanted - host.lines.keys()):
            self._line(host, plane, at, due)
        for plane in host.lines.keys() - wanted:
            self._drop(host, plane)

    def forget(self, name: str) -> None:
        host = self._hosts.pop(name, None)
        if host is not None:
            for plane in list(host.lines):
                self._drop(host, plane)

    def take(self, data: bytes, plane: str, sender: Sender, at: int) -> None:
        """One datagram that came in on a plane; `at` is when the kernel had it."""
        window = self._windows.get(data[: NAMES_AT + data[5]]) if len(data) > NAMES_AT else None
        if window is None:
            if not data.startswith(MAGIC):  # Floods of rubbish cost no more than this.
                return self._refuse(MALFORMED, None, plane, sender)
            window = self._meet(data, plane, sender, at)
            if window is None:
                return None
        line = window.line
        host = line.host
        if line.plane != plane:
            return self._refuse(WRONG_PLANE, host, line.plane, sender)
        digest = digest_of(data[:-DIGEST_BYTES], host.digest)
        if not compare_digest(digest, data[-DIGEST_BYTES:]):
            return self._refuse(WRONG_KEY, host, plane, sender)
        body_at = window.body_at
        if len(data) < body_at + _BODY_LEAST:
            return self._refuse(MALFORMED, host, plane, sender)
        sequence = _NUMBERS.unpack_from(data, body_at)[0]
        step = sequence - window.highest
        if step <= 0:
            return self._not_new(window, -step, sender)
        window.bits = (window.bits << step | 1) & _WINDOW_MASK if step < WINDOW else 1
        window.highest = sequence
        window.sender = sender
        self.believed[sender] = at
        if window.boot != host.boot and not self._is_current(host, window, at):
            return None
        if at - line.last < self._often:
            self._press(sender)
        self.accepted += 1
        line.last = at
        line.due = due = at + host.patience
        if due < self._earliest:  # An excuse, or a plan, may have made it later.
            self._earliest = due
        if line.is_silent or line.window is not window:
            self._heard(line, window, at)
        self._look_into(data, window, sequence, at)
        return None

    def _look_into(self, data: bytes, window: _Window, sequence: int, at: int) -> None:
        """What it says is told where it is new; and it is answered where it may be."""
        host, body_at = window.line.host, window.body_at
        said_at = body_at + SAID_AT
        said = data[said_at : said_at + 6 + 2 * data[said_at + 5]]
        if said != host.said and sequence > host.said_sequence:
            self._said(host, said, sequence, at)
        if host.name in self.grants.hosts:
            names = Names(host.name, window.line.plane, window.boot)
            self.grants.note(names, host.key, data, body_at, window.sender, at)

    def judge(self, at: int) -> None:
        """Say of each host that is not heard in time on a plane that it is silent there."""
        if at < self._earliest:
            return
        silent = [line for line in self._awake if line.due <= at]
        if silent:
            self._tell_silent(silent, at)
        self._earliest = min((line.due for line in self._awake), default=_NEVER)

    def _tell_silent(self, silent: list[_Line], at: int) -> None:
        newest, second = self._newest_two()
        for line in silent:
            line.is_silent = True
            del self._awake[line]
            other = second if newest and newest.host is line.host else newest
            told = {"host": line.host.name, "plane": line.plane, "boot": line.host.boot}
            missed = max(0, at - line.last) // self._period
            heard = {"last": line.last, "missed": missed, "other": other.last if other else None}
            self.out.append({"is": "silent", "at": at, **told, **heard})

    def believed_since(self, since: int) -> set[Sender]:
        """Who sent signed pulses lately; those of before are forgotten."""
        self.believed = {sender: at for sender, at in self.believed.items() if at >= since}
        return set(self.believed)

    def excuse(self, deaf_ns: int) -> None:
        """For so long nothing could be heard: that is no silence of anybody."""
        for line in self._awake:
            line.due += deaf_ns

    def tell_refused(self, at: int) -> None:
        """Say what was refused in known hosts' names, now and then, where it was much."""
        for host in self._hosts.values():
            if not host.refused or at - host.refused_said_at < REFUSED_AGAIN_NS:
                continue
            for (plane, reason), (count, sender) in host.refused.items():
                if count >= REFUSED_LEAST:
                    told = {"plane": plane, "reason": reason, "sender": sender, "count": count}
                    self.out.append({"is": "refused", "at": at, "host": host.name, **told})
            host.refused, host.refused_said_at = {}, at

    def boots(self) -> dict[str, dict[str, int]]:
        """By host, the highest sequence of each boot: what was heard must not be heard again."""
        for window in self._windows.values():
            boots = window.line.host.boots
            if window.boot in boots:
                boots[window.boot] = max(boots[window.boot], window.highest)
        return {name: dict(host.boots) for name, host in self._hosts.items() if host.boots}

    @property
    def hosts(self) -> int:
        return len(self._hosts)

    @property
    def has_awake(self) -> bool:
        return bool(self._awake)

    def _meet(self, data: bytes, plane: str, sender: Sender, at: int) -> _Window | None:
        """The first datagram of a boot on a plane: it counts only if its host's key signed it."""
        host: _Host | None = None
        try:
            names = peek(data, Kind.PULSE)
            host = self._hosts.get(names.host)
            if host is None:
                raise PulseRefused(UNKNOWN_HOST)
            if not is_signed(data, host.key):
                raise PulseRefused(WRONG_KEY)
            if names.plane != plane:
                raise PulseRefused(WRONG_PLANE)
        except PulseRefused as refusal:
            self._refuse(refusal.reason, host, plane, sender)
            return None
        line = host.lines.get(plane) or self._line(host, plane, at, at + self._silence)
        end = NAMES_AT + data[5]
        window = _Window(line, names.boot, end, host.boots.get(names.boot, 0))
        host.windows[data[:end]] = self._windows[data[:end]] = window
        return window

    def _is_current(self, host: _Host, window: _Window, at: int) -> bool:
        """Whether another boot than before runs now. An older one does when the newer is silent."""
        if window.boot in host.boots:
            lines = [one for one in host.lines.values() if not one.is_silent and one.window]
            heard = [line.last for line in lines if line.window and line.window.boot == host.boot]
            if heard and at - max(heard) < self._silence:
                if not self.is_late:
                    self._cross(host, window, at)
                return False
            del host.boots[window.boot]
        elif len(host.boots) >= MOST_BOOTS:
            self._forget_boot(host, next(iter(host.boots)))
        host.boots[window.boot] = 0  # Noted now and then; its windows know better.
        host.boot = window.boot
        host.said, host.said_sequence = b"", 0
        return True

    def _cross(self, host: _Host, window: _Window, at: int) -> None:
        is_lasting = at - host.crossed_at < REFUSED_AGAIN_NS
        host.crossed = host.crossed + 1 if is_lasting else 1
        host.crossed_at = at
        said_at = host.crossed_said_at
        is_told = said_at is not None and at - said_at < CROSSED_AGAIN_NS
        if host.crossed < CROSSED_AFTER or is_told:
            return
        host.crossed_said_at = at
        windows = [line.window for line in host.lines.values() if line.window]
        sender = next((one.sender for one in windows if one.boot == host.boot), NOBODY)
        boots, senders = [host.boot, window.boot], [sender[0], window.sender[0]]
        told = {"host": host.name, "boots": boots, "senders": senders}
        self.out.append({"is": "crossed", "at": at, **told})

    def _said(self, host: _Host, said: bytes, sequence: int, at: int) -> None:
        host.said, host.said_sequence = said, sequence
        try:
            read = read_said(said)
        except (struct.error, IndexError):
            self.refused[MALFORMED] += 1
            return
        is_planned = read.plan is Plan.PULSE_RESTARTS
        limit = min(read.plan_limit_ms * NS_PER_MS, self._longest)
        host.patience = max(self._silence, limit) if is_planned else self._silence
        for line in host.lines.values():  # What one plane said holds for the others.
            if is_planned:
                line.due = max(line.due, at + host.patience)
            else:
                line.due = min(line.due, at + host.patience)
                self._earliest = min(self._earliest, line.due)
        told = {"plan": str(read.plan), "limit_ms": read.plan_limit_ms}
        layers = {str(layer): str(state) for layer, state in read.layers.items()}
        message = {"is": "said", "at": at, "host": host.name, "boot": host.boot}
        self.out.append({**message, **told, "layers": layers})

    def _heard(self, line: _Line, window: _Window, at: int) -> None:
        line.is_silent, line.window = False, window
        self._awake[line] = None
        told = {"host": line.host.name, "plane": line.plane, "boot": window.boot}
        self.out.append({"is": "heard", "at": at, **told})

    def _not_new(self, window: _Window, behind: int, sender: Sender) -> None:
        """No sign of life: it was sent before one that was heard."""
        mask = 1 << behind
        is_late = behind < WINDOW and not window.bits & mask
        window.bits |= mask if is_late else 0
        line = window.line
        self._refuse(REORDERED if is_late else REPEATED, line.host, line.plane, sender)

    def _refuse(self, reason: str, host: _Host | None, plane: str, sender: Sender) -> None:
        self.refused[reason] += 1
        self._press(sender)
        if host is not None and reason != REORDERED:
            count, _ = host.refused.get((plane, reason), (0, ""))
            host.refused[plane, reason] = count + 1, sender[0]

    def _press(self, sender: Sender) -> None:
        """A stranger presses with all its ports together, a known host's address with each."""
        by = sender if sender[0] in self.known_addresses else (sender[0], 0)
        if by in self.pressing or len(self.pressing) < MOST_SENDERS:
            self.pressing[by] += 1

    def _line(self, host: _Host, plane: str, at: int, due: int) -> _Line:
        line = host.lines[plane] = _Line(host, plane, at, due)
        self._awake[line] = None
        self._earliest = min(self._earliest, due)
        return line

    def _drop(self, host: _Host, plane: str) -> None:
        line = host.lines.pop(plane)
        self._awake.pop(line, None)
        for names in [n for n, window in host.windows.items() if window.line is line]:
            del host.windows[names], self._windows[names]

    def _forget_boot(self, host: _Host, boot: str) -> None:
        del host.boots[boot]
        for names in [n for n, window in host.windows.items() if window.boot == boot]:
            del host.windows[names], self._windows[names]

    def _newest_two(self) -> tuple[_Line | None, _Line | None]:
        """The lines of two hosts that were heard last; the controller's own host apart."""
        newest: _Line | None = None
        second: _Line | None = None
        for host in self._hosts.values():
            heard = [line for line in host.lines.values() if line.window is not None]
            if not heard or host.name == self.own:
                continue
            best = max(heard, key=lambda line: line.last)
            if newest is None or best.last > newest.last:
                newest, second = best, newest
            elif second is None or best.last > second.last:
                second = best
        return newest, second
