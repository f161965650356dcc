"""Networks between the machines of a simulated data centre: planes that lose, double and delay.

What goes from one machine to another on a plane is a datagram (a callback that may come late,
twice, or never) or a message on a connection, which keeps its order and waits for a broken path.
"""

import functools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from holdfast.adapters.simulated.clock import Clock
from holdfast.facts.instants import NS_PER_MS

Way = tuple[str, str, str]  # plane, from, to
DELAY_MS = 0.2
RESEND_MS = 200.0  # A connection tries again after this long, as TCP does.
GIVES_UP_MS = 10_000.0  # ... and breaks after this long without a path, as its pings find.


@dataclass
class Weather:
    """How bad a plane is: shares of datagrams lost and doubled; delay, and how much it varies."""

    loss: float = 0.0
    twice: float = 0.0
    delay_ms: float = DELAY_MS
    jitter_ms: float = 0.0


class Network:
    """Everything is decided by `rng`, so that a seed tells the same story each time."""

    def __init__(self, clock: Clock, rng: random.Random, planes: Iterable[str]) -> None:
        self._clock, self._rng = clock, rng
        self.weather = {plane: Weather() for plane in planes}
        self._cut: set[Way] = set()
        self._down: set[str] = set()  # Machines without power, or whose network is dead.
        self.changed: list[Callable[[], None]] = []

    @property
    def planes(self) -> list[str]:
        return list(self.weather)

    # What happens to it.

    def cut(self, plane: str, source: str, target: str) -> None:
        """One way only."""
        self._cut.add((plane, source, target))
        self._tell()

    def mend(self, plane: str, source: str, target: str) -> None:
        self._cut.discard((plane, source, target))
        self._tell()

    def split(self, plane: str, groups: Iterable[Iterable[str]]) -> None:
        """Machines of different groups do not reach each other on this plane."""
        sets = [set(group) for group in groups]
        for one in sets:
            for other in sets:
                if one is not other:
                    self._cut |= {(plane, a, b) for a in one for b in other}
        self._tell()

    def isolate(self, plane: str, machine: str, others: Iterable[str]) -> None:
        self.split(plane, [[machine], [other for other in others if other != machine]])

    def mend_all(self) -> None:
        self._cut.clear()
        for plane in self.weather:
            self.weather[plane] = Weather()
        self._tell()

    def mend_machine(self, plane: str, machine: str) -> None:
        self._cut = {w for w in self._cut if w[0] != plane or machine not in w[1:]}
        self._tell()

    def set_weather(self, plane: str, weather: Weather) -> None:
        self.weather[plane] = weather
        self._tell()

    def switch_off(self, machine: str) -> None:
        self._down.add(machine)
        self._tell()

    def switch_on(self, machine: str) -> None:
        self._down.discard(machine)
        self._tell()

    def reaches(self, plane: str, source: str, target: str) -> bool:
        if not self._cut and not self._down:
            return True
        if source in self._down or target in self._down:
            return False
        return source == target or (plane, source, target) not in self._cut

    def talk(self, source: str, target: str, plane: str) -> bool:
        """Both ways, as a connection needs it."""
        return self.reaches(plane, source, target) and self.reaches(plane, target, source)

    @property
    def has_all_ways(self) -> bool:
        """Nothing is cut off, and no machine is down."""
        return not self._cut and not self._down

    @property
    def is_whole(self) -> bool:
        return not self._cut and all(one == Weather() for one in self.weather.values())

    # What goes over it.

    def send(self, plane: str, source: str, target: str, arrive: Callable[[], None]) -> None:
        """A datagram: `arrive` is called never, once or more often."""
        if not self.reaches(plane, source, target):
            return
        weather = self.weather[plane]
        if weather.loss and self._rng.random() < weather.loss:
            return
        if weather.twice and self._rng.random() < weather.twice:
            self._clock.later(self._delay_ms(weather), arrive)
        self._clock.later(self._delay_ms(weather), arrive)

    def send_each(
        self,
        plane: str,
        source: str,
        targets: Iterable[tuple[str, Callable[..., None]]],
        *said: Any,
    ) -> None:
        """The same datagram to each target. Where nothing may befall them, they come together."""
        weather = self.weather[plane]
        if weather.loss or weather.twice or weather.jitter_ms:
            for target, hear in targets:
                self.send(plane, source, target, functools.partial(hear, *said))
            return
        if self.has_all_ways:
            reached = [hear for _, hear in targets]
        else:
            reached = [hear for target, hear in targets if self.reaches(plane, source, target)]
        if reached:
            self._clock.later(weather.delay_ms, functools.partial(_tell_each, reached, said))

    def delay_ms(self, plane: str) -> float:
        """How long a message takes now; what was lost is sent again."""
        weather = self.weather[plane]
        again_ms = 0.0
        while weather.loss and self._rng.random() < weather.loss and again_ms < GIVES_UP_MS:
            again_ms += RESEND_MS
        return self._delay_ms(weather) + again_ms

    def _delay_ms(self, weather: Weather) -> float:
        if not weather.jitter_ms:
            return weather.delay_ms
        return weather.delay_ms + self._rng.random() * weather.jitter_ms

    def _tell(self) -> None:
        for call in list(self.changed):
            call()


def _tell_each(hear: list[Callable[..., None]], said: tuple[Any, ...]) -> None:
    for one in hear:
        one(*said)


class Wire:
    """One direction of a connection: in order, again and again until it arrives; then the end."""

    def __init__(
        self,
        network: Network,
        clock: Clock,
        way: Way,
        arrive: Callable[[str | bytes], None],
        ended: Callable[[], None],
    ) -> None:
        self._network, self._clock, self._way = network, clock, way
        self._arrive, self._ended = arrive, ended
        self._waiting: list[str | bytes | None] = []  # None: that is all.
        self._last_at = 0
        self._is_trying = False

    def send(self, message: str | bytes) -> None:
        self._put(message)

    def finish(self) -> None:
        """Nothing comes after what was sent: its kernel says so, once that has arrived."""
        self._put(None)

    def drop(self) -> None:
        """What has not left yet never will."""
        self._waiting.clear()

    def _put(self, message: str | bytes | None) -> None:
        self._waiting.append(message)
        if not self._is_trying:
            self._try()

    def _try(self) -> None:
        plane, source, target = self._way
        self._is_trying = False
        if not self._waiting:
            return
        if not self._network.talk(source, target, plane):
            self._is_trying = True
            self._clock.later(RESEND_MS, self._try)
            return
        waiting, self._waiting = self._waiting, []
        at = self._clock.now + round(self._network.delay_ms(plane) * NS_PER_MS)
        self._last_at = max(self._last_at, at)
        for message in waiting:
            self._clock.at(self._last_at, functools.partial(self._deliver, message))

    def _deliver(self, message: str | bytes | None) -> None:
        if message is None:
            self._ended()
        else:
            self._arrive(message)
