"""A controller's hearing on two planes of the loopback, with real ears, for its tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.controller.hearing import Hearing
from holdfast.facts import hearing as heard
from holdfast.facts.settings import ControllerPlace, Settings
from tests.agent.pulse_scene import pulse_file, pulsing, write
from tests.ports import free_port

LIMIT_S = 20.0


async def until(is_so: Callable[[], bool]) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(LIMIT_S):
        while not is_so():  # noqa: ASYNC110  It is said by another process.
            await asyncio.sleep(0.005)


class Site:
    """A controller's hearing on two planes of the loopback, and hosts' pulses to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[heard.Hearing] = []
        self.settings = Settings(
            controllers=(
                ControllerPlace(
                    name="c1",
                    address="127.0.0.1",
                    planes={"a": "127.0.0.1", "b": "127.0.0.2"},
                ),
            ),
            pulse_port=free_port(),
            answer_port=free_port(),
            gasp_port=free_port(),
        )
        self.addresses = {"a": "127.0.0.1", "b": "127.0.0.2"}
        self.hearing = self.make()

    def make(self, shelf: Shelf | None = None) -> Hearing:
        return Hearing(self.settings, self.seen.append, shelf=shelf, host_name="c1")

    def host(self) -> contextlib.AbstractContextManager[Any]:
        """The pulse of a host, a real process."""
        file = pulse_file()
        port = self.settings.pulse_port
        targets = tuple((p, a, a, port) for p, a in self.addresses.items())
        write(
            self.folder,
            file.__class__(
                **{
                    **{name: getattr(file, name) for name in file.__dataclass_fields__},
                    "targets": targets,
                    "answers": tuple(self.addresses.items()),
                    "answer_port": self.settings.answer_port,
                }
            ),
        )
        return pulsing(self.folder)

    def find(self, kind: type[Any], **fields: Any) -> list[Any]:
        return [
            one
            for one in self.seen
            if isinstance(one, kind) and all(getattr(one, n) == v for n, v in fields.items())
        ]

    async def wait(self, kind: type[Any], count: int = 1, **fields: Any) -> Any:
        """The newest of these, when there are so many. Raises TimeoutError."""
        await until(lambda: len(self.find(kind, **fields)) >= count)
        return self.find(kind, **fields)[-1]

    @contextlib.asynccontextmanager
    async def running(self, hearing: Hearing | None = None) -> AsyncIterator[Hearing]:
        work = asyncio.create_task((hearing or self.hearing).run())
        try:
            yield hearing or self.hearing
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def wait_ear(self) -> int:
        """The pid of the ear once it listens."""
        await until(lambda: "hosts" in self.hearing.counts())
        worker = self.hearing._worker
        assert worker is not None
        return worker.pid


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))
