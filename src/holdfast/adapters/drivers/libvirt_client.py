"""Calls to libvirt through a worker that may hang: a call that overruns costs the worker, not us.

The worker of an overrun call gets no new calls. Its other calls may still end within their own
deadlines; then it is killed, and the next call has a new worker, after a back-off.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

from holdfast.adapters.drivers.worker_link import Worker, WorkerGone
from holdfast.facts.instants import Instant
from holdfast.facts.observations import CallTimedOut, Observation
from holdfast.ports.hypervisor import CallFailed, CallOverran

MODULE = "holdfast.adapters.drivers.libvirt_calls"
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
MOST_RETIRED = 2


class _Crew:
    """A worker and who waits for it."""

    def __init__(self, module: str, uri: str) -> None:
        self.worker = Worker(module, [uri], self._heard, self._lost)
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self.has_answered = False

    def _heard(self, message: Any) -> None:
        self.has_answered = True
        future = self.waiting.get(message["id"])
        if future is not None and not future.done():
            future.set_result(message)

    def _lost(self) -> None:
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(WorkerGone())


class LibvirtClient:
    """`see` hears of calls that overran. A worker is started at the first call."""

    def __init__(self, uri: str, module: str = MODULE) -> None:
        self._uri, self._module = uri, module
        self.see: Callable[[Observation], None] = lambda _: None
        self._crew: _Crew | None = None
        self._retired: list[_Crew] = []
        self._starting = asyncio.Lock()
        self._ids = itertools.count(1)
        self._wait_s = FIRST_WAIT_S
        self._not_before = 0.0
        self._killings: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> list[int]:
        crews = [*self._retired, *([self._crew] if self._crew else [])]
        return [crew.worker.pid for crew in crews if crew.worker.pid]

    async def call(self, name: str, limit_ms: float, /, **args: Any) -> Any:
        """Raises CallFailed, or CallOverran when there is no answer within the limit."""
        crew: _Crew | None = None
        number = next(self._ids)
        try:
            async with asyncio.timeout(limit_ms / 1_000):
                crew = await self._ready()
                future = asyncio.get_running_loop().create_future()
                crew.waiting[number] = future
                crew.worker.send({"id": number, "call": name, "args": args})
                answer = await future
        except TimeoutError:
            self._retire(crew)
            at = Instant(time.monotonic_ns())
            self.see(CallTimedOut(at=at, call=name, vm=str(args.get("vm", ""))))
            raise CallOverran(f"libvirt did not answer {name} in {limit_ms:.0f} ms") from None
        except WorkerGone:
            raise self._why_gone(crew) from None
        finally:
            if crew is not None:
                crew.waiting.pop(number, None)
                self._dismiss(crew)
        self._wait_s = FIRST_WAIT_S
        if "error" in answer:
            raise CallFailed(answer["error"], is_final=answer["final"])
        return answer["data"]

    async def close(self) -> None:
        crews = [*self._retired, *([self._crew] if self._crew else [])]
        self._retired, self._crew = [], None
        for crew in crews:
            await crew.worker.kill()
        await asyncio.gather(*self._killings)

    async def _ready(self) -> _Crew:
        async with self._starting:
            if self._crew is not None and self._crew.worker.gone.is_set():
                self._retire(self._crew)
            if self._crew is None:
                await asyncio.sleep(self._not_before - time.monotonic())
                crew = _Crew(self._module, self._uri)
                await crew.worker.start()
                self._crew = crew
            return self._crew

    def _why_gone(self, crew: _Crew | None) -> CallFailed:
        """A worker that never said a word cannot work here at all."""
        self._retire(crew)
        if crew is None or crew.has_answered:
            return CallOverran("the worker that asked libvirt was ended")
        return CallFailed("the libvirt worker does not start: is python3-libvirt installed?")

    def _retire(self, crew: _Crew | None) -> None:
        if crew is None or crew is not self._crew:
            return
        self._crew = None
        self._not_before = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        self._retired.append(crew)
        if len(self._retired) > MOST_RETIRED:
            self._kill(self._retired[0])

    def _dismiss(self, crew: _Crew) -> None:
        """A retired worker is killed when nobody waits for it any more."""
        if crew in self._retired and not crew.waiting:
            self._kill(crew)

    def _kill(self, crew: _Crew) -> None:
        self._retired.remove(crew)
        task = asyncio.get_running_loop().create_task(crew.worker.kill())
        self._killings.add(task)
        task.add_done_callback(self._killings.discard)
