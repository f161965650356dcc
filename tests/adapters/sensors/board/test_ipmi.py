"""A board is read over the network from OpenIPMI's simulator by the real ipmitool."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.adapters.sensors.board import PROGRAMS, BoardAsked
from holdfast.facts.hardware import PartKind, Reading, ReadingState
from holdfast.facts.observations import Observation
from holdfast.facts.settings_hardware import Board, Hardware
from tests.adapters.contract_sensor import end

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which("ipmi_sim") or not any(Path(one).exists() for one in PROGRAMS),
        reason="needs openipmi and ipmitool",
    ),
]
LIMIT_S = 40.0
# Source: ipmi_lan(5).
LAN = """name "board"
set_working_mc 0x20
startlan 1
addr 127.0.0.1 {port}
priv_limit admin
allowed_auths_callback md5
allowed_auths_user md5
allowed_auths_operator md5
allowed_auths_admin md5
guid a123456789abcdefa123456789abcdef
endlan
user 2 true "viewer" "let-me-see" admin 10 md5
"""
BEGIN = ["mc_setbmc 0x20", "mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02"]
DEGREES, RPM = 1, 18


def sdr(kind: int, number: int, sensor: int, entity: int, name: str, body: list[int]) -> str:
    """A record for the board's list of sensors. Source: IPMI 2.0, 43.1 and 43.2."""
    capabilities, reading = (0x68, 0x01) if kind == 1 else (0x40, 0x6F)
    head = [0x20, 0, number, entity, 1, 0x7F, capabilities, sensor, reading]
    record = [*head, *body, 0xC0 | len(name), *name.encode()]
    words = [0, 0, 0x51, kind, len(record), *record]
    return "main_sdr_add 0x20 " + " ".join(f"0x{one:02x}" for one in words)


def analog(unit: int, factor: int, limits: list[int]) -> list[int]:
    masks = [0x95, 0x7A, 0x95, 0x7A, 0x3F, 0x3F]
    scale = [0, unit, 0, 0, factor, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0]
    return [*masks, *scale, *limits, 1, 1, 0, 0, 0]


def hardware(folder: Path) -> str:
    """One temperature, one fan and one power supply. Source: ipmi_sim_cmd(5)."""
    lines = list(BEGIN)
    all_states = " ".join(["000111111111111"] * 4)
    kinds = ((1, "temp", 0x01, "0x01"), (2, "fan", 0x04, "0x01"), (3, "psu", 0x08, "0x6f"))
    for number, name, sensor, reading in kinds:
        poll = f'poll 100 file "{folder}/{name}"'
        lines.append(f"sensor_add 0x20 0 {number} 0x{sensor:02x} {reading} {poll}")
        lines.append(
            f"sensor_set_event_support 0x20 0 {number} enable scanning per-state {all_states}"
        )
    lines += [
        "sensor_set_threshold 0x20 0 1 settable 111000 105 95 85 0 0 0",
        "sensor_set_threshold 0x20 0 2 settable 000111 0 0 0 10 20 30",
        sdr(1, 1, 0x01, 3, "CPU1 Temp", analog(DEGREES, 1, [105, 95, 85, 0, 0, 0])),
        sdr(1, 2, 0x04, 29, "FAN1", analog(RPM, 100, [0, 0, 0, 10, 20, 30])),
        sdr(2, 3, 0x08, 10, "PS1 Status", [0x0F, 0] * 3 + [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        "mc_enable 0x20",
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Hardware]:
    """How it is asked; its sensors are the files temp, fan and psu."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "lan.conf").write_text(LAN.format(port=port))
    (tmp_path / "hardware").write_text(hardware(tmp_path))
    (tmp_path / "state").mkdir()
    (tmp_path / "secret").write_text("let-me-see\n")
    feel(tmp_path, temp=40, fan=60, psu=1)
    files = ["-c", f"{tmp_path}/lan.conf", "-f", f"{tmp_path}/hardware", "-s", f"{tmp_path}/state"]
    with (tmp_path / "log").open("wb") as log:
        simulator = subprocess.Popen(["ipmi_sim", *files, "--nostdio"], stdout=log, stderr=log)
        try:
            yield Hardware(
                board=Board.IPMI,
                address=f"127.0.0.1:{port}",
                user="viewer",
                secret_file=str(tmp_path / "secret"),
                period_s=1,
            )
        finally:
            simulator.kill()
            simulator.wait()


def feel(folder: Path, **values: int) -> None:
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n")


def test_what_the_board_feels_is_read(board: Hardware, tmp_path: Path) -> None:
    async def story() -> None:
        seen: list[Observation] = []
        sensor = BoardAsked(board)
        task = asyncio.create_task(sensor.run(seen.append))

        async def wait_states(*wanted: ReadingState) -> None:
            """The newest of each sensor, in the order of kinds."""
            async with asyncio.timeout(LIMIT_S):
                while states(seen) != list(wanted):
                    assert not task.done(), sensor.state
                    await asyncio.sleep(0.05)

        try:
            await wait_states(ReadingState.OK, ReadingState.OK, ReadingState.OK)
            feel(tmp_path, temp=97, fan=5, psu=9)
            await wait_states(*[ReadingState.CRITICAL] * 3)
            feel(tmp_path, temp=88, fan=60, psu=1)
            await wait_states(ReadingState.WARNING, ReadingState.OK, ReadingState.OK)
        finally:
            await end(task)

    asyncio.run(story())


def test_a_wrong_password_is_said(board: Hardware) -> None:
    Path(board.secret_file).write_text("wrong\n")
    began = time.monotonic()

    async def story() -> str:
        sensor = BoardAsked(board)
        task = asyncio.create_task(sensor.run(lambda _: None))
        try:
            async with asyncio.timeout(LIMIT_S):
                while sensor.state == "not looked yet":
                    assert not task.done()
                    await asyncio.sleep(0.05)
        finally:
            await end(task)
        return sensor.state

    assert "the board is not asked: ipmitool " in asyncio.run(story())
    assert time.monotonic() - began < LIMIT_S


def states(seen: list[Observation]) -> list[ReadingState]:
    newest = {one.kind: one.state for one in seen if isinstance(one, Reading)}
    kinds = (PartKind.TEMPERATURE, PartKind.FAN, PartKind.POWER)
    return [newest[kind] for kind in kinds if kind in newest]
