"""Simulated hosts that pulse, for tests of the ear: time is an argument, datagrams are real."""

from dataclasses import dataclass, field
from typing import Any

from holdfast.controller.ear_hosts import EarHosts
from holdfast.facts.layers import Layer, LayerState, Plan
from holdfast.facts.pulse import Names, Pulse, Word, encode

MS = 1_000_000
PERIOD, MISSES = 50, 4
SENDER = ("10.0.0.1", 5_000)


@dataclass
class FakeHost:
    """`pulse` makes its next datagram; `key` is what it signs with."""

    name: str
    key: bytes = b""
    boot: str = "boot-1"
    sequence: int = 0
    plan: Plan = Plan.NONE
    limit_ms: int = 0
    layers: dict[Layer, LayerState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = self.key or self.name.encode().ljust(32, b"k")

    def pulse(self, plane: str = "a", sequence: int | None = None) -> bytes:
        """With the next sequence; plane b repeats that of plane a, as a real pulse does."""
        if sequence is None:
            self.sequence += 1 if plane == "a" else 0
            sequence = self.sequence
        return encode(
            Pulse(
                names=Names(self.name, plane, self.boot),
                sequence=sequence,
                plan=self.plan,
                plan_limit_ms=self.limit_ms,
                layers={layer: Word(state, 0) for layer, state in self.layers.items()},
            ),
            self.key,
        )


@dataclass
class Scene:
    """An ear's memory with an own clock in milliseconds, and what it said."""

    planes: tuple[str, ...] = ("a", "b")
    now_ms: float = 1_000.0

    def __post_init__(self) -> None:
        self.ear = EarHosts(
            self.planes,
            silence_ns=PERIOD * MISSES * MS,
            period_ns=PERIOD * MS,
            longest_patience_ns=5_000 * MS,
        )
        self.hosts: list[FakeHost] = []

    @property
    def at(self) -> int:
        return int(self.now_ms * MS)

    def know(
        self, *hosts: FakeHost, grace_ms: int = 1_000, boots: dict[str, int] | None = None
    ) -> None:
        for host in hosts:
            due = self.at + grace_ms * MS
            self.ear.know(host.name, host.key, self.planes, boots or {}, due, self.at)

    def take(self, data: bytes, plane: str = "a", sender: tuple[str, int] = SENDER) -> None:
        self.ear.take(data, plane, sender, self.at)

    def run(self, until_ms: float, *pulsing: FakeHost, planes: str = "ab") -> list[dict[str, Any]]:
        """Turns of 10 ms until then, with a pulse of each of these hosts each 50 ms."""
        while self.now_ms < until_ms:
            if self.now_ms % PERIOD == 0:
                for host in pulsing:
                    for plane in sorted({"a", *planes}):
                        data = host.pulse(plane)
                        if plane in planes:
                            self.take(data, plane)
            self.ear.judge(self.at)
            self.now_ms += 10
        return self.said()

    def said(self) -> list[dict[str, Any]]:
        said, self.ear.out[:] = list(self.ear.out), []
        return said


def brief(said: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """What was said, without times."""
    return [
        tuple(str(one[name]) for name in ("is", "host", "plane", "boot") if name in one)
        for one in said
    ]
