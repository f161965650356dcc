"""Mends by ending what is left of a process that no service manager keeps, and beginning it."""

import time
from pathlib import Path

from holdfast.adapters.drivers.ending import end_process
from holdfast.adapters.drivers.process_finder import read_living_pid
from holdfast.adapters.drivers.systemd_units import apart
from holdfast.adapters.menders.command import run_step
from holdfast.facts.actions import TryRepair
from holdfast.ports.mender import Mender, MendFailed


class ProcessMender:
    async def mend(self, asked: TryRepair) -> str:
        """The step's `args` are its end mark, its pid file (or empty), and what begins it. The
        process of the fault's evidence is ended first, if it is still that one."""
        mark, pid_file, *command = asked.step.args
        if Path(mark).exists():
            raise MendFailed(f"{mark} says that somebody stopped it")
        deadline = time.monotonic() + asked.limit_ms / 1_000
        pid, ticks = int(asked.evidence.get("pid", 0)), asked.evidence.get("started_ticks", "")
        if not pid and pid_file:
            pid = read_living_pid(Path(pid_file))
        ended = await end_process(pid, ticks) if pid else ""
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return ended + await run_step(apart(command), left_s)


PLUGIN: type[Mender] = ProcessMender
