"""What a site decides about the watching of hardware: the table [hardware] of its settings."""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from holdfast.facts.settings_values import Check, seconds, shown, truth, word_of


class Board(StrEnum):
    """How the board of this host, its BMC, is asked."""

    LOCAL = "local"  # Through the host's own IPMI device; without one, not at all.
    IPMI = "ipmi"  # Over the network.
    REDFISH = "redfish"
    NONE = "none"


class Repair(StrEnum):
    """Which repairs of its hardware a host begins by itself."""

    NONE = "none"
    HARMLESS = "harmless"  # Those that nothing which works can feel.
    ALL = "all"  # And those that VMs may feel, when the fault is certain.


class Hardware(Struct, frozen=True, kw_only=True):
    """`secret_file` holds the password alone, as a file that only root may read.

    `watch`: None is yes, but for an agent in a container, whose hardware is not its own.
    """

    watch: bool | None = None
    period_s: float = 25.0  # Twice within a minute: a board is believed when it says it twice.
    corrected_per_hour: int = 10
    repair: Repair = Repair.HARMLESS
    board: Board = Board.LOCAL
    address: str = ""
    user: str = ""
    secret_file: str = ""
    insecure: bool = False  # Redfish: whoever answers at that address is believed.


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {shown(value)}")
        return value

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or value.startswith("-"):
        raise ValueError("must be a word, in quotes")
    return value


def _path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("must be the absolute path of a file, in quotes")
    return value


HARDWARE: dict[str, Check] = {
    "watch": truth,
    "period_s": seconds(10, 28),
    "corrected_per_hour": _whole(1, 1_000_000),
    "repair": word_of(Repair),
    "board": word_of(Board),
    "address": _text,
    "user": _text,
    "secret_file": _path,
    "insecure": truth,
}


def board_problem(hardware: Hardware) -> str:
    """What is missing to ask the board over the network, or empty."""
    if hardware.board not in (Board.IPMI, Board.REDFISH):
        return ""
    named = {"address": hardware.address, "user": hardware.user}
    named["secret_file"] = hardware.secret_file
    missing = [name for name, value in named.items() if not value]
    if not missing:
        return ""
    return f"board = {str(hardware.board)!r} needs {' and '.join(missing)}"
