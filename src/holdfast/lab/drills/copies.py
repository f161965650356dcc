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
        found: Counter[str] = Counter()
        for pid, words in _read_command_lines():
            for uuid, mark in self._marks.items():
                if mark in words:
                    found[uuid] += 1
                    self.lives[uuid].add(pid)
        return found

    def _look_always(self) -> None:
        looked_at = time.monotonic()
        while not self._is_over.wait(PERIOD_S):
            self.twice |= {uuid for uuid, copies in self.count().items() if copies > 1}
            self.looks += 1
            now = time.monotonic()
            self.longest_gap_s = max(self.longest_gap_s, now - looked_at)
            looked_at = now


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
