"""Whether a guest answers as promised: by its agent, a port, its console, or by running on."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.facts.instants import Instant
from holdfast.facts.observations import AgentAnswered, Observation
from holdfast.facts.promises import Answer, AnswerKind
from holdfast.facts.subjects import Incarnation
from holdfast.ports.hypervisor import CallFailed, Domain, Hypervisor

POLL_S = 0.05
# What costs libvirt or the network a call is asked more rarely, and ever more so the longer it
# takes: else thirty VMs that boot are asked six hundred times a second, and starve each other.
ASK_EVERY_S, ASK_SHARE = 0.25, 0.05
AGENT_LIMIT_MS = 500
CONNECT_LIMIT_S = 0.5
RUNNING_DEFAULT_S = 10.0


class Answers:
    """`runs` tells whether a life still runs; `has_agent` whether the VM's agent ever answered,
    `is_open` whether it may answer now, since its guest opened its channel.

    `see` hears of an agent's answer too: from then on its silence means something.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        runs: Callable[[Incarnation], bool],
        has_agent: Callable[[str], bool],
        see: Callable[[Observation], None] = lambda _: None,
        is_open: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._hypervisor = hypervisor
        self._runs = runs
        self._has_agent = has_agent
        self._see = see
        self._is_open = is_open
        self._console_starts: dict[str, int] = {}

    def still_runs(self, life: Incarnation) -> bool:
        return self._runs(life)

    async def wait_answer(
        self, life: Incarnation, answer: Answer, limit_ms: int
    ) -> tuple[str, bool] | None:
        """What answered, in words, and whether that verifies the guest; None if nothing did.

        None also when the life ended meanwhile: its end is somebody else's verdict. Without a
        promise its agent is asked even if it was never heard here: a VM that came from a dead host
        would be back ten seconds later else, and never verified.
        """
        kind, waits = answer.kind, _Wait(limit_ms)
        if kind is AnswerKind.DEFAULT and not self._has_agent(life.vm):
            kind = AnswerKind.RUNNING
        asks_agent = kind is AnswerKind.AGENT or answer.kind is AnswerKind.DEFAULT
        seconds = float(answer.value) if answer.kind is AnswerKind.RUNNING else RUNNING_DEFAULT_S
        console = await self._console_start(life, kind)
        while not waits.is_over() and self._runs(life):
            is_due = waits.is_due()
            may_answer = asks_agent and (is_due or self._is_open(life.vm))
            if may_answer and (said := await self._ask_agent(life)):
                return said, True
            if kind is AnswerKind.RUNNING and waits.so_far_s() >= seconds:
                return f"it has run for {seconds:g} s", answer.kind is kind
            if kind is AnswerKind.CONSOLE and (said := _read_console(console, answer.value)):
                return said, True
            asks_port = kind is AnswerKind.TCP and is_due
            if asks_port and (said := await self._ask_port(life.vm, answer.value)):
                return said, True
            await asyncio.sleep(POLL_S)
        return None

    async def _ask_agent(self, life: Incarnation) -> str:
        try:
            is_there = await self._hypervisor.ping_agent(life.vm, AGENT_LIMIT_MS)
        except CallFailed:
            return ""
        if not is_there or not self._runs(life):
            return ""
        self._see(AgentAnswered(at=Instant(time.monotonic_ns()), incarnation=life))
        return "its guest agent answers"

    async def _ask_port(self, vm: str, value: str) -> str:
        address, _, port = value.rpartition(":")
        try:
            addresses = [address.strip("[]")] if address else await self._hypervisor.addresses(vm)
        except CallFailed:
            return ""
        for host in addresses:
            if await _accepts(host, int(port)):
                return f"port {port} of {host} accepts connections"
        return ""

    async def _console_start(self, life: Incarnation, kind: AnswerKind) -> tuple[Path, int] | None:
        """Where the console stands when first asked: what an earlier life said is no answer."""
        if kind is not AnswerKind.CONSOLE:
            return None
        try:
            domain: Domain = await self._hypervisor.domain(life.vm)
        except CallFailed:
            return None
        if not domain.console_log:
            return None
        path = Path(domain.console_log)
        return path, self._console_starts.setdefault(life.key, _size(path))


class _Wait:
    """How long it may last, how long it has lasted, and when what costs a call is due again."""

    def __init__(self, limit_ms: int) -> None:
        self._limit_s = limit_ms / 1_000
        self._began_s = time.monotonic()
        self._due_s = 0.0

    def so_far_s(self) -> float:
        return time.monotonic() - self._began_s

    def is_over(self) -> bool:
        return self.so_far_s() >= self._limit_s

    def is_due(self) -> bool:
        """Asked once for each call."""
        waited_s = self.so_far_s()
        if waited_s < self._due_s:
            return False
        self._due_s = waited_s + max(ASK_EVERY_S, waited_s * ASK_SHARE)
        return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read_console(console: tuple[Path, int] | None, text: str) -> str:
    if console is None:
        return ""
    path, start = console
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - 65_536))
            said = file.read().decode(errors="replace")
    except OSError:
        return ""
    return f"its console says {text!r}" if text in said else ""


async def _accepts(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
