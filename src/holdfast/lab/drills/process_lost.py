"""Drills that kill or freeze guarded processes of a host, which mends itself, while VMs run on."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from holdfast.lab import vswitch
from holdfast.lab.commands import LabError
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread
from holdfast.lab.drills.guarded import (
    NAME,
    StandInProcess,
    mended_vswitch,
    settings,
    switch_settings,
)
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.many_vms import find_pids, wait_watched
from holdfast.lab.drills.scene import AFTERMATH_S, Scene
from holdfast.lab.drills.stand_ins import stand_ins
from holdfast.lab.drills.this_machine import ThisMachine
from holdfast.lab.drills.vswitch_lost import wait_vswitch_watched
from holdfast.lab.problem_makers.libvirtd_killed import LIBVIRTD_PID_FILE

ALARM_LIMIT_S = 10.0
CLEARED_LIMIT_S = 60.0
LIGHT_VMS = 2
LIGHT_MIB = 4
MENDED, HANDED_OVER = "mended", "handed over"
SWITCH = {"ovs-vswitchd": vswitch.SWITCH_PID, "ovsdb-server": vswitch.DATABASE_PID}
PID_FILES = {"libvirt": LIBVIRTD_PID_FILE, **SWITCH}
CONDITIONS = {
    NAME: "process-failed",
    "libvirt": "libvirt-silent",
    **dict.fromkeys(SWITCH, "process-failed"),
}
MOST_RUNS = 16  # A host mends itself 20 times an hour, also what the switch loses meanwhile.


@dataclass
class _Taken:
    """What was measured of one kind of process."""

    to_vim_ms: list[float] = field(default_factory=list)
    mended_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class ProcessLost:
    """The clock runs from the signal to the process."""

    name: str
    about: str
    signal: signal.Signals
    goal_ms: float
    runs: int = 10

    @property
    def settings(self) -> str:
        """What the stage needs: the guards, with as many repairs an hour as there can be."""
        return switch_settings() + settings()

    def run(self, scene: Scene) -> Result:
        """Each kind so often; the VMs' processes must be the same afterwards."""
        kinds = [one for one in CONDITIONS if one not in SWITCH or _has_switch(scene)]
        runs = min(scene.choices.runs or self.runs, MOST_RUNS // len(kinds))
        count = scene.choices.vms or LIGHT_VMS
        taken = {kind: _Taken() for kind in kinds}
        with (
            _switch(scene),
            stand_ins(scene.host, count) as vms,
            StandInProcess(scene.host) as process,
        ):
            wait_watched(scene, vms)
            time.sleep(AFTERMATH_S)  # Until the guard has found the stand-in.
            pids = find_pids(vms)
            for kind, found in taken.items():
                for number in range(1, runs + 1):
                    what = f"{kind}, run {number} of {runs}"
                    self._break(scene, kind, process, what, found)
                    if kind == "libvirt":
                        wait_watched(scene, vms)
                    if kind in SWITCH:
                        wait_vswitch_watched(scene)
                    scene.judge(_is_of_switch if kind in SWITCH else _is_nothing)
            time.sleep(AFTERMATH_S)
            scene.judge()
            if find_pids(vms) != pids:
                raise LabError("VMs did not run on while the host mended itself")
        return self._result(taken, runs, count)

    def _break(
        self, scene: Scene, kind: str, process: StandInProcess, what: str, found: _Taken
    ) -> None:
        pid = process.wait_pid() if kind == NAME else scene.host.read_pid(PID_FILES[kind])
        injected_ns = time.monotonic_ns()
        os.kill(pid, self.signal)
        arrival = scene.wait_alarm("", (CONDITIONS[kind],), injected_ns, ALARM_LIMIT_S, what)
        if arrival is None:
            return
        found.to_vim_ms.append((arrival.at_ns - injected_ns) / NS_PER_MS)
        cleared = scene.inbox.wait(
            lambda one: one.key == arrival.key and one.state == "cleared",
            since_ns=injected_ns,
            limit_s=CLEARED_LIMIT_S,
        )
        if cleared is None:
            scene.overrun(f"{what}: not mended within {CLEARED_LIMIT_S:g} s")
        elif "mended here" in cleared.text:
            found.mended_ms.append((cleared.at_ns - injected_ns) / NS_PER_MS)
            scene.say(f"{what}: told after {found.to_vim_ms[-1]:.1f} ms, and mended")

    def _result(self, taken: dict[str, _Taken], runs: int, count: int) -> Result:
        told = Spread.of(ms for one in taken.values() for ms in one.to_vim_ms)
        is_mended = all(len(one.mended_ms) == runs for one in taken.values())
        figures = {
            f"{kind.replace('-', '_')}_{what}_ms": Spread.of(values)
            for kind, one in taken.items()
            for what, values in (("told", one.to_vim_ms), ("mended", one.mended_ms))
        }
        return Result(
            drill=self.name,
            runs=runs * len(taken),
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=told,
            outcome=MENDED if is_mended else HANDED_OVER,
            figures={"vms": count, **figures},
            goals=(
                Goal(what="reported, p99", limit=self.goal_ms, measured=told.p99 if told else None),
            ),
            vm_memory_mib=LIGHT_MIB,
        )


def _is_of_switch(one: Arrival) -> bool:
    """What it loses while its daemon is away, or reads its database anew, is told, and waits."""
    return one.condition.startswith("vswitch-")


def _is_nothing(_: Arrival) -> bool:
    return False


def _has_switch(scene: Scene) -> bool:
    """This machine's own is left alone."""
    return not isinstance(scene.host, ThisMachine)


@contextmanager
def _switch(scene: Scene) -> Iterator[None]:
    if not _has_switch(scene):
        yield
        return
    with mended_vswitch(scene.host):
        wait_vswitch_watched(scene)
        yield


PROCESS_ROWS = (
    ProcessLost(
        name="process-killed",
        about="libvirt, Open vSwitch and a stand-in for nova-compute are killed; the host mends"
        " itself",
        signal=signal.SIGKILL,
        goal_ms=50,
    ),
    ProcessLost(
        name="process-frozen",
        about="libvirt, Open vSwitch and a stand-in for nova-compute are frozen; the host mends"
        " itself",
        signal=signal.SIGSTOP,
        goal_ms=900,
    ),
)
