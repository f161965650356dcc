"""Mends a software RAID by putting a member back, or by seeing that a spare takes its place.

What is true of it now is read again: since the fault was told, the kernel may have begun by itself.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from holdfast.adapters.drivers import smartctl
from holdfast.adapters.drivers.hardware_repairs import ENVIRONMENT, Repairs
from holdfast.adapters.drivers.held_program import run_program
from holdfast.adapters.drivers.repairing import carry_out
from holdfast.adapters.drivers.sysfs_parts import disk_of
from holdfast.facts.actions import TryRepair
from holdfast.facts.hardware import RaidState
from holdfast.facts.instants import Instant
from holdfast.ports.mender import Mender, MendFailed

SPARE = "spare"
ASK_S = 10.0


class Raid:
    def __init__(
        self, repairs: Repairs | None = None, programs: Sequence[str] = smartctl.PROGRAMS
    ) -> None:
        self._repairs, self._programs = repairs or Repairs(), programs

    async def mend(self, asked: TryRepair) -> str:
        """The step's `args` say which: `put-back` or `spare`. The RAID is the fault's subject."""
        return await carry_out(asked, self._repairs, lambda repairs: self._mend(repairs, asked))

    async def _mend(self, repairs: Repairs, asked: TryRepair) -> str:
        array = asked.subject.id.partition(":")[2]
        state = repairs.raid(array)
        if not state.missing:
            return f"{array} has all its members already"
        if state.action in ("recovery", "reshape"):
            return f"{array} is being rebuilt already"
        if SPARE in asked.step.args:
            if not state.spares:
                raise MendFailed(f"{array} has no spare")
            return await repairs.await_rebuild(array, ", ".join(state.spares))
        return await self._put_back(repairs, state)

    async def _put_back(self, repairs: Repairs, state: RaidState) -> str:
        if state.spares:
            raise MendFailed(f"{state.array} has a spare, and the kernel puts that in first")
        if len(state.failed) != 1:
            names = ", ".join(state.failed) or "none"
            raise MendFailed(f"one failed member could be put back, and there is {names}")
        [member] = state.failed
        why = await self._is_ill(disk_of(member, repairs.sys))
        if why:
            raise MendFailed(f"{member} is not put back: {why}")
        return await repairs.replace_raid_member(state.array, member)

    async def _is_ill(self, disk: str) -> str:
        """Why nothing should be written to this disk any more; empty if it says that it is well. A
        disk that says nothing of itself is not well: who puts it back should be sure."""
        if not disk:
            return "its disk is not there"
        program = next((one for one in self._programs if Path(one).exists()), None)
        if program is None:
            return "nobody can say whether its disk is well (install smartmontools)"
        command = [program, *smartctl.options(f"/dev/{disk}")]
        try:
            ended = await run_program(command, b"", ASK_S, ENVIRONMENT)
            if ended.code is None:
                return f"its disk {disk} did not say within {ASK_S:g} s whether it is well"
            health = smartctl.read_health(ended.said, disk, disk, Instant(time.monotonic_ns()))
        except (OSError, smartctl.NotRead) as error:
            return f"nobody can say whether its disk {disk} is well: {error}"
        wrong = [*health.warnings, *([] if health.passed else ["it says that it fails"])]
        wrong += [f"{health.pending_sectors} sectors wait"] if health.pending_sectors else []
        return f"its disk {disk} is not well: {', '.join(wrong)}" if wrong else ""


PLUGIN: type[Mender] = Raid
