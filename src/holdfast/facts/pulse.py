"""The datagrams of a pulse: what a host says twenty times a second, a probe, and its answer.

One form for these three: magic, version, kind, the names it is about, a body, and a keyed digest
over all of it. A newer version only adds: known fields keep their places, what follows them is
skipped, and words that are not known are left out. Standard library only.

    HFP version kind | length, names (host, plane, boot, nonce: lines of ASCII)
    | sequence u64, sent u64 (ns), plan u8, limit u32 (ms) | count, (layer u8, state u8) each
    | age u16 (ms) each | what newer versions add | blake2s, 16 bytes

A fourth is the leader's answer to a pulse where VMs rely on a lease: it grants the host's lease
from when that pulse was sent.

    HFP version kind | length, names | sequence u64, sent u64 of the pulse, epoch u64 | blake2s
"""

import functools
import hmac
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2s
from typing import NamedTuple

from holdfast.facts.layers import Layer, LayerState, Plan

VERSION = 1
MAGIC = b"HFP"
DIGEST_BYTES = 16
KEY_BYTES = 32
NONCE_BYTES = 16
LONGEST_BYTES = 512
LONGEST_AGE_MS = 0xFFFF

NAMES_AT = 6  # Before it: magic, version, kind, the length of the names.
BODY = struct.Struct("!QQBI")
GRANT = struct.Struct("!QQQ")
_AGE = struct.Struct("!H")
SAID_AT = 16  # In the body: plan, limit and layers, which seldom change, follow each other.

MALFORMED, OTHER_VERSION, WRONG_KEY = "malformed", "other version", "wrong key"

# Numbers are for ever; new ones are added at the end.
LAYERS = (Layer.AGENT, Layer.LIBVIRT, Layer.SWITCH, Layer.STORAGE)
STATES = (
    LayerState.UNKNOWN,
    LayerState.WELL,
    LayerState.ILL,
    LayerState.STALE,
    LayerState.RESTARTING,
    LayerState.STOPPED,
)
_PLANS = (Plan.NONE, Plan.PULSE_RESTARTS, Plan.HOST_STOPS)
_LAYER_NUMBER = {layer: number for number, layer in enumerate(LAYERS)}
_STATE_NUMBER = {state: number for number, state in enumerate(STATES)}
_PLAN_NUMBER = {plan: number for number, plan in enumerate(_PLANS)}


class Kind(IntEnum):
    PULSE = 1
    PROBE = 2
    ANSWER = 3
    GRANT = 4


class PulseRefused(ValueError):
    """A datagram is not believed. `reason`: malformed, other version, wrong key."""

    def __init__(self, reason: str, why: str = "") -> None:
        super().__init__(f"{reason}: {why}" if why else reason)
        self.reason = reason


class Names(NamedTuple):
    """Whom a datagram is about; of probes and answers, with the asker's nonce in hex."""

    host: str
    plane: str
    boot: str = ""
    nonce: str = ""


class Word(NamedTuple):
    """How a layer is, and how old that word was at sending."""

    state: LayerState
    age_ms: int


class Said(NamedTuple):
    """The part of a pulse that seldom changes."""

    layers: dict[Layer, LayerState]
    plan: Plan
    plan_limit_ms: int


class Grant(NamedTuple):
    """Which pulse it answers, by that one's own words, and in which epoch of the host's lease."""

    names: Names
    sequence: int
    sent_ns: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """`sequence` rises with each datagram of one boot; `sent_ns` is the sender's monotonic clock,
    which nobody subtracts from another's."""

    names: Names
    sequence: int = 0
    sent_ns: int = 0
    plan: Plan = Plan.NONE
    plan_limit_ms: int = 0
    layers: Mapping[Layer, Word] = field(default_factory=dict)


def encode(pulse: Pulse, key: bytes, kind: Kind = Kind.PULSE) -> bytes:
    """Raises ValueError when a name is no line of ASCII, or all of them are too long."""
    return sign(_header(pulse.names, kind) + encode_body(pulse), key)


def encode_each(pulse: Pulse, planes: Iterable[str], key: bytes) -> dict[str, bytes]:
    """The same pulse for each plane, whatever plane its names say. Raises ValueError as encode."""
    body = encode_body(pulse)
    host, _, boot, nonce = pulse.names
    return {
        plane: sign(_header(Names(host, plane, boot, nonce), Kind.PULSE) + body, key)
        for plane in planes
    }


def encode_body(pulse: Pulse) -> bytes:
    """Twenty times a second: one buffer, and no list on the way."""
    layers = pulse.layers
    body = bytearray(
        BODY.pack(pulse.sequence, pulse.sent_ns, _PLAN_NUMBER[pulse.plan], pulse.plan_limit_ms)
    )
    body.append(len(layers))
    ages = bytearray()
    for layer, (state, age_ms) in layers.items():
        body.append(_LAYER_NUMBER[layer])
        body.append(_STATE_NUMBER[state])
        ages += _AGE.pack(min(max(0, age_ms), LONGEST_AGE_MS))
    return bytes(body + ages)


def encode_probe(host: str, plane: str, nonce: bytes, key: bytes) -> bytes:
    """Who holds the key may ask; the answer is no longer than the question makes it."""
    return sign(_header(Names(host, plane, "", nonce.hex()), Kind.PROBE), key)


def encode_grant(grant: Grant, key: bytes) -> bytes:
    body = GRANT.pack(grant.sequence, grant.sent_ns, grant.epoch)
    return sign(_header(grant.names, Kind.GRANT) + body, key)


def decode_grant(data: bytes, key: bytes) -> Grant:
    """Raises PulseRefused."""
    names = peek(data, Kind.GRANT)
    if not is_signed(data, key):
        raise PulseRefused(WRONG_KEY)
    try:
        return Grant(names, *GRANT.unpack_from(data[:-DIGEST_BYTES], NAMES_AT + data[5]))
    except struct.error:
        raise PulseRefused(MALFORMED, "it ends too early") from None


def decode(data: bytes, key: bytes, kind: Kind = Kind.PULSE) -> Pulse:
    """A pulse, or an answer, that is signed with this key. Raises PulseRefused."""
    names = peek(data, kind)
    if not is_signed(data, key):
        raise PulseRefused(WRONG_KEY)
    body = data[NAMES_AT + data[5] : -DIGEST_BYTES]
    try:
        sequence, sent_ns, _, _ = BODY.unpack_from(body)
        said = read_said(body[SAID_AT:])
        count = body[BODY.size]
        ages = struct.unpack_from(f"!{count}H", body, BODY.size + 1 + 2 * count)
    except (struct.error, IndexError):
        raise PulseRefused(MALFORMED, "it ends too early") from None
    numbers = body[BODY.size + 1 : BODY.size + 1 + 2 * count : 2]
    aged = {LAYERS[n]: age for n, age in zip(numbers, ages, strict=True) if n < len(LAYERS)}
    return Pulse(
        names=names,
        sequence=sequence,
        sent_ns=sent_ns,
        plan=said.plan,
        plan_limit_ms=said.plan_limit_ms,
        layers={layer: Word(state, aged[layer]) for layer, state in said.layers.items()},
    )


def decode_probe(data: bytes, key: bytes) -> Names:
    """Raises PulseRefused."""
    names = peek(data, Kind.PROBE)
    if not is_signed(data, key):
        raise PulseRefused(WRONG_KEY)
    if len(names.nonce) != 2 * NONCE_BYTES:
        raise PulseRefused(MALFORMED, "the nonce has another length")
    return names


def peek(data: bytes, kind: Kind) -> Names:
    """What an unproven datagram says of itself. Raises PulseRefused."""
    if len(data) < NAMES_AT + DIGEST_BYTES or data[:3] != MAGIC:
        raise PulseRefused(MALFORMED, "it is no datagram of ours")
    if not works_with(data[3]):
        raise PulseRefused(OTHER_VERSION, f"it is version {data[3]}, and this is {VERSION}")
    if data[4] != kind:
        raise PulseRefused(MALFORMED, f"it is of kind {data[4]}")
    end = NAMES_AT + data[5]
    if end + DIGEST_BYTES > len(data) or len(data) > LONGEST_BYTES:
        raise PulseRefused(MALFORMED, "its length is wrong")
    try:
        parts = data[NAMES_AT:end].decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise PulseRefused(MALFORMED, "a name is not ASCII") from None
    if len(parts) < 2 or not parts[0] or not parts[1]:
        raise PulseRefused(MALFORMED, "it names no host and plane")
    return Names(*parts[: len(Names._fields)])


def read_said(body: bytes) -> Said:
    """From the bytes of a body after SAID_AT. Raises IndexError, struct.error."""
    plan, limit_ms, count = struct.unpack_from("!BIB", body)
    pairs = body[6 : 6 + 2 * count]
    if len(pairs) < 2 * count:
        raise IndexError(count)
    layers = {
        LAYERS[number]: STATES[state] if state < len(STATES) else LayerState.UNKNOWN
        for number, state in zip(pairs[::2], pairs[1::2], strict=True)
        if number < len(LAYERS)
    }
    return Said(layers, _PLANS[plan] if plan < len(_PLANS) else Plan.NONE, limit_ms)


def works_with(version: int) -> bool:
    """Whether one side is at most one version behind the other."""
    return abs(version - VERSION) <= 1


def sign(unsigned: bytes, key: bytes) -> bytes:
    return unsigned + digest_of(unsigned, begin_digest(key))


def is_signed(data: bytes, key: bytes) -> bool:
    digest = digest_of(data[:-DIGEST_BYTES], begin_digest(key))
    return hmac.compare_digest(digest, data[-DIGEST_BYTES:])


@functools.lru_cache(maxsize=4_096)
def begin_digest(key: bytes) -> blake2s:
    """What each digest with this key begins with: a copy costs half of a new one."""
    return blake2s(key=key, digest_size=DIGEST_BYTES)


def digest_of(data: bytes, begun: blake2s) -> bytes:
    digest = begun.copy()
    digest.update(data)
    return digest.digest()


def read_key(text: str) -> bytes:
    """From hex. Raises ValueError."""
    key = bytes.fromhex(text.strip())
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key of pulses has {KEY_BYTES} bytes, and this one {len(key)}")
    return key


@functools.lru_cache(maxsize=64)  # A host says the same names twenty times a second.
def _header(names: Names, kind: Kind) -> bytes:
    for name in names:
        if "\n" in name or not name.isascii():
            raise ValueError(f"a pulse cannot name {name!r}")
    text = "\n".join(names).encode("ascii")
    if len(text) > 255:
        raise ValueError(f"the names {names} are too long for a pulse")
    return MAGIC + bytes((VERSION, kind, len(text))) + text
