"""What the agent leaves for the pulse: its key, where it pulses to, and a word on each layer."""

import asyncio
import logging
import re
import secrets
from pathlib import Path

from holdfast.agent.board import Board
from holdfast.agent.identity import Identity
from holdfast.agent.loop import now
from holdfast.agent.pulse_file import NAME, PulseFile, Target, write_pulse_file, write_whole
from holdfast.facts.hearing import Layer, LayerState
from holdfast.facts.instants import Instant
from holdfast.facts.observations import LibvirtAnswered, LibvirtGone, LibvirtSilent, Observation
from holdfast.facts.pulse import KEY_BYTES
from holdfast.facts.settings import Settings
from holdfast.policy.timing import (
    AGENT_RESTART_LIMIT_MS,
    HOST_STOP_LIMIT_MS,
    LAYER_LIMIT_MS,
    LAYER_PERIOD_MS,
    PULSE_PERIOD_MS,
    PULSE_RESTART_LIMIT_MS,
)

log = logging.getLogger(__name__)

LOCAL_PLANE, LOOPBACK = "local", "127.0.0.1"
LOOK_S = 5.0  # At the pulse's file: without it, a pulse that is begun again says nothing.
_KEY = re.compile(r"[0-9a-f]{64}\s*")


class Vitals:
    """Made at the agent's start. Raises OSError when there is no board.

    What cannot be written to the disk is said, and the agent goes on: its pulse says what it
    was told before.
    """

    def __init__(self, settings: Settings, me: Identity, look_s: float = LOOK_S) -> None:
        state, run_dir = Path(settings.state_dir), Path(settings.run_dir)
        self.key = ""
        self.addresses = own_addresses(settings)
        self._board = Board(run_dir / "health-board")
        left = self._board.read(Layer.AGENT, Instant(0)).state  # However old: never stale.
        self.was_planned = left is LayerState.RESTARTING  # The run before us said so at its end.
        self._libvirt = LayerState.UNKNOWN
        self._path, self._look_s, self._trouble = state / NAME, look_s, ""
        self._file: PulseFile | None = None
        try:
            self.key = keep_key(state / "pulse-key")
            self._file = plan_pulse(settings, me, self.key)
        except OSError as error:
            log.error("the pulse was not told where to go: %s", error)
        self._tell_pulse()

    async def run(self) -> None:
        """Until cancelled. An event loop that is stuck writes nothing: that is the sign."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_file())
            while True:
                self._write()
                await asyncio.sleep(LAYER_PERIOD_MS / 1_000)

    def see(self, seen: Observation) -> None:
        was = self._libvirt
        match seen:
            case LibvirtAnswered():
                self._libvirt = LayerState.WELL
            case LibvirtGone() | LibvirtSilent():
                self._libvirt = LayerState.ILL
            case _:
                return
        if self._libvirt is not was:
            self._write()

    def leave(self) -> None:
        """The agent ends because it was told to; who told it may start it again."""
        at = now()
        self._board.write(Layer.AGENT, LayerState.RESTARTING, AGENT_RESTART_LIMIT_MS, at)

    async def _keep_file(self) -> None:
        """A file that was damaged or removed is written anew; a disk that hangs delays no word."""
        while True:
            await asyncio.sleep(self._look_s)
            await asyncio.to_thread(self._tell_pulse)

    def _tell_pulse(self) -> None:
        """What is the same already is not written. Blocks."""
        if self._file is None:
            return
        trouble = ""
        try:
            if write_pulse_file(self._path, self._file):
                self._board.call_to_read()
        except OSError as error:
            trouble = str(error)
            if trouble != self._trouble:
                log.error("the pulse was not told where to go: %s", trouble)
        self._trouble = trouble

    def _write(self) -> None:
        at = now()
        self._board.write(Layer.AGENT, LayerState.WELL, LAYER_LIMIT_MS, at)
        self._board.write(Layer.LIBVIRT, self._libvirt, LAYER_LIMIT_MS, at)


def keep_key(path: Path) -> str:
    """The host's own key in hex, made when there is none that can be read. Raises OSError."""
    try:
        found = path.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        found = ""
    if _KEY.fullmatch(found):
        return found.strip()
    key = secrets.token_hex(KEY_BYTES)
    write_whole(path, key + "\n")
    return key


def own_addresses(settings: Settings) -> dict[str, str]:
    """By plane; without planes a host is alone, and its loopback is the only one."""
    return settings.own_planes or {LOCAL_PLANE: LOOPBACK}


def plan_pulse(settings: Settings, me: Identity, key: str) -> PulseFile:
    own = own_addresses(settings)
    port = settings.pulse_port
    targets = [
        Target(plane, own[plane], address, port)
        for place in settings.controllers
        for plane, address in place.planes.items()
        if plane in own
    ]
    if not settings.controllers:
        targets = [Target(plane, address, address, port) for plane, address in own.items()]
    return PulseFile(
        host=me.host,
        host_name=me.host_name,
        key=key,
        period_ms=PULSE_PERIOD_MS,
        restart_limit_ms=PULSE_RESTART_LIMIT_MS,
        stop_limit_ms=HOST_STOP_LIMIT_MS,
        targets=tuple(targets),
        answers=tuple(own.items()),
        answer_port=settings.answer_port,
        watchdog=settings.watchdog,
    )
