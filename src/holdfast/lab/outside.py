"""A place beside the hosts of a lab, on both wires, that outlives the loss of any host."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.lab.commands import system_environment
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
        enter = ["nsenter", "--target", str(find_wire(self.lab).pid), "--net", "--"]
        return subprocess.Popen(
            [*enter, *argv], env={**system_environment(), LAB_VARIABLE: self.lab}, **options
        )
