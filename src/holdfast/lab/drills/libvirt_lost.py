"""Drills that break a host's libvirt while its VMs run on: killed, and frozen."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.lab.commands import LabError
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread
from holdfast.lab.drills.many_vms import find_pids, wait_watched
from holdfast.lab.drills.scene import AFTERMATH_S, Scene
from holdfast.lab.drills.stand_ins import stand_ins
from holdfast.lab.hosts import Host
from holdfast.lab.problem_makers.libvirtd_frozen import freeze_libvirtd, thaw_libvirtd
from holdfast.lab.problem_makers.libvirtd_killed import kill_libvirtd

CONDITIONS = ("libvirt-silent",)
ALARM_LIMIT_S = 10.0
CLEARED_LIMIT_S = 30.0
LIGHT_VMS = 5
LIGHT_MIB = 4


@dataclass(frozen=True)
class LibvirtLost:
    """The clock runs from the signal to libvirt's daemon."""

    name: str
    about: str
    inject: Callable[[Host], int]
    mend: Callable[[Host], None]
    goal_ms: float
    runs: int = 20

    def run(self, scene: Scene) -> Result:
        """Do it as often as chosen; the VMs' processes must be the same afterwards."""
        runs, count = scene.choices.runs or self.runs, scene.choices.vms or LIGHT_VMS
        to_vim_ms: list[float] = []
        cleared_ms: list[float] = []
        with stand_ins(scene.host, count) as vms:
            wait_watched(scene, vms)
            pids = find_pids(vms)
            for number in range(1, runs + 1):
                what = f"run {number} of {runs}"
                injected_ns = self.inject(scene.host)
                arrival = scene.wait_alarm("", CONDITIONS, injected_ns, ALARM_LIMIT_S, what)
                mended_ns = time.monotonic_ns()
                self.mend(scene.host)
                if arrival is None:
                    continue
                to_vim_ms.append((arrival.at_ns - injected_ns) / NS_PER_MS)
                scene.say(f"{what}: reported after {to_vim_ms[-1]:.1f} ms")
                cleared = scene.inbox.wait(
                    lambda one, key=arrival.key: one.key == key and one.state == "cleared",  # type: ignore[misc]
                    since_ns=injected_ns,
                    limit_s=CLEARED_LIMIT_S,
                )
                if cleared is None:
                    scene.overrun(f"{what}: not cleared within {CLEARED_LIMIT_S:g} s")
                else:
                    cleared_ms.append((cleared.at_ns - mended_ns) / NS_PER_MS)
                wait_watched(scene, vms)
                scene.judge()
            time.sleep(AFTERMATH_S)
            scene.judge()
            if find_pids(vms) != pids:
                raise LabError("VMs did not run on while libvirt was away")
        told = Spread.of(to_vim_ms)
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=told,
            figures={"vms": count, "mended_to_cleared_ms": Spread.of(cleared_ms)},
            goals=(
                Goal(what="reported, p99", limit=self.goal_ms, measured=told.p99 if told else None),
            ),
            vm_memory_mib=LIGHT_MIB,
        )


LIBVIRT_ROWS = (
    LibvirtLost(
        name="libvirt-killed",
        about="libvirt's daemon is killed, and VMs run on",
        inject=kill_libvirtd,
        mend=lambda host: host.start_libvirtd(),
        goal_ms=50,
    ),
    LibvirtLost(
        name="libvirt-frozen",
        about="libvirt's daemon is frozen, and VMs run on",
        inject=freeze_libvirtd,
        mend=thaw_libvirtd,
        goal_ms=900,
    ),
)
