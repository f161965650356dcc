"""Hearing: the controller's side of the ear. What the ear process says becomes observations.

It starts the ear and begins it again, tells it whom to believe, and asks hosts that are doubted
whether they live. Keys of known hosts are kept on the shelf: who died while no controller ran is
missed by the next one.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.adapters.drivers.errands import carry
from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.drivers.worker_link import Worker, WorkerGone
from holdfast.controller.ear_words import read_observation
from holdfast.facts import hearing as heard
from holdfast.facts import wire
from holdfast.facts.hearing import Sign
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.pulse import (
    NONCE_BYTES,
    Kind,
    PulseRefused,
    decode,
    encode_probe,
    read_key,
)
from holdfast.facts.settings import Settings
from holdfast.policy.timing import (
    EAR_LOOKS_MS,
    PROBE_LIMIT_MS,
    PULSE_MISSES,
    PULSE_PERIOD_MS,
    PULSE_RESTART_LIMIT_MS,
)
from holdfast.ports import clock

log = logging.getLogger(__name__)

MODULE = "holdfast.controller.ear"
SHELF = "pulse-keys"
LOCAL_PLANES = {"local": "127.0.0.1"}
NEW_GRACE_MS = 5_000  # A host that greets for the first time may not pulse yet.
KNOWN_GRACE_MS = 1_000  # One that was heard before is missed soon after the ear began.
BEGIN_AGAIN_S = 0.1
LONGEST_WAIT_S = 5.0
MUTE_LIMIT_S = 2.0  # The ear ticks ten times a second.
STARTS_LIMIT_S = 30.0  # Until its first word: a host that is busy takes its time to start it.
FRESH_S = 0.3
SLOW_MS = 250.0  # A message that waited longer: the controller was slow.

See = Callable[[heard.Hearing], None]
Carry = Callable[[str, int, bytes, float, str], Awaitable[tuple[bytes, bool]]]


class Known(Struct, frozen=True, kw_only=True):
    """What is kept of a host. `boots`: the highest sequence heard of each, the newest last.

    `has_greeted`: its agent greeted here, and so its pulse pulses here.
    """

    key: str
    addresses: dict[str, str] = {}
    boots: dict[str, int] = {}
    has_greeted: bool = False

    @property
    def should_pulse_here(self) -> bool:
        """Its silence can be judged. One that only the store names may not know of us yet."""
        return self.has_greeted or any(self.boots.values())


class Probe(Struct, frozen=True, kw_only=True):
    """A question to a host's answer port, which anybody may carry."""

    host: str
    plane: str
    address: str
    port: int
    data: bytes
    nonce: str


class Hearing:
    """Made once, then `run` until cancelled. `see` gets each observation, in order."""

    def __init__(
        self,
        settings: Settings,
        see: See,
        *,
        shelf: Shelf | None = None,
        host_name: str = "",
        own_host: str = "",
        make_ear: Callable[[str, list[str], Callable[[Any], None]], Worker] = Worker,
        carry: Carry = carry,
    ) -> None:
        self._make_ear, self._carry = make_ear, carry
        self._settings, self._see, self._shelf = settings, see, shelf
        self._own_host, self._host_name = own_host, host_name or socket.gethostname()
        self.planes = planes_here(settings, self._host_name)
        self._worker: Worker | None = None
        self._known: dict[str, Known] = _read_shelf(shelf)
        self._heard_at = 0.0
        self._doubts: set[str] = set()  # Who doubts: the ear of itself, we of ourselves.
        self._held: dict[tuple[str, str], heard.PlaneSilent] = {}  # Until we are not slow.
        self._counts: dict[str, Any] = {}
        self._lacks: list[str] = []
        self._last_words = ""  # Why the ear could not go on, until one listens again.
        self.restarts = 0

    async def run(self) -> None:
        """Until cancelled. While there is no ear, nobody is known to be silent: that is said."""
        wait_s = BEGIN_AGAIN_S
        try:
            while True:
                began = clock.monotonic_s()
                await self._listen()
                why = f": {self._last_words}" if self._last_words else ""
                self._doubt("ear", 0.0, f"the ear ended and is begun again{why}")
                self.restarts += 1
                is_early = clock.monotonic_s() - began < LONGEST_WAIT_S
                wait_s = min(2 * wait_s, LONGEST_WAIT_S) if is_early else BEGIN_AGAIN_S
                log.error("the ear ended and is begun again%s", why)
                await asyncio.sleep(wait_s)
        finally:
            if self._worker is not None:
                await self._worker.kill()

    def greeted(self, hello: wire.Hello) -> None:
        """An agent greets: its host is expected to pulse from now on."""
        if hello.host_name == self._host_name:
            self.own_host(hello.host)
        if not hello.pulse_key:  # A version before this one, or a disk that cannot be written.
            return
        try:
            self.know_host(
                hello.host, hello.pulse_key, hello.addresses, hello.boot, has_greeted=True
            )
        except ValueError as error:
            log.error("the pulses of host %s cannot be believed: %s", hello.host_name, error)

    def know_host(
        self,
        host: str,
        key: str,
        addresses: dict[str, str],
        boot: str = "",
        *,
        has_greeted: bool = False,
    ) -> None:
        """From its greeting, which its certificate vouched for, here or at another controller.

        Raises ValueError for a bad key.
        """
        read_key(key)
        was = self._known.get(host)
        boots = dict(was.boots) if was else {}
        if boot and boot not in boots:
            boots[boot] = 0
        has_greeted = has_greeted or (was is not None and was.has_greeted)
        known = Known(key=key, addresses=addresses, boots=boots, has_greeted=has_greeted)
        if was == known:
            return
        self._known[host] = known
        self._keep(host)
        self._tell(_know(host, known, NEW_GRACE_MS))

    def forget_host(self, host: str) -> None:
        if self._known.pop(host, None) is not None:
            self._keep(host)
            self._tell({"is": "forget", "host": host})

    def own_host(self, host: str) -> None:
        """The host that this controller runs on: hearing it says nothing about the network."""
        if host == self._own_host:
            return
        self._own_host = host
        self._tell({"is": "own", "host": host})

    def grant(self, hosts: dict[str, tuple[str, int]], until: int) -> None:
        """Have the ear answer these hosts' pulses, of that boot, until then, with a grant of their
        lease. It is told again and again; an ear that was begun anew grants nothing before."""
        self._tell({"is": "grant", "hosts": hosts, "until": until})

    def known_hosts(self) -> dict[str, Known]:
        return dict(self._known)

    def is_reliable(self) -> bool:
        """Whether who is heard here lives now: the ear keeps time, and spoke a moment ago."""
        return not self._doubts and clock.monotonic_s() - self._heard_at < FRESH_S

    def counts(self) -> dict[str, Any]:
        """For status: what the ear counted, and what it does without."""
        is_up = self._worker is not None and not self._worker.gone.is_set()
        told = {"is_up": is_up, "is_doubted": bool(self._doubts), "restarts": self.restarts}
        more = {"why": self._last_words, "planes": self.planes, "lacks": self._lacks}
        return {**told, **more, **self._counts}

    def make_probe(self, host: str, plane: str) -> Probe | None:
        """None when the host is not known to have an address on this plane."""
        known = self._known.get(host)
        address = known.addresses.get(plane) if known else None
        if known is None or address is None:
            return None
        nonce = secrets.token_bytes(NONCE_BYTES)
        return Probe(
            host=host,
            plane=plane,
            address=address,
            port=self._settings.answer_port,
            data=encode_probe(host, plane, nonce, read_key(known.key)),
            nonce=nonce.hex(),
        )

    def check_answer(self, probe: Probe, data: bytes, *, is_kernel: bool) -> Sign:
        """What somebody brought back: only the host itself can have signed our nonce."""
        known = self._known.get(probe.host)
        if known is not None and data:
            try:
                names = decode(data, read_key(known.key), Kind.ANSWER).names
            except PulseRefused:
                names = None
            if names and (names.host, names.nonce) == (probe.host, probe.nonce):
                return Sign.PULSE
        return Sign.KERNEL if is_kernel else Sign.NOTHING

    async def probe(self, host: str, plane: str, limit_ms: float = PROBE_LIMIT_MS) -> Sign:
        """Ask the host itself, from this controller's address on the plane."""
        probe = self.make_probe(host, plane)
        own = self.planes.get(plane)
        if probe is None or own is None:
            return Sign.UNKNOWN
        data, is_kernel = await self._carry(probe.address, probe.port, probe.data, limit_ms, own)
        return self.check_answer(probe, data, is_kernel=is_kernel)

    async def _listen(self) -> None:
        """Until this ear ended, or said nothing for too long."""
        began = self._heard_at = clock.monotonic_s()
        worker = self._worker = self._make_ear(MODULE, [], self._heard)
        await worker.start()
        self._tell(
            {
                "planes": list(self.planes.items()),
                "port": self._settings.pulse_port,
                "period_ms": PULSE_PERIOD_MS,
                "misses": PULSE_MISSES,
                "look_ms": EAR_LOOKS_MS,
                "longest_patience_ms": PULSE_RESTART_LIMIT_MS,
                "gasp_port": self._settings.gasp_port,
                "kdump_port": self._settings.kdump_port,
            }
        )
        self._tell({"is": "own", "host": self._own_host})
        for host, known in self._known.items():
            self._tell(_know(host, known, KNOWN_GRACE_MS))
        while not worker.gone.is_set():
            limit_s = STARTS_LIMIT_S if self._heard_at == began else MUTE_LIMIT_S
            if clock.monotonic_s() - self._heard_at >= limit_s:
                break
            try:
                async with asyncio.timeout(MUTE_LIMIT_S / 4):
                    await worker.gone.wait()
            except TimeoutError:
                continue
        await worker.kill()

    def _tell(self, message: dict[str, Any]) -> None:
        if self._worker is not None:
            try:
                self._worker.send(message)
            except WorkerGone:  # The next one is told all.
                return

    def _heard(self, said: dict[str, Any]) -> None:
        self._heard_at = clock.monotonic_s()
        at = Instant(said.get("at", clock.now()))
        waited_ms = (clock.now() - at) / NS_PER_MS
        if waited_ms > SLOW_MS:
            self._doubt("controller", waited_ms, "the controller was slow")
        match said["is"]:
            case "tick":
                if waited_ms <= SLOW_MS:
                    self._trust("controller")
            case "listening":
                self._lacks, self._last_words = said["lacks"], ""
                self._see(heard.EarBegan(at=clock.now()))
                self._trust("ear")
            case "ends":
                self._last_words = said["why"]
            case "counts":
                self._counts = {name: n for name, n in said.items() if name not in ("is", "at")}
            case "boots":
                self._note_boots(said["hosts"])
            case "doubted":
                self._doubt("ear", said["late_ms"], said["reason"])
            case "trusted":
                self._trust("ear")
            case _:
                self._pass_on(said, at)

    def _pass_on(self, said: dict[str, Any], at: Instant) -> None:
        """While we are slow a silence may be over in the next message: it is held that long."""
        seen = read_observation(said, at)
        if isinstance(seen, heard.PlaneSilent) and "controller" in self._doubts:
            self._held[seen.host, seen.plane] = seen
        elif isinstance(seen, heard.PlaneHeard) and (seen.host, seen.plane) in self._held:
            silence = self._held.pop((seen.host, seen.plane))
            if silence.boot != seen.boot:  # It was no silence that is over, but a boot.
                self._see(seen)
        elif seen is not None:
            self._see(seen)

    def _doubt(self, who: str, late_ms: float, reason: str) -> None:
        is_first = not self._doubts
        self._doubts.add(who)
        if is_first:
            at = clock.now()
            self._see(heard.EarDoubted(at=at, late_ms=late_ms, reason=reason))

    def _trust(self, who: str) -> None:
        if who not in self._doubts:
            return
        self._doubts.remove(who)
        if not self._doubts:
            self._see(heard.EarTrusted(at=clock.now()))
        if who == "controller":
            held, self._held = self._held, {}
            for seen in held.values():
                self._see(seen)

    def _note_boots(self, hosts: dict[str, dict[str, int]]) -> None:
        for host, boots in hosts.items():
            known = self._known.get(host)
            if known is not None and known.boots != boots:
                self._known[host] = msgspec.structs.replace(known, boots=boots)
                self._keep(host)

    def _keep(self, host: str) -> None:
        if self._shelf is not None:
            known = self._known.get(host)
            self._shelf.put(SHELF, host, msgspec.json.encode(known) if known else None)


def planes_here(settings: Settings, host_name: str) -> dict[str, str]:
    """The addresses by plane on which this controller hears."""
    place = settings.place_of(host_name)
    if place is not None:
        return dict(place.planes)
    return settings.own_planes or dict(LOCAL_PLANES)


def _know(host: str, known: Known, grace_ms: int) -> dict[str, Any]:
    told = {"key": known.key, "addresses": known.addresses, "boots": known.boots}
    return {"is": "know", "host": host, "grace_ms": grace_ms, **told}


def _read_shelf(shelf: Shelf | None) -> dict[str, Known]:
    found = {}
    for host, value in (shelf.all(SHELF) if shelf else {}).items():
        try:
            found[host] = msgspec.json.decode(value, type=Known)
            read_key(found[host].key)
        except (msgspec.MsgspecError, ValueError):
            found.pop(host, None)  # It will be told anew with the host's next greeting.
    return found
