"""The board's own sensors, its BMC asked by ipmitool or Redfish: temperatures, fans, supplies.

A BMC is slow and sometimes hangs: ipmitool is a program that is killed, and Redfish has limits.
The password goes to ipmitool as the name of its file, so that no list of processes shows it.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from holdfast.adapters.drivers.board_words import read_power, read_sdr, read_thermal
from holdfast.adapters.drivers.held_program import run_program
from holdfast.facts.hardware import Reading
from holdfast.facts.instants import Instant
from holdfast.facts.settings_hardware import Board, Hardware
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)

PROGRAMS = ("/usr/bin/ipmitool", "/usr/sbin/ipmitool", "/usr/local/bin/ipmitool")
DEVICES = (Path("/dev/ipmi0"), Path("/dev/ipmi/0"), Path("/dev/ipmidev/0"))
LIMIT_S = 20.0  # A hundred sensors over a slow bus take five seconds, and a busy BMC more.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
MOST_BYTES = 4 << 20
CHASSIS_ASKED = 16


class NotAsked(Exception):
    """Why the board says nothing, as a sentence."""


class BoardAsked:
    """`state` is what it reads, or why it does not; said in the log when it changes."""

    name = "board"

    def __init__(
        self,
        settings: Hardware,
        programs: Sequence[str] = PROGRAMS,
        devices: Sequence[Path] = DEVICES,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._settings, self._programs, self._devices = settings, programs, devices
        self._limit_s = limit_s
        self.state = "not looked yet"

    async def run(self, see: See) -> None:
        while True:
            began = time.monotonic()
            try:
                readings = await self._ask()
            except NotAsked as reason:
                self._say(f"the board is not asked: {reason}")
            else:
                for reading in readings:
                    see(reading)
                self._say(f"reads {len(readings)} temperatures, fans and power supplies")
            await asyncio.sleep(max(1.0, self._settings.period_s - (time.monotonic() - began)))

    async def _ask(self) -> list[Reading]:
        match self._settings.board:
            case Board.NONE:
                raise NotAsked("the settings say so")
            case Board.REDFISH:
                return await self._ask_redfish()
            case Board.LOCAL if not any(one.exists() for one in self._devices):
                raise NotAsked("this host shows no IPMI device (modprobe ipmi_si ipmi_devintf)")
            case Board.LOCAL | Board.IPMI:
                return await self._ask_ipmitool()

    async def _ask_ipmitool(self) -> list[Reading]:
        program = next((one for one in self._programs if Path(one).exists()), None)
        if program is None:
            raise NotAsked("ipmitool is not here (install ipmitool)")
        command = [program, *self._over_lan(), "-c", "sdr", "elist", "all"]
        try:
            ended = await run_program(command, b"", self._limit_s, ENVIRONMENT)
        except OSError as error:
            raise NotAsked(f"ipmitool cannot be begun: {error}") from None
        if ended.code is None:
            raise NotAsked(f"ipmitool had no answer within {self._limit_s:g} s")
        readings = read_sdr(ended.said, _now())
        if ended.code != 0 and not readings:
            words = ended.complained.strip().splitlines()
            raise NotAsked(f"ipmitool says: {words[-1] if words else f'code {ended.code}'}")
        return readings

    def _over_lan(self) -> list[str]:
        given = self._settings
        if given.board is not Board.IPMI:
            return []
        # Without a cipher it asks for their list, which some boards do not have.
        host, colon, port = given.address.partition(":")
        is_with_port = bool(colon) and port.isdigit()  # Else an IPv6 address.
        where = ["-H", host, "-p", port] if is_with_port else ["-H", given.address]
        way = ["-I", "lanplus", "-C", "3", *where, "-U", given.user]
        return [*way, "-f", given.secret_file]

    async def _ask_redfish(self) -> list[Reading]:
        given = self._settings
        try:
            password = (await asyncio.to_thread(Path(given.secret_file).read_text)).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise NotAsked(f"its secret cannot be read: {error}") from None
        login = base64.b64encode(f"{given.user}:{password}".encode()).decode()
        base = given.address if "://" in given.address else f"https://{given.address}"
        try:
            async with (
                asyncio.timeout(self._limit_s),
                aiohttp.ClientSession(
                    headers={"Authorization": f"Basic {login}"},
                    connector=aiohttp.TCPConnector(ssl=not given.insecure),
                ) as session,
            ):
                return await _read_redfish(session, base.rstrip("/"))
        except TimeoutError:
            raise NotAsked(f"Redfish had no answer within {self._limit_s:g} s") from None
        except (aiohttp.ClientError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise NotAsked(f"Redfish says: {error}") from None

    def _say(self, state: str) -> None:
        if state != self.state:
            log.info("board: %s", state)
        self.state = state


async def _read_redfish(session: aiohttp.ClientSession, base: str) -> list[Reading]:
    """Every chassis' `Thermal` and `Power`; one that lacks them is passed over."""
    found: list[Reading] = []
    root = await _get(session, f"{base}/redfish/v1/Chassis")
    members = root.get("Members")
    for member in members[:CHASSIS_ASKED] if isinstance(members, list) else ():
        chassis = await _get(session, base + _path(member))
        for key, read in (("Thermal", read_thermal), ("Power", read_power)):
            if key in chassis:
                found += read(await _get(session, base + _path(chassis[key])), _now())
    return found


def _path(link: Any) -> str:
    """Of a link of Redfish. Never another server: it would be given the password."""
    path = link.get("@odata.id") if isinstance(link, dict) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise ValueError("a link that is none")
    return path


async def _get(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Raises ValueError for what is no JSON object."""
    async with session.get(url, allow_redirects=False) as answer:
        answer.raise_for_status()
        raw = bytearray()
        async for piece in answer.content.iter_any():
            raw += piece
            if len(raw) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes at {url}")
    tree: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    return tree


def _now() -> Instant:
    return Instant(time.monotonic_ns())


PLUGIN: type[Sensor] = BoardAsked
