"""What systemd says of a service: which process it is, and why it does not run.

Asked with systemctl, which can be killed where systemd hangs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from holdfast.adapters.drivers.short_program import run_short

ASKED = "Id,LoadState,ActiveState,SubState,Result,MainPID"
ASK_LIMIT_S = 2.0
SCOPE = ("systemd-run", "--scope", "--collect", "--quiet", "--")


class Unit(NamedTuple):
    """By systemd's own words."""

    name: str
    load: str
    active: str
    sub: str
    result: str
    pid: int


class Systemd(NamedTuple):
    """How it is reached: its program, and what is there while it runs."""

    systemctl: str = "systemctl"
    sign: Path = Path("/run/systemd/system")


SYSTEMD = Systemd()


async def ask_units(
    names: Sequence[str], systemd: Systemd = SYSTEMD, limit_s: float = ASK_LIMIT_S
) -> list[Unit] | None:
    """Those that systemd knows, in the order asked; None where it says nothing in time, or is not
    there at all."""
    if not names or not systemd.sign.exists():
        return None
    try:
        ran = await run_short([systemd.systemctl, "show", f"--property={ASKED}", *names], limit_s)
    except OSError:
        return None
    if ran.code != 0:
        return None
    blocks = [_fields(block) for block in ran.said.strip().split("\n\n")]
    units = [_unit(fields) for fields in blocks if fields.get("Id")]
    return [unit for unit in units if unit.load not in ("not-found", "masked")]


def apart(command: Sequence[str], systemd: Systemd = SYSTEMD) -> list[str]:
    """The command in a control group of its own. What it leaves running would else be in that of
    the agent's service, and be killed when that is restarted: with libvirt, VMs too."""
    if not systemd.sign.exists():
        return [*command]
    return [*SCOPE, *command]


def word_of(unit: Unit) -> tuple[str, str]:
    """What its state means for a process that does not run: the word, and the reason. The word is
    empty while that is not settled."""
    match unit.active:
        case "active" | "reloading" | "activating":
            return "starting", f"{unit.name} is {unit.active} ({unit.sub})"
        case "failed":
            return "failed", f"{unit.name} failed ({unit.result})"
        case "inactive":
            return "on purpose", f"{unit.name} was stopped"
        case _:
            return "", f"{unit.name} is {unit.active} ({unit.sub})"


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in block.splitlines())
    return {key: value for key, _, value in pairs}


def _unit(fields: dict[str, str]) -> Unit:
    pid = fields.get("MainPID", "0")
    return Unit(
        name=fields["Id"],
        load=fields.get("LoadState", ""),
        active=fields.get("ActiveState", ""),
        sub=fields.get("SubState", ""),
        result=fields.get("Result", ""),
        pid=int(pid) if pid.isdigit() else 0,
    )
