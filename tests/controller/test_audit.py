"""The audit is written before and after each change, bounded, and hinders none."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.controller.audit import FILES, Audit
from holdfast.controller.events import Events
from holdfast.facts.roles import Caller, Role
from holdfast.ports.answers import AWAY, LeaderElsewhere, Unanswerable

ANNA = Caller(name="anna", role=Role.OPERATE, origin="10.0.0.7")


async def nothing() -> str:
    return "done"


def outcomes(folder: Path, failure: BaseException | None) -> list[tuple[str, str]]:
    async def fails() -> None:
        if failure is not None:
            raise failure

    async def work() -> list[tuple[str, str]]:
        events = Events(folder / "events.db")
        audit = Audit(folder / "audit", events)
        try:
            await audit.around("arm", {}, ANNA, fails)
        except (Unanswerable, ZeroDivisionError):
            assert failure is not None
        told = await audit.newest(9)
        events.close()
        return [(one.outcome, one.reason) for one in told]

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("failure", "outcome", "reason"),
    [
        (None, "done", ""),
        (Unanswerable("it will not"), "refused", "it will not"),
        (Unanswerable("it is away", code=AWAY), "failed", "it is away"),
        (LeaderElsewhere("not here", "beta"), "passed on", "beta leads"),
        (ZeroDivisionError("oh"), "failed", "ZeroDivisionError: oh"),
    ],
)
def test_each_end_of_a_change_has_its_word(
    tmp_path: Path, failure: BaseException | None, outcome: str, reason: str
) -> None:
    assert outcomes(tmp_path, failure) == [(outcome, reason)]


def test_a_change_that_was_cut_off_stays_under_way(tmp_path: Path) -> None:
    async def work() -> None:
        events = Events(tmp_path / "events.db")
        audit = Audit(tmp_path / "audit", events)
        await audit.around("disarm", {"reason": "x", "secret": "s3cret"}, ANNA, nothing)
        file = tmp_path / "audit" / "audit.jsonl"
        lines = file.read_bytes().splitlines(keepends=True)
        assert b"s3cret" not in b"".join(lines)
        file.write_bytes(lines[0] + b'{"id":"half')
        again = Audit(tmp_path / "audit", events)
        await again.around("arm", {}, ANNA, nothing)
        told = await again.newest(9)
        assert [(one.what, one.outcome) for one in told] == [
            ("disarm", "under way"),
            ("arm", "done"),
        ]
        events.close()

    asyncio.run(work())


def test_files_are_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    async def work() -> None:
        events = Events(tmp_path / "events.db")
        audit = Audit(tmp_path / "audit", events, file_bytes=1_000)
        for number in range(60):
            await audit.around("settle", {"incident": f"web-{number}"}, ANNA, nothing)
            await asyncio.sleep(0.002)  # So that each file has a name of its own.
        files = list((tmp_path / "audit").iterdir())
        assert len(files) <= FILES
        assert all(path.stat().st_size <= 1_000 for path in files)
        told = await audit.newest(5)
        assert [one.args["incident"] for one in told] == [f"web-{n}" for n in range(55, 60)]
        assert audit.losses().count == 0
        events.close()

    asyncio.run(work())


def test_a_folder_that_cannot_be_written_hinders_no_change(tmp_path: Path) -> None:
    async def work() -> None:
        (tmp_path / "audit").write_text("in the way")
        events = Events(tmp_path / "events.db")
        audit = Audit(tmp_path / "audit", events)
        assert await audit.around("arm", {}, ANNA, nothing) == "done"
        assert audit.losses().count == 2
        assert b"switch recovery on: done" in events.newest_ones(1).events[0][1]
        events.close()

    asyncio.run(work())


def test_a_stalled_disk_delays_a_change_once_and_stops_none(tmp_path: Path) -> None:
    async def work() -> None:
        (tmp_path / "audit").mkdir(mode=0o700)
        stalls = tmp_path / "audit" / "audit.jsonl"
        os.mkfifo(stalls)  # Whoever opens it waits until somebody comes to the other end.
        events = Events(tmp_path / "events.db")
        audit = Audit(tmp_path / "audit", events, write_limit_s=0.2)
        began = time.monotonic()
        done: list[Any] = [await audit.around("arm", {}, ANNA, nothing) for _ in range(5)]
        assert done == ["done"] * 5
        assert time.monotonic() - began < 5
        assert audit.losses().count == 10
        assert "the disk" in audit.losses().reason
        both_ends = os.open(stalls, os.O_RDWR | os.O_NONBLOCK)
        assert audit._stalled is not None
        await asyncio.wait([audit._stalled], timeout=5)
        os.close(both_ends)
        events.close()

    asyncio.run(work())
