"""How a simulated controller moves VMs and drains hosts: the program's own way."""

from typing import TYPE_CHECKING, Any

from holdfast.controller.acting import make_migrating
from holdfast.controller.host_rows import HostRows
from holdfast.controller.questions import Handler
from holdfast.controller.recovering import Recoverer

if TYPE_CHECKING:
    from tests.simulation.controllers import SimulatedController


class MovingParts:
    """What controller/acting.py takes of a controller; `handlers` answer what people ask."""

    def __init__(self, one: "SimulatedController", recoverer: Recoverer) -> None:
        self.registry, self.agents, self.leadership = one.registry, one.agents, one.leadership
        self.watch, self.greeter, self.recoverer = one.watch, one.greeter, recoverer
        self.hosts = HostRows(one.agents, one.watch.host_rows, one.registry.all_known, lambda _: {})
        self.events = self.questions = self
        self.handlers: dict[str, Handler] = {}

    def add(self, handlers: dict[str, Handler]) -> None:
        self.handlers |= handlers

    def note(self, kind: object, text: str) -> None:
        """Nobody is told of it here."""


def make_moving(one: "SimulatedController", recoverer: Recoverer) -> dict[str, Handler]:
    parts: Any = MovingParts(one, recoverer)
    make_migrating(parts)
    handlers: dict[str, Handler] = parts.handlers
    return handlers
