"""Observers that know nothing of Holdfast: does any VM run twice, was any ended for no reason?

They read the kernel's list of processes of the whole machine, on which all lab hosts run.
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from holdfast.lab.namespaces import Holder

PERIOD_S = 0.05
VCPU = "CPU "  # So the threads of a guest's CPUs are called, by QEMU.
RAN_NS = 200_000  # Less is QEMU's own: a paused guest's CPU uses none at all.
LOOKS_ALIKE, MOST_GAP_S = 3, 0.25


class HasProcesses(Protocol):
    """A lab host, or whatever else has processes of its own."""

    @property
    def name(self) -> str: ...

    def list_pids(self) -> list[int]: ...


class CopyWatch:
    """For the length of a `with` block it looks all the time whether any VM has two copies that run
    (`twice`), and how often each was started (`lives`: its processes, one after the other)."""

    def __init__(self, uuids: Iterable[str]) -> None:
        self._marks = {uuid: f"-uuid\0{uuid}\0".encode() for uuid in uuids}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look_always, daemon=True)
        self.twice: set[str] = set()
        self.lives: dict[str, set[int]] = {uuid: set() for uuid in self._marks}
        self.looks = 0
        self.longest_gap_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def count(self) -> Counter[str]:
        """How many processes run each VM now."""
        return Counter({uuid: len(pids) for uuid, pids in self.find().items() if pids})

    def find(self) -> dict[str, list[Path]]:
        """The processes of each VM now."""
        found: dict[str, list[Path]] = {uuid: [] for uuid in self._marks}
        for pid, words in _read_command_lines():
            for uuid, mark in self._marks.items():
                if mark in words:
                    found[uuid].append(Path(f"/proc/{pid}"))
                    self.lives[uuid].add(pid)
        return found

    def look(self) -> None:
        """Note the VMs that run twice now."""
        self.twice |= {uuid for uuid, copies in self.count().items() if copies > 1}

    def _look_always(self) -> None:
        looked_at = time.monotonic()
        while not self._is_over.wait(PERIOD_S):
            self.look()
            self.looks += 1
            now = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now - looked_at)
            looked_at = now


class MovingWatch(CopyWatch):
    """The same while VMs move: then QEMU is there on both hosts, and only one may run the guest.

    Who runs it is the kernel's word: the CPU time that the threads of the guest's CPUs used. Of one
    that waits for the rest of a migration it does not move. Both used some in `LOOKS_ALIKE` looks
    that follow each other: within one look the guest may have changed hosts, and in the one before
    it the CPUs of the host to which it comes may have been made. So it is, too, in one long look:
    who was kept waiting begins anew. The guest must be at work.
    """

    def __init__(self, uuids: Iterable[str]) -> None:
        super().__init__(uuids)
        self._used_ns: dict[Path, int] = {}
        self._ran: Counter[Path] = Counter()  # In so many looks, up to the newest.
        self.judged = 0  # Looks that were not kept waiting.
        self._looked_s = 0.0

    def look(self) -> None:
        found = self.find()
        used = {entry: ns for pids in found.values() for entry in pids if (ns := used_ns(entry))}
        self.judge(found, used, time.monotonic())

    def judge(
        self, found: Mapping[str, Sequence[Path]], used: Mapping[Path, int], at_s: float
    ) -> None:
        """`found` are the processes of each VM, `used` the CPU time of their guests' CPUs in ns."""
        if at_s - self._looked_s > MOST_GAP_S:
            self._ran.clear()
        else:
            self.judged += 1
            before = self._used_ns
            ran = {one for one in used if one in before and used[one] - before[one] > RAN_NS}
            self._ran = Counter({one: self._ran[one] + 1 for one in ran})
        both = {one for one, looks in self._ran.items() if looks >= LOOKS_ALIKE}
        self.twice |= {uuid for uuid, pids in found.items() if len(both.intersection(pids)) > 1}
        self._used_ns, self._looked_s = dict(used), at_s


def used_ns(process: Path) -> int:
    """The CPU time of a guest's CPUs, in ns; 0 for a process that is gone."""
    total = 0
    for thread in process.glob("task/[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            if (thread / "comm").read_text().startswith(VCPU):
                total += int((thread / "schedstat").read_text().split()[0])
    return total


@dataclass(frozen=True)
class LivingVms:
    """The processes of all VMs that ran on some hosts at one time, by the host's name."""

    processes: Mapping[str, Sequence[Holder]]

    @classmethod
    def on(cls, hosts: Iterable[HasProcesses]) -> Self:
        """Look at them now."""
        running = {pid for pid, words in _read_command_lines() if b"\0-uuid\0" in words}
        found = {host.name: running.intersection(host.list_pids()) for host in hosts}
        return cls({name: [Holder.of_pid(pid) for pid in pids] for name, pids in found.items()})

    def count_ended(self, broken: Collection[str] = ()) -> int:
        """How many of them have ended since, without those of hosts that were broken on purpose."""
        kept = (found for name, found in self.processes.items() if name not in broken)
        return sum(not one.is_alive() for found in kept for one in found)


def _read_command_lines() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield int(entry.name), (entry / "cmdline").read_bytes()
