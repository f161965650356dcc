"""Sees each guarded process come, end, stop and fall silent: by the kernel, and by its probe."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from pathlib import Path

from holdfast.adapters.drivers.one_process import STOPPED_LETTERS, Daemon, Doing
from holdfast.adapters.drivers.process_finder import Found, find_process
from holdfast.adapters.drivers.process_probe import CannotAsk, probe
from holdfast.adapters.drivers.qemu_proc import read_state
from holdfast.facts.guards import LIBVIRT, ProcessGuard
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.observations import (
    ProcessAnswered,
    ProcessEnded,
    ProcessRan,
    ProcessSilent,
    ProcessWord,
    UnknownSeen,
)
from holdfast.ports.sensor import See, Sensor

LOOK_S = 0.1
STOPPED_NS = 400_000_000
SEARCH_S = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # After an end; then as often as the last.
START_LIMIT_S = 30.0  # Until its first answer a process may only be starting.
STATUS_TRIES, STATUS_WAIT_S = 3, 0.002  # A first thread has no status until it is reaped.
BUSY_SHARE, BUSY_TIMES = 0.1, 3
ON_PURPOSE = "on purpose"
NO_TIMES = 2  # A probe that says no, and not that it hears nothing, is asked once more.


class GuardedProcesses:
    """`marks` is the folder of end marks of processes that name none of their own."""

    name = "guarded_processes"

    def __init__(self, guards: Iterable[ProcessGuard] = (), marks: Path = Path("/run")) -> None:
        self._watches = {
            guard.name: _Watch(guard, Path(guard.end_mark or marks / guard.name))
            for guard in guards
            if guard.name != LIBVIRT
        }

    def look_again(self, process: str) -> None:
        """Somebody wants to know: look now."""
        if process in self._watches:
            self._watches[process].nudge.set()

    def shown(self) -> dict[str, str]:
        """What each of them does, for people."""
        return {name: watch.state for name, watch in self._watches.items()}

    async def run(self, see: See) -> None:
        async with asyncio.TaskGroup() as group:
            for watch in self._watches.values():
                group.create_task(watch.run(see))
            if not self._watches:
                await asyncio.get_running_loop().create_future()


class _Watch:
    """Of one guarded process."""

    def __init__(self, guard: ProcessGuard, mark: Path) -> None:
        self._guard, self._mark = guard, mark
        self._see: See = lambda _: None
        self.nudge = asyncio.Event()
        self.state = "not looked for yet"
        self._is_silent = self._has_answered = False
        self._cannot_ask = False

    async def run(self, see: See) -> None:
        """Find it, watch it until it ends, and again."""
        self._see, is_first = see, True
        while True:
            found = await self._search(is_first=is_first)
            try:
                daemon = Daemon(found.pid)
            except OSError:
                await asyncio.sleep(SEARCH_S[0])  # It ended while we looked.
                continue
            try:
                await self._watch(daemon, is_found=is_first)
            finally:
                daemon.close()
            is_first = False

    async def _search(self, *, is_first: bool) -> Found:
        said = before = ("", "")
        for tries in range(1_000_000_000):
            self.nudge.clear()
            found = await find_process(self._guard, self._mark)
            if found.pid:
                return found
            now = (found.word, found.reason)
            # A wish is believed when it is said twice: between two states a unit looks stopped.
            is_sure = found.word != ON_PURPOSE or now == before
            if found.word and now != said and is_sure:
                said = now
                self._say_word(found)
            before = now
            wait_s = SEARCH_S[-1] if is_first else SEARCH_S[min(tries, len(SEARCH_S) - 1)]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.nudge.wait()
        raise AssertionError("it is looked for without an end")

    def _say_word(self, found: Found) -> None:
        self.state = f"does not run: {found.reason}"
        name, state, reason = self._guard.name, found.word, found.reason
        self._see(ProcessWord(at=_now(), process=name, state=state, reason=reason))

    async def _watch(self, daemon: Daemon, *, is_found: bool) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._is_silent = self._has_answered = False
        self.state = f"runs as process {daemon.pid}"
        self._see(
            ProcessRan(
                at=_now(),
                process=self._guard.name,
                pid=daemon.pid,
                started_ticks=daemon.ticks or 0,
                found=is_found,
                has_probe=self._guard.has_probe,
            )
        )
        loop.add_reader(daemon.end_fd, self._on_end, daemon, ended, STATUS_TRIES)
        probing = asyncio.create_task(self._probe(daemon, time.monotonic()))
        try:
            await self._look(daemon, ended)
        finally:
            loop.remove_reader(daemon.end_fd)
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)

    def _on_end(self, daemon: Daemon, ended: asyncio.Event, tries: int) -> None:
        """Said at once if the status is there, else a few milliseconds later."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(daemon.end_fd)
        status = daemon.exit_status()
        if status is None and tries > 0:
            loop.call_later(STATUS_WAIT_S, self._on_end, daemon, ended, tries - 1)
            return
        self.state = "has ended"
        self._see(ProcessEnded(at=_now(), process=self._guard.name, pid=daemon.pid, status=status))
        ended.set()

    async def _look(self, daemon: Daemon, ended: asyncio.Event) -> None:
        """Until it ends: whether somebody stopped it, as the kernel says, and it does nothing."""
        ran_at, used_ns = _now(), 0
        while not ended.is_set():
            if read_state(daemon.pid) not in STOPPED_LETTERS:
                ran_at, used_ns = _now(), 0
                if self._is_silent and not self._guard.has_probe:
                    self._answered(daemon)
            elif not self._is_silent:
                doing = daemon.look()
                was_ns, used_ns = used_ns, doing.used_ns
                if _now() - ran_at >= STOPPED_NS and was_ns == used_ns:
                    why = "its process is stopped, and has used no CPU since"
                    self._silent(daemon, ran_at, why, is_stopped=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await ended.wait()

    async def _probe(self, daemon: Daemon, began_s: float) -> None:
        """Ask it for as long as it runs. Only with a second sign is no answer a fault."""
        guard, bad, busy = self._guard, 0, 0
        answered_at = _now()
        while guard.has_probe:
            asked_s, before = time.monotonic(), daemon.look()
            try:
                why = await probe(guard)
            except CannotAsk as error:
                self._say_cannot_ask(str(error))
                why = ""
            if not why:
                answered_at, bad, busy = _now(), 0, 0
                if self._is_silent or not self._has_answered:
                    self._has_answered = True
                    self._answered(daemon)
            else:
                doing, window_s = daemon.look(), time.monotonic() - asked_s
                works = _works(before, doing, window_s)
                bad, busy = bad + 1, busy + works
                is_starting = not self._has_answered and asked_s - began_s < START_LIMIT_S
                enough = BUSY_TIMES if works else NO_TIMES if "said no" in why else 1
                if bad >= enough and not is_starting and not self._is_silent:
                    is_stopped = doing.letter in STOPPED_LETTERS
                    text = f"{why}, and {_doing_words(doing, works=works)}"
                    self._silent(daemon, answered_at, text, is_stopped=is_stopped)
            await asyncio.sleep(guard.probe_every_s)

    def _silent(self, daemon: Daemon, since: Instant, why: str, *, is_stopped: bool) -> None:
        self._is_silent = True
        self.state = f"does not serve: {why}"
        self._see(
            ProcessSilent(
                at=_now(),
                process=self._guard.name,
                pid=daemon.pid,
                started_ticks=daemon.ticks or 0,
                since=since,
                why=why,
                is_stopped=is_stopped,
            )
        )

    def _answered(self, daemon: Daemon) -> None:
        self._is_silent = False
        self.state = f"runs as process {daemon.pid}"
        self._see(ProcessAnswered(at=_now(), process=self._guard.name, pid=daemon.pid))

    def _say_cannot_ask(self, why: str) -> None:
        if not self._cannot_ask:
            self._cannot_ask = True
            what = f"the probe of {self._guard.name} cannot be run: {why}"
            self._see(UnknownSeen(at=_now(), what=what))


def _works(before: Doing, after: Doing, window_s: float) -> bool:
    wanted = (after.used_ns - before.used_ns) / NS_PER_S > BUSY_SHARE * window_s
    return wanted or after.is_runnable


def _doing_words(doing: Doing, *, works: bool) -> str:
    if doing.letter in STOPPED_LETTERS:
        return "its process is stopped"
    if doing.letter == "D":
        return "its process is stuck in the kernel"
    return "its process is busy all the time" if works else "its process idles"


def _now() -> Instant:
    return Instant(time.monotonic_ns())


PLUGIN: type[Sensor] = GuardedProcesses
