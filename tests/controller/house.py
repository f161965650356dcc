"""A whole controller inside a test, with its socket, for as long as a block lasts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.controller.assembly import Controller
from holdfast.facts.settings import Settings
from holdfast.ports.fencer import Fencer
from holdfast.ports.store import Store
from tests.controller.fake_agent import wait_for
from tests.ports import free_port


@dataclass
class House:
    controller: Controller
    socket: Path


def settings(folder: Path, **fields: object) -> Settings:
    return Settings(
        state_dir=str(folder / "state"),
        run_dir=str(folder / "run"),
        **{"host_name": "controller-1", "pulse_port": free_port(), **fields},  # type: ignore[arg-type]
    )


@contextlib.asynccontextmanager
async def running(
    given: Settings,
    store: Store | None = None,
    fencer: Fencer | None = None,
    boot: str = "boot",
) -> AsyncIterator[House]:
    controller = Controller(given, boot, store, fencer=fencer)
    door = Path(given.run_dir) / "controller.sock"
    work = asyncio.create_task(controller.run())
    try:
        await wait_for(lambda: is_listening(door) or work.done())
        yield House(controller, door)
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def is_listening(door: Path) -> bool:
    """The file comes a moment before somebody listens there. Source: /proc/net/unix, whose flags
    say so (__SO_ACCEPTCON)."""
    rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(row[-1] == str(door) and row[3] == "00010000" for row in rows)
