"""How the agent itself fares, and the small things it must remember beside its world."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast.ports.hypervisor import TakenOver


class Memo(msgspec.Struct, kw_only=True):
    """`taken`: what protect changed in each VM. `agents`: VMs whose guest agent ever answered."""

    taken: dict[str, TakenOver] = {}
    agents: list[str] = []


class Health:
    """`facts` gives what other parts of the agent want shown in status."""

    def __init__(self, path: Path, facts: Callable[[], dict[str, Any]]) -> None:
        self._path = path
        self._facts = facts
        self._memo = _read(path)

    def shown(self) -> dict[str, Any]:
        return self._facts()

    def keep_taken(self, taken: TakenOver) -> None:
        """The first record stands: a second protect would record what we ourselves had set."""
        if taken.vm not in self._memo.taken:
            self._memo.taken[taken.vm] = taken
            self._write()

    def taken(self, vm: str) -> TakenOver | None:
        return self._memo.taken.get(vm)

    def forget_taken(self, vm: str) -> None:
        if self._memo.taken.pop(vm, None) is not None:
            self._write()

    def note_agent(self, vm: str) -> None:
        if vm not in self._memo.agents:
            self._memo.agents.append(vm)
            self._write()

    def has_agent(self, vm: str) -> bool:
        return vm in self._memo.agents

    def _write(self) -> None:
        """Whole or not at all; on a full disk the old one stays and the new is only in memory."""
        beside = self._path.with_suffix(".new")
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(self._memo))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError:
            beside.unlink(missing_ok=True)


def _read(path: Path) -> Memo:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memo)
    except (OSError, msgspec.MsgspecError, json.JSONDecodeError):
        return Memo()


def rss_mib(pids: list[int]) -> float:
    """Proportional set size of some processes together, in MiB: shared pages are counted once."""
    total_kib = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        line = next((row for row in text.splitlines() if row.startswith("Pss:")), "Pss: 0 kB")
        total_kib += int(line.split()[1])
    return total_kib / 1_024
