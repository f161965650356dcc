"""What simulated controllers are put together from, beside the real parts."""

from collections.abc import Callable
from typing import Any

from holdfast.adapters.simulated.machine import Machine
from holdfast.facts.settings import ControllerPlace, Settings, Webhook
from tests.simulation.probes import address


class Unasked:
    """What plays no part here: copies, last words of hosts, questions of people."""

    def add(self, pieces: Any) -> None:
        pass

    def take(self, host: str, frame: Any) -> None:
        pass

    async def answer(self, _question: Any) -> Any:
        return
        yield


def kept(machine: Machine, name: str, kind: Callable[[], Any]) -> Any:
    return machine.disk.setdefault(f"controller {name}", kind())


def settings_of(members: list[str], machine: Machine) -> Settings:
    """Those of a controller's host: where each of them is, on each plane, and whom they tell."""
    planes = machine.network.planes
    places = [
        ControllerPlace(
            name=name, address=name, planes={plane: address(plane, name) for plane in planes}
        )
        for name in members
    ]
    return Settings(
        controllers=tuple(places), webhooks=(Webhook(name="vim", url="http://vim.example/"),)
    )
