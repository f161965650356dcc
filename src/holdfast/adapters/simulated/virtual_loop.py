"""The event loop of one simulated process: asyncio in virtual time, where nobody ever waits.

Many of them share one clock. Each has its own time (a host's clock drifts), and can be frozen,
starved, or killed without a word, as a process can.
"""

import asyncio
import collections
import contextvars
import functools
import heapq
import itertools
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from holdfast.adapters.simulated.clock import Clock, HostClock
from holdfast.facts.instants import NS_PER_MS, NS_PER_S
from holdfast.ports.clock import CLOCK

Result = TypeVar("Result")
STEPS_AT_ONCE = 100_000  # Callbacks of one instant; more, and somebody spins.


class Deadlock(RuntimeError):
    """Somebody waits for what will never happen: nothing is on the clock any more."""


class Spinning(RuntimeError):
    """Somebody runs again and again without letting time pass."""


class VirtualHandle:
    """A callback that waits its turn, or for its time: all that asyncio asks of a handle.

    There are tens of thousands in a minute of a site, so it is no more than that.
    """

    __slots__ = ("args", "context", "is_cancelled", "what")

    def __init__(
        self, what: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context
    ) -> None:
        self.what, self.args, self.context = what, args, context
        self.is_cancelled = False

    def cancel(self) -> None:
        """What it held is let go at once; it stays on the heap until its time."""
        self.is_cancelled = True
        self.what, self.args = _nothing, ()

    def cancelled(self) -> bool:
        return self.is_cancelled


class VirtualLoop(asyncio.BaseEventLoop):
    """`failed` hears of exceptions that nobody handled; they are errors of the simulation's run."""

    def __init__(
        self,
        clock: Clock,
        own_clock: HostClock | None = None,
        failed: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._clock = clock
        self._own = own_clock or HostClock(clock)
        self._context = contextvars.copy_context()
        self._context.run(CLOCK.set, self._own)
        self._failed = failed
        self._soon: collections.deque[VirtualHandle] = collections.deque()
        self._timers: list[tuple[int, int, VirtualHandle]] = []
        self._count = itertools.count()
        self._planned: int | None = None
        self._plan_id = 0
        self.is_frozen = self._is_dead = self._is_running = False
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._at, self._steps = 0, 0
        self.lag_ms = 0.0  # Starved: it gets the processor this late, and then does all it can.
        super().__init__()  # Last: it asks whether we run.

    # What a process suffers.

    def freeze(self) -> None:
        self.is_frozen = True
        self._drop_plan()

    def thaw(self) -> None:
        self.is_frozen = False
        self._plan()

    def kill(self) -> None:
        """No callback of it ever runs again, not even what is meant for the end."""
        self._is_dead = True
        self._drop_plan()

    def end(self) -> None:
        """As a program ends that was told to: its tasks are cancelled, and may clean up."""
        self._steps = 0
        for task in list(self._tasks.values()):
            task.cancel()
        try:
            while self._soon:
                self._turn()
        finally:
            self.kill()

    def bury(self) -> None:
        """Close what a killed process left behind, so that nothing is collected in mid-air."""
        self._is_dead, self.is_frozen, self._failed = False, False, None
        self._timers.clear()
        self.end()

    # How it runs.

    def context(self) -> contextvars.Context:
        """For what begins now: that of whoever begins it, or of the process itself."""
        return contextvars.copy_context() if self._is_running else self._context.copy()

    def inside(self, what: Callable[[], Result]) -> Result:
        """As the process itself, at once: for what it does before its first turn."""
        before = _get_running_loop()
        _set_running_loop(self)
        try:
            return self._context.run(what)
        finally:
            _set_running_loop(before)

    def _plan(self) -> None:
        """Be on the clock once, for the next thing to do."""
        if self.is_frozen or self._is_dead or self._is_running:
            return
        due = self._clock.now
        if not self._soon:
            if not self._timers:
                return
            timer_due = self._own.virtual_at(self._timers[0][0])
            if timer_due > due:
                due = timer_due
        if self.lag_ms:
            due += round(self.lag_ms * NS_PER_MS)
        if self._planned is not None and self._planned <= due:
            return
        self._plan_id += 1
        self._planned = due
        self._clock.at(due, functools.partial(self._wake, self._plan_id))

    def _drop_plan(self) -> None:
        self._plan_id += 1
        self._planned = None

    def _wake(self, plan: int) -> None:
        if plan == self._plan_id:
            self._planned = None
            self._turn()

    def _turn(self) -> None:
        """What is due joins what is ready, and all of that runs; and what that made ready after
        it, where nobody else on the clock comes first."""
        before = _get_running_loop()
        _set_running_loop(self)
        self._is_running = True
        try:
            self._round()
            while self._soon and self._goes_on():
                self._round()
        finally:
            self._is_running = False
            _set_running_loop(before)
        self._plan()

    def _round(self) -> None:
        soon, timers = self._soon, self._timers
        if timers:
            now = self._own.monotonic_ns()
            while timers and timers[0][0] <= now:
                soon.append(heapq.heappop(timers)[2])
        left = len(soon)
        self._count_steps(left)
        while left and not (self._is_dead or self.is_frozen):
            handle = soon.popleft()
            try:
                handle.context.run(handle.what, *handle.args)
            except Exception as error:  # noqa: BLE001  Told, as every loop does.
                self.call_exception_handler({"message": "a callback failed", "exception": error})
            left = len(soon) if self.lag_ms else left - 1

    def _goes_on(self) -> bool:
        """Whether it would be the next on the clock anyway: most of what ends a sleep is."""
        can_run = not (self.lag_ms or self.is_frozen or self._is_dead)
        return can_run and self._clock.is_idle_now

    def _count_steps(self, steps: int) -> None:
        if self._clock.now != self._at:
            self._at, self._steps = self._clock.now, 0
        self._steps += steps
        if self._steps > STEPS_AT_ONCE:
            raise Spinning(f"{self._steps} callbacks at {self._at / NS_PER_S} s")

    def run_until_complete(self, future: Any) -> Any:
        """Let virtual time pass until it is done. Raises Deadlock."""
        done: asyncio.Future[Any] = self.inside(lambda: asyncio.ensure_future(future, loop=self))
        while not done.done():
            if self._clock.next_due() is None:
                raise Deadlock(f"{done!r} waits, and nothing is on the clock")
            self._clock.run_next()
        return done.result()

    # What asyncio asks of a loop.

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> VirtualHandle:
        handle = VirtualHandle(callback, args, context or self.context())
        self._soon.append(handle)  # Also of a dead process: so it is found at its burial.
        if not self._is_running:
            self._plan()
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> VirtualHandle:
        delay_ns = max(1, round(delay * NS_PER_S)) if delay > 0 else 0
        return self.call_at_ns(
            self._own.monotonic_ns() + delay_ns, callback, *args, context=context
        )

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> VirtualHandle:
        at_ns = round(when * NS_PER_S)
        while at_ns / NS_PER_S < when:  # Never early: who looks at the time then must see it.
            at_ns += 1
        return self.call_at_ns(at_ns, callback, *args, context=context)

    def call_at_ns(
        self,
        at_ns: int,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> VirtualHandle:
        """As call_at, to the nanosecond."""
        handle = VirtualHandle(callback, args, context or self.context())
        if not self._is_dead:
            heapq.heappush(self._timers, (at_ns, next(self._count), handle))
            if not self._is_running:
                self._plan()
        return handle

    def time(self) -> float:
        return self._own.monotonic_ns() / NS_PER_S

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Result],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[Result]:
        task = asyncio.Task(coro, loop=self, name=name, context=context or self.context())
        number = next(self._count)
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))
        return task

    async def run_in_executor(  # type: ignore[override]
        self,
        executor: object,  # noqa: ARG002
        func: Callable[..., Result],
        *args: Any,
    ) -> Result:
        """Threads are as fast as thought: what one does is done within the turn."""
        return func(*args)

    def __del__(self) -> None:
        """It holds nothing of the system: one that was never closed is no leak."""

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return self._is_dead

    def close(self) -> None:
        self.kill()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._failed is not None and not self._is_dead:
            self._failed(context)


def _nothing() -> None:
    pass
