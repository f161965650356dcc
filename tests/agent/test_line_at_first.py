"""Where agent and controller begin together nobody is told that the other is later by a moment."""

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from holdfast.adapters.drivers.dials import unix_dial
from holdfast.agent.line import Line
from holdfast.facts import wire
from holdfast.ports.link import Connection, Dial

TRIES = 2


def ignore(*_said: object) -> None:
    """Nothing comes of a line that is never up."""


def never() -> wire.Hello:
    raise AssertionError("nobody is there to be greeted")


async def until_it_said_why(folder: Path, begin_limit_s: float) -> str:
    dial, dialed = unix_dial("here", folder / "none.sock"), asyncio.Event()
    tries = iter(range(TRIES))

    def dial_again() -> contextlib.AbstractAsyncContextManager[Connection]:
        if next(tries, None) is None:
            dialed.set()
        return dial.open()

    line = Line(
        Dial(name="here", open=dial_again),
        hello=never,
        came_up=ignore,
        welcomed=ignore,
        heard=ignore,
        went_down=ignore,
        begin_limit_s=begin_limit_s,
    )
    running = asyncio.create_task(line.run())
    async with asyncio.timeout(10):
        await dialed.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return line.reason


@pytest.mark.parametrize(("limit_s", "lines_said"), [(60, 0), (0, 1)])
def test_nobody_there_is_said_after_a_while_only(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    limit_s: int,
    lines_said: int,
) -> None:
    caplog.set_level(logging.INFO)
    assert asyncio.run(until_it_said_why(tmp_path, limit_s)) == "nothing listens there"
    words = [one.getMessage() for one in caplog.records if "here" in one.getMessage()]
    assert words == ["controller here: nothing listens there"] * lines_said
