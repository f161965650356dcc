"""What the agent tells the pulse to say, and where: pulse.json in the state directory.

The pulse reads it at its start, so that a host pulses after a reboot even if its agent never
comes up. Standard library only.
"""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.facts.pulse import read_key

NAME = "pulse.json"


class PulseFileWrong(ValueError):
    """The file cannot be understood; the text says why."""


class Target(NamedTuple):
    """One controller on one plane; `own` is this host's address there."""

    plane: str
    own: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True)
class PulseFile:
    """`key` is hex. `answers` are the planes, and the own addresses, of the answer port; `watchdog`
    is the host's, opened only while VMs rely on a lease."""

    host: str
    host_name: str
    key: str
    period_ms: int
    restart_limit_ms: int
    stop_limit_ms: int
    targets: tuple[Target, ...]
    answers: tuple[tuple[str, str], ...]
    answer_port: int
    watchdog: str = ""


def read_pulse_file(path: Path) -> PulseFile:
    """Raises FileNotFoundError, OSError, PulseFileWrong."""
    raw = path.read_bytes()
    try:
        told: dict[str, Any] = json.loads(raw)
        read = PulseFile(
            host=str(told["host"]),
            host_name=str(told["host_name"]),
            key=str(told["key"]),
            period_ms=max(10, int(told["period_ms"])),
            restart_limit_ms=int(told["restart_limit_ms"]),
            stop_limit_ms=int(told["stop_limit_ms"]),
            targets=tuple(
                Target(str(plane), str(own), str(address), int(port))
                for plane, own, address, port in told["targets"]
            ),
            answers=tuple((str(plane), str(own)) for plane, own in told["answers"]),
            answer_port=int(told["answer_port"]),
            watchdog=str(told.get("watchdog", "")),  # An agent of the version before names none.
        )
        read_key(read.key)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PulseFileWrong(f"{path} cannot be understood: {error!r}") from None
    return read


def write_pulse_file(path: Path, file: PulseFile) -> bool:
    """Whole or not at all; returns whether it says something new. Raises OSError."""
    text = json.dumps(asdict(file), indent=1) + "\n"
    with contextlib.suppress(FileNotFoundError, UnicodeDecodeError):
        if path.read_text() == text:
            return False
    write_whole(path, text)
    return True


def write_whole(path: Path, text: str) -> None:
    """For its owner's eyes only: it holds the key. Raises OSError."""
    beside = path.with_suffix(f".new-{os.getpid()}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(path)
