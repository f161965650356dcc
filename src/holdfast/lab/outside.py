"""A place beside the hosts of a lab, on both wires, that outlives the loss of any host."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.lab.commands import leave_running, system_environment
from holdfast.lab.host import find_wire
from holdfast.lab.namespaces import LAB_VARIABLE
from holdfast.lab.network import OUTSIDE, find_plane


@dataclass(frozen=True)
class Outside:
    """Programs of the machine that share only the lab's network."""

    lab: str
    name: str = "outside"

    @property
    def address(self) -> str:
        """Where hosts reach it, on plane a."""
        return find_plane("a").address(OUTSIDE)

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program there; killing the returned process kills it."""
        return subprocess.Popen(self._command(argv), env=self._environment, **options)

    def leave_running(self, argv: Sequence[str], log: Path) -> int:
        """Start a program there that outlives us, until the lab is taken down; returns its pid."""
        return leave_running(self._command(argv), log, self._environment)

    def _command(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", "--target", str(find_wire(self.lab).pid), "--net", "--", *argv]

    @property
    def _environment(self) -> dict[str, str]:
        return {**system_environment(), LAB_VARIABLE: self.lab}
