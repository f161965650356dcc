"""A controller with a thousand agents: their links and their pulses are real, the hosts are not.

Nothing is broken. What is weighed is the controller with its ear, in processor time; a host that
is taken for silent meanwhile is a false alarm.
"""

import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, unix_connect

from holdfast.facts import wire
from holdfast.lab.commands import LabError
from holdfast.lab.drills.figures import Goal, Result
from holdfast.lab.drills.ledger import Say
from holdfast.lab.drills.many_pulses import BOOT, key_of, name_of
from holdfast.lab.drills.processes import list_tree, read_cpu_s, read_pss_mib
from holdfast.lab.drills.scene import Choices
from holdfast.lab.drills.this_machine import ThisMachine
from holdfast.lab.namespaces import Holder

READY_LIMIT_S = 30.0
HEARD_LIMIT_S = 60.0
SENDERS = 2  # Processes that pulse: one alone would be late.
GREETING_AT_ONCE = 50
PLANES = {"a": "127.0.0.1", "b": "127.0.0.2"}
_ids = itertools.count(1)


@dataclass(frozen=True)
class ThousandAgents:
    """Weighs a controller."""

    name: str = "thousand-agents"
    about: str = "a controller hears a thousand agents on two planes, and is weighed"
    runs: int = 1
    agents: int = 1_000
    settle_s: float = 10.0
    measured_s: float = 30.0

    def run_alone(self, choices: Choices, say: Say) -> Result:
        """On this machine's loopback, with a controller of its own."""
        with tempfile.TemporaryDirectory(prefix="holdfast-drill-") as name, _programs() as start:
            return asyncio.run(self._run(Path(name), choices, say, start))

    async def _run(self, folder: Path, choices: Choices, say: Say, start: "_Start") -> Result:
        port = _free_port()
        settings = folder / "holdfast.toml"
        settings.write_text(_settings(folder, port))
        say("starting a controller")
        start("-m", "holdfast.faces.cli.main", "--config", str(settings), "controller")
        door = folder / "run/controller.sock"
        await _wait(door.exists, READY_LIMIT_S, "the controller did not come up")
        say(f"linking {self.agents} agents")
        async with _links(door, self.agents):
            each = self.agents // SENDERS
            where = [str(port), *(f"{plane}={address}" for plane, address in PLANES.items())]
            for first in range(0, self.agents, each):
                start("-P", "-m", "holdfast.lab.drills.many_pulses", str(first), str(each), *where)
            await self._wait_heard(door)
            weighed = _find_controller(start.started[0])
            before = await _ask_pulses(door)
            shares, seconds = await self._weigh(weighed)
            after = await _ask_pulses(door)
            false = await _ask_alarms(door)
        heard = (after["accepted"] - before["accepted"]) / seconds
        cpu = sum(shares)
        say(f"{cpu:.1f} % of a core for {heard:.0f} pulses in a second")
        lost = [] if heard >= self.agents * 2 * 20 * 0.97 else [f"only {heard:.0f} pulses/s came"]
        return Result(
            drill=self.name,
            runs=1,
            lost=len(lost),
            false_alarms=len(false),
            notes=(*lost, *false),
            figures={
                "agents": self.agents,
                "pulses_in_a_second": round(heard),
                "cpu_percent_of_controller_and_ear": [round(share, 1) for share in shares],
                "ear_doubts": after["doubts"] - before["doubts"],
                "ear_latest_ms": round(after["latest_ms"], 2),
                "pss_mib": round(read_pss_mib(weighed), 1),
                "measured_s": self.measured_s,
            },
            goals=(
                Goal(what="processor, of one core", limit=50, unit="%", measured=round(cpu, 1)),
            ),
            is_busy=choices.is_busy,
        )

    async def _wait_heard(self, door: Path) -> None:
        """All are heard, and what that raised has been cleared."""
        deadline = asyncio.get_running_loop().time() + HEARD_LIMIT_S
        await asyncio.sleep(self.settle_s)
        while await _ask_alarms(door):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(1.0)

    async def _weigh(self, tree: list[Holder]) -> tuple[list[float], float]:
        """Percent of a core for each process, and for how long it was weighed."""
        loop = asyncio.get_running_loop()
        before_s, began = [read_cpu_s([one]) for one in tree], loop.time()
        await asyncio.sleep(self.measured_s)
        took_s = loop.time() - began
        after_s = [read_cpu_s([one]) for one in tree]
        return [100 * (b - a) / took_s for a, b in zip(before_s, after_s, strict=True)], took_s


class _Start:
    """Starts Python programs of ours, and remembers them."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[Any]] = []

    def __call__(self, *words: str) -> None:
        self.started.append(ThisMachine().popen([sys.executable, *words], stdin=subprocess.DEVNULL))


@contextlib.contextmanager
def _programs() -> Iterator[_Start]:
    """None of them outlives the block."""
    start = _Start()
    try:
        yield start
    finally:
        for one in reversed(start.started):
            one.kill()  # What it started dies with it.
            one.wait()


def _find_controller(program: subprocess.Popen[Any]) -> list[Holder]:
    """The controller and its ear, without the program that waits for it."""
    tree = list_tree(program.pid)
    return [one for one in tree if one.pid != program.pid]


def _settings(folder: Path, port: int) -> str:
    planes = "".join(
        f'[plane.{plane}]\naddress = "{address}"\n' for plane, address in PLANES.items()
    )
    return (
        f'[host]\nname = "drill"\n[site]\npulse_port = {port}\nanswer_port = {_free_port()}\n'
        f'[storage]\nstate_dir = "{folder}/state"\nrun_dir = "{folder}/run"\n'
        f'cache_dir = "{folder}/cache"\n{planes}'
    )


@contextlib.asynccontextmanager
async def _links(door: Path, count: int) -> AsyncIterator[None]:
    """One for each host, greeted, with its inventory; answered pings keep them up."""
    async with contextlib.AsyncExitStack() as stack:
        for first in range(0, count, GREETING_AT_ONCE):
            numbers = range(first, min(count, first + GREETING_AT_ONCE))
            links = await asyncio.gather(*(_greet(door, number) for number in numbers))
            for link in links:
                stack.push_async_callback(link.close)
        yield


async def _greet(door: Path, number: int) -> ClientConnection:
    link = await unix_connect(str(door), compression=None, max_size=1 << 22)
    hello = wire.Hello(
        version=wire.VERSION,
        host=name_of(number),
        host_name=f"sim-{number}",
        boot=BOOT,
        state_id=name_of(number),
        stream=name_of(number),
        pulse_key=key_of(number).hex(),
        addresses=PLANES,
        rack=f"rack-{number // 20}",
    )
    await link.send(wire.encode(hello), text=True)
    await link.recv()
    await link.send(wire.encode(wire.Inventory(vms=())), text=True)
    return link


async def _ask(door: Path, name: str) -> Any:
    async with unix_connect(str(door), compression=None, max_size=1 << 28) as link:
        await link.send(wire.encode(wire.Question(id=next(_ids), name=name)), text=True)
        reply = wire.decode(await link.recv())
    if not isinstance(reply, wire.Reply) or reply.error:
        raise LabError(f"the controller does not answer {name}: {reply}")
    return reply.data


async def _ask_pulses(door: Path) -> dict[str, Any]:
    pulses: dict[str, Any] = (await _ask(door, "status"))["pulses"]
    return pulses


async def _ask_alarms(door: Path) -> list[str]:
    found = await _ask(door, "alarms")
    alarms = found["alarms"] if isinstance(found, dict) else found
    return [str(one["alarm"]["text"]) for one in alarms]


async def _wait(is_so: Any, limit_s: float, otherwise: str) -> None:
    deadline = asyncio.get_running_loop().time() + limit_s
    while not is_so():
        if asyncio.get_running_loop().time() > deadline:
            raise LabError(otherwise)
        await asyncio.sleep(0.1)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
