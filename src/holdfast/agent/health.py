"""How the agent itself fares, and the small things it must remember beside its world."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.drivers.private_folder import sync_folder
from holdfast.ports.hypervisor import TakenOver
from holdfast.ports.journal import Losses


class Memo(msgspec.Struct, kw_only=True):
    """`taken`: what protect changed in each VM. `agents`: VMs whose guest agent ever answered."""

    taken: dict[str, TakenOver] = {}
    agents: list[str] = []


class Health:
    """`facts` gives what other parts of the agent want shown in status."""

    def __init__(self, path: Path, facts: Callable[[], dict[str, Any]]) -> None:
        self._path = path
        self._facts = facts
        self._lost = Losses()
        self._memo = self._read()

    def shown(self) -> dict[str, Any]:
        return self._facts()

    def losses(self) -> Losses:
        """What of the memo could not be written, or not be read back."""
        return self._lost

    def keep_taken(self, taken: TakenOver) -> bool:
        """Whether it is on the disk now. The first record stands: a second protect would record
        what we ourselves had set."""
        if taken.vm in self._memo.taken:
            return True
        self._memo.taken[taken.vm] = taken
        if self._write():
            return True
        del self._memo.taken[taken.vm]
        return False

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

    def _write(self) -> bool:
        """Whole or not at all; on a full disk the old one stays, and the loss is counted."""
        beside = self._path.with_suffix(".new")
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(self._memo))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            self._lose(f"{self._path.name} could not be written: {error.strerror}")
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            return False
        return True

    def _read(self) -> Memo:
        """What cannot be understood is set aside, for a person, and counted."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Memo)
        except FileNotFoundError:
            return Memo()
        except OSError as error:
            self._lose(f"{self._path.name} could not be read: {error.strerror}")
            return Memo()
        except (msgspec.MsgspecError, ValueError, RecursionError):
            aside = self._path.with_name(f"{self._path.name}.damaged-{int(time.time())}")
            self._lose(f"{self._path.name} was damaged and is set aside as {aside.name}")
            with contextlib.suppress(OSError):
                self._path.rename(aside)
            return Memo()

    def _lose(self, reason: str) -> None:
        self._lost = Losses(count=self._lost.count + 1, reason=reason)


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
