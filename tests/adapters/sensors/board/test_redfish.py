"""A Redfish board is read over HTTP from sushy-tools' own service, and what it refuses is said."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from aiohttp import web

from holdfast.adapters.sensors.board import BoardAsked
from holdfast.facts.hardware import PartKind, Reading, ReadingState
from holdfast.facts.observations import Observation
from holdfast.facts.settings_hardware import Board, Hardware
from tests.adapters.contract_sensor import end

pytestmark = pytest.mark.slow
PASSWORD = "let-me-see"
LIMIT_S = 30.0


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Hardware]:
    """How the service is asked; it runs while the test does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    word = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(rounds=4)).decode()
    (tmp_path / "users").write_text(f"viewer:{word}\n")
    (tmp_path / "conf").write_text(
        f'SUSHY_EMULATOR_AUTH_FILE = "{tmp_path}/users"\nSUSHY_EMULATOR_FAKE_DRIVER = True\n'
    )
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    command = [sys.executable, "-m", "sushy_tools.emulator.main", "--config", f"{tmp_path}/conf"]
    with (tmp_path / "log").open("wb") as log:
        service = subprocess.Popen(
            [*command, "-i", "127.0.0.1", "-p", str(port), "--fake"], stdout=log, stderr=log
        )
        try:
            wait_listening(port, service, tmp_path / "log")
            yield Hardware(
                board=Board.REDFISH,
                address=f"http://127.0.0.1:{port}",
                user="viewer",
                secret_file=str(tmp_path / "secret"),
            )
        finally:
            service.kill()
            service.wait()


def wait_listening(port: int, service: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        assert service.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def state_after_a_look(settings: Hardware) -> tuple[str, list[Observation]]:
    async def story() -> tuple[str, list[Observation]]:
        seen: list[Observation] = []
        sensor = BoardAsked(settings)
        task = asyncio.create_task(sensor.run(seen.append))
        try:
            async with asyncio.timeout(LIMIT_S):
                while sensor.state == "not looked yet":
                    assert not task.done()
                    await asyncio.sleep(0.02)
        finally:
            await end(task)
        return sensor.state, seen

    return asyncio.run(story())


def test_a_chassis_is_read(board: Hardware) -> None:
    state, seen = state_after_a_look(board)
    readings = [one for one in seen if isinstance(one, Reading)]
    assert state == f"reads {len(readings)} temperatures, fans and power supplies"
    named = {(one.kind, one.name): one for one in readings}
    fan = named[PartKind.FAN, "BaseBoard System Fan"]
    assert (fan.state, fan.value, fan.unit) == (ReadingState.OK, 2_100, "RPM")
    assert named[PartKind.TEMPERATURE, "Chassis Intake Temp"].value == 25


def test_a_wrong_password_is_said(board: Hardware) -> None:
    Path(board.secret_file).write_text("wrong")
    state, seen = state_after_a_look(board)
    assert "the board is not asked: Redfish says: 401" in state
    assert PASSWORD not in state
    assert seen == []


@pytest.mark.parametrize("said", ["<html>busy</html>", "[]", '{"Members": [{"@odata.id": "//x"}]}'])
def test_what_is_no_redfish_is_said(tmp_path: Path, said: str) -> None:
    """Nor is another server asked because this one says so: it would be given the password."""
    (tmp_path / "secret").write_text(PASSWORD)

    async def story() -> str:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(text=said, content_type="application/json")

        app = web.Application()
        app.router.add_get("/redfish/v1/Chassis", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        settings = Hardware(
            board=Board.REDFISH,
            address=f"http://127.0.0.1:{port}",
            user="viewer",
            secret_file=str(tmp_path / "secret"),
        )
        try:
            return (await asyncio.to_thread(state_after_a_look, settings))[0]
        finally:
            await runner.cleanup()

    assert asyncio.run(story()).startswith("the board is not asked: Redfish says: ")
