"""A line that cannot come about says why, once, and goes on dialing."""

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from holdfast.adapters.drivers.certificates import Certificates, write_private
from holdfast.adapters.drivers.dials import tls_dial
from holdfast.agent.line import Line
from holdfast.facts import wire

LIMIT_S = 10.0
TRIES = 3


def ignore(*_said: object) -> None:
    """Nothing comes of a line that is never up."""


def never() -> wire.Hello:
    raise AssertionError("nobody is greeted without a certificate")


def test_a_damaged_certificate_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_private(tmp_path / "host.crt", "x\n")
    caplog.set_level(logging.INFO)

    async def work() -> str:
        tried, done = [0], asyncio.Event()

        def find() -> Certificates:
            tried[0] += 1
            if tried[0] > TRIES:
                done.set()
            return Certificates(tmp_path)

        line = Line(
            tls_dial("h1", "127.0.0.1", 9, find),
            hello=never,
            came_up=ignore,
            welcomed=ignore,
            heard=ignore,
            went_down=ignore,
        )
        running = asyncio.create_task(line.run())
        waiting = asyncio.create_task(done.wait())
        await asyncio.wait({running, waiting}, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return line.reason

    reason = asyncio.run(work())
    said = f"the certificate in {tmp_path} cannot be used: a file of it is damaged"
    assert reason.startswith(said)
    words = [one.getMessage() for one in caplog.records if "h1" in one.getMessage()]
    assert len(words) == 1
    assert words[0].startswith(f"controller h1: {said}")
