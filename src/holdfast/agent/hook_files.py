"""What libvirt's hook reads: which VMs are protected, and which of them this host holds now.

The first folder outlives a boot, the second dies with it: after a boot nothing that is protected
starts by itself, by libvirt's autostart least of all, until it is granted to this host again.
"""

import contextlib
import logging
import os
import shlex
from collections.abc import Callable
from pathlib import Path

from holdfast.adapters.drivers.private_folder import make_private_folder, sync_folder
from holdfast.policy import promise
from holdfast.policy.world import VmRecord, World

log = logging.getLogger(__name__)


class HookFiles:
    """`begin` once policy knows of its boot; `policy_moved` after each turn."""

    def __init__(self, state_dir: Path, run_dir: Path, world: Callable[[], World]) -> None:
        self._protected, self._held = state_dir / "protected", run_dir / "held"
        self._world = world
        self._listed: dict[str, str] = {}  # What is known to be written, by VM.
        self._granted: set[str] = set()

    def begin(self) -> None:
        """What the agent before this one held may be over. What it listed stays until this one
        knows better: its memory may be lost."""
        self.policy_moved()
        with contextlib.suppress(FileNotFoundError):
            for path in self._held.iterdir():
                if path.name not in self._granted:
                    path.unlink()

    def policy_moved(self) -> None:
        records = list(self._world().vms.values())
        held = {one.vm for one in records if self._is_held(one)}
        listed = {one.vm: self._sentence(one) for one in records if _is_listed(one)}
        gone = [one.vm for one in records if not _is_listed(one)]
        if held == self._granted and listed == self._listed:
            return
        try:
            self._write(held, listed, gone)
        except OSError as error:
            log.error("libvirt's hook cannot be told what this host holds: %s", error)

    def _write(self, held: set[str], listed: dict[str, str], gone: list[str]) -> None:
        """In the order in which nothing that may start is refused in between. Raises OSError."""
        for folder in (self._protected, self._held):
            make_private_folder(folder)
        for vm in held - self._granted:
            (self._held / vm).touch()
        for vm, text in listed.items():
            if self._listed.get(vm) != text:
                self._list(vm, text)
        for vm in gone:
            if vm in self._listed or (self._protected / vm).exists():
                (self._protected / vm).unlink(missing_ok=True)
        for vm in self._granted - held:
            (self._held / vm).unlink(missing_ok=True)
        self._granted, self._listed = held, listed

    def _list(self, vm: str, text: str) -> None:
        beside = self._protected / f".{vm}.new"
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._protected / vm)
        sync_folder(self._protected)

    def _is_held(self, record: VmRecord) -> bool:
        kept, world = record.protection, self._world()
        return (
            kept is not None
            and promise.is_held_here(world, record)
            and kept.tenure.boot == world.boot
            and kept.tenure.generation > record.outranked
        )

    def _sentence(self, record: VmRecord) -> str:
        """What whoever starts it reads, if it is refused."""
        where = "this host does not hold it in this boot, and it may run on another one"
        if record.protection is None and record.holder:
            where = f"host {record.holder} held it when this host heard of it last"
        return (
            f"Holdfast protects {record.name}: {where}. See where it runs: holdfast vm show"
            f" {record.name}. Only if you are sure that it runs nowhere, start it all the same: rm"
            f" {shlex.quote(str(self._protected / record.vm))}\n"
        )


def _is_listed(record: VmRecord) -> bool:
    """Also what another host holds by now, as far as this one knows."""
    return record.protection is not None or (record.outranked > 0 and not record.is_free)
