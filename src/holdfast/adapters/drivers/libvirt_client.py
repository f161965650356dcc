"""Calls to libvirt through a worker that is killed when one of them overruns its deadline."""

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


class LibvirtClient:
    """`see` hears of calls that overran. Started at the first call, and again after a kill."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.see: Callable[[Observation], None] = lambda _: None
        self._worker: Worker | None = None
        self._starting = asyncio.Lock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    @property
    def pid(self) -> int:
        return self._worker.pid if self._worker else 0

    async def call(self, name: str, limit_ms: float, **args: Any) -> Any:
        """Raises CallFailed, or CallOverran, which costs every other call in flight its answer."""
        worker = await self._ready()
        number = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            worker.send({"id": number, "call": name, "args": args})
            async with asyncio.timeout(limit_ms / 1_000):
                answer = await future
        except (TimeoutError, WorkerGone):
            await self._overran(name, str(args.get("vm", "")), worker)
            raise CallOverran(f"libvirt did not answer {name} in {limit_ms:.0f} ms") from None
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise CallFailed(answer["error"], is_final=answer["final"])
        return answer["data"]

    async def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.kill()

    async def _ready(self) -> Worker:
        async with self._starting:
            if self._worker is None or self._worker.gone.is_set():
                if self._worker is not None:
                    await self._worker.kill()
                self._worker = Worker(MODULE, [self._uri], self._heard)
                await self._worker.start()
            return self._worker

    def _heard(self, message: Any) -> None:
        future = self._waiting.get(message["id"])
        if future is not None and not future.done():
            future.set_result(message)

    async def _overran(self, name: str, vm: str, worker: Worker) -> None:
        """Kill the worker; those who still wait for it hear that it is gone."""
        self.see(CallTimedOut(at=Instant(time.monotonic_ns()), call=name, vm=vm))
        if self._worker is worker:
            self._worker = None
            await worker.kill()
            for future in list(self._waiting.values()):
                if not future.done():
                    future.set_exception(WorkerGone())
