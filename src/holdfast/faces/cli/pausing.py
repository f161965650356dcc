"""A controller that its service starts anew is away for a moment: a command waits for it.

When controllers join or leave, each controller ends by itself, to begin with the new settings.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from holdfast.faces.cli.calling import Away
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.hostname import name_of_host
from holdfast.faces.cli.services import (
    CONTROLLER,
    Machine,
    is_controller_here,
    state_of_unit,
    words_of,
)
from holdfast.faces.cli.supervise import PID_FILE, supervisor
from holdfast.facts.settings import Settings

PATIENCE_S, AGAIN_S = 15.0, 0.3
UNIT = "holdfast-controller.service"
ACTIVE = ("active", "activating", "reloading")  # Also one that waits to be started again.
Answer = TypeVar("Answer")


def is_service_up(settings: Settings, on: Machine | None = None) -> bool:
    """Whether something on this host starts its controller again when it ends."""
    machine = on or Machine()
    if not is_controller_here(settings, name_of_host(settings)):
        return False
    try:
        if supervisor(Path(settings.run_dir) / PID_FILE) is not None:
            return True
    except Failure:
        return False
    return (
        machine.has_systemd
        and (machine.units / UNIT).exists()
        and state_of_unit(CONTROLLER) in ACTIVE
    )


def wait_out(
    settings: Settings,
    ask: Callable[[], Answer],
    is_worth: Callable[[Away], bool],
    patience_s: float = PATIENCE_S,
) -> Answer:
    """The answer of `ask`, asked again while its service brings the controller back. Raises Away,
    and Failure when it takes too long."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except Away as away:
            if not is_worth(away) or not is_service_up(settings):
                raise
        if time.monotonic() > deadline:
            raise started_anew()
        time.sleep(AGAIN_S)


def started_anew() -> Failure:
    where = words_of(CONTROLLER, Machine())
    return Failure(
        "the controller of this host is being started anew, and does not answer yet",
        f"try again in a moment; why it ended: {where}",
        Exit.AWAY,
    )
