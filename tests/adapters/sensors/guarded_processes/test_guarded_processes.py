"""Guarded processes on this machine: found in each way, probed, and judged by two signs.

covers: H18 H19
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from holdfast.adapters.drivers.process_finder import find_process, read_living_pid
from holdfast.adapters.drivers.process_probe import CannotAsk, probe
from holdfast.adapters.sensors.guarded_processes import SEARCH_S, GuardedProcesses
from holdfast.facts.guards import ProcessGuard
from holdfast.facts.observations import (
    Observation,
    ProcessAnswered,
    ProcessEnded,
    ProcessRan,
    ProcessSilent,
    ProcessWord,
    UnknownSeen,
)

LIMIT_S, LOOK_S = 15.0, 0.02
IDLES = "import time\nwhile True:\n    time.sleep(5)\n"
WORKS = "while True:\n    pass\n"


@contextlib.asynccontextmanager
async def served(folder: Path, script: str = IDLES) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of our own, with its pid file."""
    (folder / "served").write_text(script)
    process = await asyncio.create_subprocess_exec(sys.executable, str(folder / "served"))
    (folder / "pid").write_text(str(process.pid))
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def watched(guard: ProcessGuard) -> AsyncIterator[list[Observation]]:
    seen: list[Observation] = []
    task = asyncio.create_task(GuardedProcesses([guard], Path("/nowhere")).run(seen.append))
    try:
        yield seen
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(round(LIMIT_S / LOOK_S)):
        if is_so():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError("it is not so in time")


def of(seen: list[Observation], kind: type[Observation]) -> list[Observation]:
    return [one for one in seen if isinstance(one, kind)]


def test_it_is_found_by_its_program_and_by_its_pid_file(tmp_path: Path) -> None:
    async def story() -> None:
        async with served(tmp_path) as process:
            for guard in (
                ProcessGuard(name="a", program=str(tmp_path / "served")),
                ProcessGuard(name="a", program="served", pid_file=str(tmp_path / "pid")),
            ):
                assert (await find_process(guard, tmp_path / "mark")).pid == process.pid
        other = ProcessGuard(name="a", program=str(tmp_path / "served"), args=("--other",))
        assert (await find_process(other, tmp_path / "mark")).word == "absent"
        (tmp_path / "mark").touch()
        assert (await find_process(other, tmp_path / "mark")).word == "on purpose"

    asyncio.run(story())


def test_it_is_found_by_its_control_group(tmp_path: Path) -> None:
    group = tmp_path / "machine.slice/libpod-77.scope"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    guard = ProcessGuard(name="a", cgroup="machine.slice/libpod-*.scope")
    found = asyncio.run(find_process(guard, tmp_path / "mark", cgroups=tmp_path))
    assert found.pid == os.getpid()


def test_a_pid_file_that_is_older_than_its_process_is_anothers(tmp_path: Path) -> None:
    """Its process died, and the number was used again: nobody may be ended by it."""
    path = tmp_path / "pid"
    path.write_text(str(os.getpid()))
    assert read_living_pid(path) == os.getpid()
    os.utime(path, (time.time() - 10**7, time.time() - 10**7))
    assert read_living_pid(path) == 0


def test_a_killed_one_is_told_with_its_status(tmp_path: Path) -> None:
    async def story() -> None:
        guard = ProcessGuard(name="a", pid_file=str(tmp_path / "pid"))
        async with served(tmp_path) as process, watched(guard) as seen:
            await until(lambda: bool(of(seen, ProcessRan)))
            process.kill()
            killed_s = time.monotonic()
            await until(lambda: bool(of(seen, ProcessEnded)))
            [ended] = of(seen, ProcessEnded)
            assert isinstance(ended, ProcessEnded)
            assert ended.status in (9, None)
            assert ended.at / 1e9 - killed_s < 2.0

    asyncio.run(story())


def test_no_answer_alone_is_no_fault_while_it_works(tmp_path: Path) -> None:
    """One that idles is stuck at the first unanswered probe; one that works, at the third."""

    async def silent_after(script: str) -> float:
        guard = ProcessGuard(
            name="a",
            pid_file=str(tmp_path / "pid"),
            probe=("/bin/sh", "-c", f"test -e {tmp_path}/well || sleep 60"),
            probe_every_s=0.1,
            probe_limit_s=0.6,
        )
        (tmp_path / "well").touch()
        async with served(tmp_path, script), watched(guard) as seen:
            await until(lambda: bool(of(seen, ProcessAnswered)))
            (tmp_path / "well").unlink()
            begun_s = time.monotonic()
            await until(lambda: bool(of(seen, ProcessSilent)))
            [silent] = of(seen, ProcessSilent)
            assert isinstance(silent, ProcessSilent)
            assert "its probe was not answered within 0.6 s, and its process" in silent.why
            return time.monotonic() - begun_s

    idle_s, busy_s = asyncio.run(silent_after(IDLES)), asyncio.run(silent_after(WORKS))
    assert busy_s > idle_s + 0.6


def test_a_probe_that_cannot_be_run_is_said_and_says_nothing_of_the_process(tmp_path: Path) -> None:
    async def story() -> None:
        guard = ProcessGuard(
            name="a", pid_file=str(tmp_path / "pid"), probe=("/nowhere/probe",), probe_every_s=0.1
        )
        async with served(tmp_path), watched(guard) as seen:
            await until(lambda: bool(of(seen, UnknownSeen)))
            await asyncio.sleep(0.5)
            assert len(of(seen, UnknownSeen)) == 1
            assert not of(seen, ProcessSilent)
            assert of(seen, ProcessAnswered)

    asyncio.run(story())


def test_a_wish_is_believed_when_it_is_said_twice(tmp_path: Path) -> None:
    """Between two states a unit looks stopped, for a moment."""

    async def story() -> None:
        mark = tmp_path / "stopped"
        guard = ProcessGuard(name="a", pid_file=str(tmp_path / "pid"), end_mark=str(mark))
        async with served(tmp_path) as process, watched(guard) as seen:
            await until(lambda: bool(of(seen, ProcessRan)))
            mark.touch()
            process.kill()
            await process.wait()
            ended_s = time.monotonic()
            await until(lambda: bool(of(seen, ProcessWord)))
            [word] = of(seen, ProcessWord)
            assert isinstance(word, ProcessWord)
            assert word.state == "on purpose"
            assert time.monotonic() - ended_s >= SEARCH_S[0] / 2

    asyncio.run(story())


def test_an_echo_of_ovsdb_is_answered_or_not(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = json.loads(await reader.read(1_000))
        writer.write(json.dumps({"id": asked["id"], "result": [], "error": None}).encode())
        await writer.drain()
        writer.close()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async def story() -> None:
        said = []
        for serve in (answer, hang):
            path = tmp_path / serve.__name__
            server = await asyncio.start_unix_server(serve, path)
            guard = ProcessGuard(name="a", probe_socket=str(path), probe_limit_s=0.3)
            said.append(await probe(guard))
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0.1)  # Its end of the connection is closed, too.
        assert said == ["", "an echo was not answered within 0.3 s"]
        gone = ProcessGuard(name="a", probe_socket=str(tmp_path / "gone"))
        assert "its socket cannot be reached" in await probe(gone)

    asyncio.run(story())


def test_a_probe_says_no_by_its_code() -> None:
    assert asyncio.run(probe(ProcessGuard(name="a", probe=("/bin/false",)))) == (
        "its probe said no (code 1)"
    )
    with contextlib.suppress(CannotAsk):
        asyncio.run(probe(ProcessGuard(name="a", probe=("/nowhere/probe",))))
        raise AssertionError("it cannot be asked")
