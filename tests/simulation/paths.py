"""What holds of a network until it changes: laws ask for it ten times in a second."""

from collections.abc import Callable, Iterable

from holdfast.adapters.simulated.network import Network, Weather

MILD_MS = 5.0  # So slow may a network be that promises are kept on it.


class Paths:
    def __init__(self, network: Network) -> None:
        self._network = network
        self._known: dict[tuple[str, ...], bool] = {}
        self.changes = 0  # As often the network has changed: until the next one all stays so.
        network.changed.append(self._forget)

    def _forget(self) -> None:
        self._known.clear()
        self.changes += 1

    def talk_everywhere(self, one: str, other: str) -> bool:
        """Both ways, on each plane."""
        network = self._network
        return self._is(
            ("talk", one, other),
            lambda: all(network.talk(one, other, plane) for plane in network.planes),
        )

    def reaches_all(self, source: str, targets: Iterable[str]) -> bool:
        """All of them, on each plane. The targets are the same each time."""
        network = self._network
        return self._is(
            ("reaches", source),
            lambda: all(
                network.reaches(plane, source, target)
                for target in targets
                for plane in network.planes
            ),
        )

    @property
    def are_calm(self) -> bool:
        """No weather at all."""
        weather = self._network.weather
        return self._is(("calm",), lambda: all(one == Weather() for one in weather.values()))

    @property
    def are_mild(self) -> bool:
        """No bad weather."""
        return self._is(("mild",), lambda: all(map(_is_mild, self._network.weather.values())))

    def _is(self, name: tuple[str, ...], find: Callable[[], bool]) -> bool:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = find()
        return known


def _is_mild(weather: Weather) -> bool:
    return not weather.loss and weather.delay_ms + weather.jitter_ms <= MILD_MS
