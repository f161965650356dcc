"""The pulse of a simulated host: the real datagrams, as its own clock has them due."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from holdfast.adapters.simulated.machine import Machine
from holdfast.agent.petting import Petting
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.layers import Layer, LayerState, Plan
from holdfast.facts.pulse import (
    KEY_BYTES,
    Kind,
    Names,
    Pulse,
    PulseRefused,
    Word,
    decode_probe,
    encode,
    encode_each,
)
from holdfast.policy import timing

REPEATS_OF_PLAN, BETWEEN_REPEATS_MS = 3, 5.0
PERIOD_NS = timing.PULSE_PERIOD_MS * NS_PER_MS
Board = Callable[[Instant], Mapping[Layer, Word]]
# Where datagrams arrive: a socket of the ear, which its kernel fills while the ear sleeps. It is
# told what came, on which plane, and from which machine.
Listens = Callable[[bytes, str, str], None]


@cache
def key_of(host: str) -> bytes:
    return hashlib.blake2s(host.encode(), digest_size=KEY_BYTES).digest()


class SimulatedPulse:
    """What agent/pulse.py does, on a machine's own clock: a datagram per plane and period.

    `targets` hear it, by machine name. `host` and `key` may be another's: a cloned host.
    """

    def __init__(
        self, machine: Machine, targets: Iterable[tuple[str, Listens]], board: Board
    ) -> None:
        self.host, self.key = machine.name, key_of(machine.name)
        self.plan, self.limit_ms = Plan.NONE, 0
        self._machine, self._targets, self._board = machine, list(targets), board
        self._life = 0
        self.is_running = False
        self._sequence = 0
        self._granted: list[bytes] = []  # What its sockets hold, until it looks.

    def begin(self) -> None:
        self._life += 1
        self._granted.clear()
        self._petting = Petting(
            self._machine.lease_board,
            self._machine.watchdog,
            host=self.host,
            boot=self._machine.boot,
            key=self.key,
            say=lambda _text: None,
        )
        self.is_running = True
        self.plan, self.limit_ms = Plan.NONE, 0
        self._sequence = self._machine.own.monotonic_ns() // NS_PER_MS
        self._beat_on(self._life)

    def end(self) -> None:
        """Killed, or gone with its machine: it says nothing."""
        self._life += 1
        self.is_running = False

    def leave(self, plan: Plan, limit_ms: int) -> None:
        """A planned end says so, more than once, because datagrams are lost."""
        self.plan, self.limit_ms = plan, limit_ms
        life = self._life
        for repeat in range(REPEATS_OF_PLAN):
            self._machine.later(repeat * BETWEEN_REPEATS_MS, self._beat)
        after_ms = REPEATS_OF_PLAN * BETWEEN_REPEATS_MS
        self._machine.later(after_ms, lambda: self.end() if life == self._life else None)

    def answer(self, plane: str, probe: bytes) -> bytes:
        """What its answer port sends back; nothing while no process of it runs."""
        machine = self._machine
        if not self.is_running or machine.is_frozen:
            return b""
        try:
            asked = decode_probe(probe, self.key)
        except PulseRefused:
            return b""
        at = Instant(machine.own.monotonic_ns())
        names = Names(self.host, plane, machine.boot, asked.nonce)
        said = Pulse(names=names, sequence=self._sequence, sent_ns=at, plan=self.plan)
        return encode(said, self.key, Kind.ANSWER)

    def _beat_on(self, life: int) -> None:
        """Again and again; who is frozen goes on after it, and what was missed is missed."""
        machine = self._machine
        if life != self._life or not machine.is_up:
            return
        if not machine.is_frozen:
            self._pet()
            self._beat()
        due = machine.own.virtual_at(machine.own.monotonic_ns() + PERIOD_NS)
        machine.clock.at(due, partial(self._beat_on, life))

    def granted(self, data: bytes) -> None:
        """The leader's ear has answered a pulse."""
        if self.is_running:
            self._granted.append(data)

    def _pet(self) -> None:
        at = self._machine.own.monotonic_ns()
        granted, self._granted = self._granted, []
        for data in granted:
            self._petting.granted(data, at)
        self._petting.look(at)

    def _beat(self) -> None:
        machine, network = self._machine, self._machine.network
        self._sequence += 1
        at = Instant(machine.own.monotonic_ns())
        pulse = Pulse(
            names=Names(self.host, "", machine.boot),
            sequence=self._sequence,
            sent_ns=at,
            plan=self.plan,
            plan_limit_ms=self.limit_ms,
            layers=self._board(at),
        )
        source = machine.name
        for plane, data in encode_each(pulse, network.planes, self.key).items():
            network.send_each(plane, source, self._targets, data, plane, source)


def agent_board(
    last_written: Callable[[], int | None], restarts_on_purpose: Callable[[], bool]
) -> Board:
    """The health board: what the agent wrote last, and whether that is still good."""

    def read(at: Instant) -> dict[Layer, Word]:
        written = last_written()
        if written is None:
            return {}
        age_ms = (at - written) // NS_PER_MS
        state, limit_ms = LayerState.WELL, timing.LAYER_LIMIT_MS
        if restarts_on_purpose():
            state, limit_ms = LayerState.RESTARTING, timing.AGENT_RESTART_LIMIT_MS
        return {Layer.AGENT: Word(LayerState.STALE if age_ms > limit_ms else state, age_ms)}

    return read
