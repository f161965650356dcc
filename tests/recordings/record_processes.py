"""Records what the sensor of guarded processes sees of a real one: run it, then read the diff.

python -m tests.recordings.record_processes
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from holdfast.adapters.sensors.guarded_processes import GuardedProcesses
from holdfast.facts.guards import ProcessGuard
from holdfast.facts.observations import Observation

FOLDER = Path(__file__).parent / "linux-6_processes"
SCRIPT = "import time\nwhile True:\n    time.sleep(0.02)\n"
SEEN_S = 2.0


class Place:
    """A folder with a program in it, its pid file and its end mark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "served").write_text(SCRIPT)
        self.guard = ProcessGuard(
            name="served",
            pid_file=str(folder / "pid"),
            end_mark=str(folder / "stopped"),
        )

    async def start(self) -> asyncio.subprocess.Process:
        """Begin it; whoever waits for it reaps it."""
        process = await asyncio.create_subprocess_exec(sys.executable, str(self.folder / "served"))
        (self.folder / "pid").write_text(str(process.pid))
        return process


async def killed(place: Place, process: asyncio.subprocess.Process) -> None:
    """Killed, and begun again a moment later."""
    process.kill()
    await process.wait()
    await asyncio.sleep(0.3)
    await place.start()


async def stopped_on_purpose(place: Place, process: asyncio.subprocess.Process) -> None:
    """Somebody leaves the end mark, and stops it."""
    (place.folder / "stopped").touch()
    process.terminate()
    await process.wait()


async def terminated(_: Place, process: asyncio.subprocess.Process) -> None:
    """Ended by SIGTERM, and nobody says that this was wanted."""
    process.terminate()
    await process.wait()


async def frozen_and_thawed(_: Place, process: asyncio.subprocess.Process) -> None:
    """Stopped by a signal for a while."""
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(1.0)
    process.send_signal(signal.SIGCONT)


STORIES: tuple[Callable[[Place, asyncio.subprocess.Process], Awaitable[None]], ...] = (
    killed,
    stopped_on_purpose,
    terminated,
    frozen_and_thawed,
)


async def record(story: Callable[[Place, asyncio.subprocess.Process], Awaitable[None]]) -> None:
    """Let it happen to a process under the sensor's eyes, and write down what that saw."""
    seen: list[Observation] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        process = await place.start()
        sensor = asyncio.create_task(GuardedProcesses([place.guard]).run(seen.append))
        await asyncio.sleep(1.5)
        await story(place, process)
        await asyncio.sleep(SEEN_S)
        sensor.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sensor
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((place.folder / "pid").read_text()), signal.SIGKILL)
    lines = (msgspec.json.encode(one).decode().replace(folder, "/srv") for one in seen)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{story.__name__}.jsonl").write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    for each in STORIES:
        asyncio.run(record(each))
