"""A host is frozen: none of its processes runs, while its kernel still answers the network.

The freezer of cgroups does it in one step and without a signal; without one, SIGSTOP does.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.lab.commands import LabError

CGROUPS = Path("/sys/fs/cgroup")
FREEZE_LIMIT_S = 15.0  # Of a machine that has several labs.
POLL_S = 0.001


@dataclass(frozen=True)
class Freezer:
    """That of one lab host; `list_pids` names its processes now, as the machine numbers them."""

    lab: str
    host: str
    list_pids: Callable[[], list[int]]

    def freeze(self) -> int:
        """Let nothing on the host run; returns the CLOCK_MONOTONIC ns just before.

        What enters the host later is not frozen.
        """
        group = self._find_group()
        if group is None:
            frozen_ns = time.monotonic_ns()
            self._signal_all(signal.SIGSTOP)
            return frozen_ns
        group.mkdir(exist_ok=True)
        self._gather(group)
        frozen_ns = time.monotonic_ns()
        _order(group, is_frozen=True)
        self._wait_frozen(group)
        return frozen_ns

    def thaw(self) -> int:
        """Let everything on the host run on; returns the CLOCK_MONOTONIC ns just before."""
        thawed_ns = time.monotonic_ns()
        group = self._find_group()
        if group is None:
            self._signal_all(signal.SIGCONT)
        elif group.exists():
            _order(group, is_frozen=False)
        return thawed_ns

    def kill_frozen(self) -> None:
        """Kill what is frozen, which hears of it only when it thaws: nothing of it runs again."""
        group = self._find_group()
        if group is not None and group.exists():
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            _order(group, is_frozen=False)

    def _find_group(self) -> Path | None:
        """Where the host's processes are put to be frozen; the old freezer disturbs nothing."""
        name = f"{_prefix(self.lab)}{self.host}"
        if os.access(CGROUPS / "freezer/cgroup.procs", os.W_OK):
            return CGROUPS / "freezer" / name
        for root in (CGROUPS / "unified", CGROUPS):
            if os.access(root / "cgroup.subtree_control", os.W_OK):
                return root / name
        return None

    def _gather(self, group: Path) -> None:
        """Put every process of the host into the group, also those born while we look."""
        seen: set[int] = set()
        while True:
            new = set(self.list_pids()) - seen
            if not new:
                return
            seen |= new
            for pid in new:
                with suppress(OSError):  # It ended meanwhile.
                    (group / "cgroup.procs").write_text(str(pid))

    def _wait_frozen(self, group: Path) -> None:
        deadline = time.monotonic() + FREEZE_LIMIT_S
        while not _is_frozen(group):
            if time.monotonic() > deadline:
                raise LabError(f"{self.host} does not freeze within {FREEZE_LIMIT_S:g} s")
            time.sleep(POLL_S)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self.list_pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def remove_freezers(lab: str) -> None:
    """Remove what a lab's freezers and systemds left, once their processes are dead."""
    for root in (CGROUPS / "freezer", CGROUPS / "unified", CGROUPS):
        for group in root.glob(f"{_prefix(lab)}h*"):
            inner = [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]
            for each in inner:
                with suppress(OSError):  # A process in it that died is not reaped yet: harmless.
                    each.rmdir()


def thaw_leftovers(lab: str) -> None:
    """Thaw whatever a killed drill left frozen, so that it can be killed."""
    for root in (CGROUPS / "freezer", CGROUPS / "unified", CGROUPS):
        for group in root.glob(f"{_prefix(lab)}h*"):
            _order(group, is_frozen=False)


def _prefix(lab: str) -> str:
    return f"holdfast-lab-{lab}-"


def _order(group: Path, *, is_frozen: bool) -> None:
    old = group / "freezer.state"
    with suppress(FileNotFoundError):
        if old.exists():
            old.write_text("FROZEN" if is_frozen else "THAWED")
        else:
            (group / "cgroup.freeze").write_text(str(int(is_frozen)))


def _is_frozen(group: Path) -> bool:
    old = group / "freezer.state"
    if old.exists():
        return old.read_text().strip() == "FROZEN"
    return "frozen 1" in (group / "cgroup.events").read_text()
