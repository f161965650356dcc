"""Mends by having systemd restart a service; a process of it that is stuck is killed first."""

import asyncio
import signal
import time
from collections.abc import Mapping, Sequence

from holdfast.adapters.drivers.ending import end_process
from holdfast.adapters.drivers.qemu_proc import read_ticks
from holdfast.adapters.drivers.systemd_units import SYSTEMD, Systemd, Unit, ask_units
from holdfast.adapters.menders.command import run_step
from holdfast.facts.actions import TryRepair
from holdfast.ports.mender import Mender, MendFailed

SETTLES_S = 0.2


class UnitMender:
    """`verb` is what systemd is told: a restart takes along what requires the service."""

    def __init__(self, systemd: Systemd = SYSTEMD, *, verb: str = "restart") -> None:
        self._systemd, self._verb = systemd, verb

    async def mend(self, asked: TryRepair) -> str:
        """The step's `args` are units: the first that systemd knows is restarted. What somebody
        stopped stays stopped."""
        systemctl = self._systemd.systemctl
        deadline = time.monotonic() + asked.limit_ms / 1_000
        unit = await self._settled(asked.step.args, deadline)
        if unit.active in ("inactive", "deactivating"):
            raise MendFailed(f"{unit.name} is {unit.active}: somebody stops it, or has")
        if unit.pid and unit.active == "active":
            if _is_another(unit.pid, asked.evidence):
                return f"{unit.name} runs already, as process {unit.pid}"
            # Never all of the unit: where nothing else keeps them, VMs are in that of libvirt.
            ticks = asked.evidence.get("started_ticks", "")
            await end_process(unit.pid, ticks, (signal.SIGKILL,))
        restart = (systemctl, self._verb, unit.name)
        try:
            return await run_step(restart, _left(deadline))
        except MendFailed:
            # It may have been started too often: how often we may is our own affair. Not before,
            # since what is reset looks as if somebody had stopped it.
            await run_step((systemctl, "reset-failed", unit.name), _left(deadline))
            return await run_step(restart, _left(deadline))

    async def _settled(self, names: Sequence[str], deadline: float) -> Unit:
        """After a crash systemd ends what is left of the service first, and says deactivating."""
        while True:
            unit = await self._find(names)
            if unit.active != "deactivating" or time.monotonic() + SETTLES_S > deadline:
                return unit
            await asyncio.sleep(SETTLES_S)

    async def _find(self, names: Sequence[str]) -> Unit:
        units = await ask_units(names, self._systemd)
        if not units:
            raise MendFailed(f"systemd knows none of {', '.join(names)}, or does not answer")
        return next((unit for unit in units if unit.active != "inactive"), units[0])


def _is_another(pid: int, evidence: Mapping[str, str]) -> bool:
    """Whether it is not the process of the fault: somebody began it again meanwhile."""
    known, ticks = evidence.get("pid", ""), evidence.get("started_ticks", "")
    if not known:
        return False
    return known != str(pid) or (bool(ticks) and ticks != str(read_ticks(pid)))


def _left(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


PLUGIN: type[Mender] = UnitMender
