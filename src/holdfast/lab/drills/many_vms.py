"""Drills with many light VMs: all die together, or the agent only watches them."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.lab.commands import LabError
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread, median
from holdfast.lab.drills.processes import read_cpu_s, read_pss_mib
from holdfast.lab.drills.scene import AFTERMATH_S, Scene
from holdfast.lab.drills.stand_ins import StandIn, stand_ins
from holdfast.lab.namespaces import Holder

ALARM_LIMIT_S = 20.0
SEEN_LIMIT_S = 60.0
POLL_S = 0.2
LIGHT_MIB = 4


def wait_watched(scene: Scene, vms: list[StandIn]) -> None:
    """Wait until the agent watches the present life of every one."""
    wanted = {one.uuid: one.read_pid() for one in vms}
    deadline = time.monotonic() + SEEN_LIMIT_S
    while True:
        seen = {vm.vm: vm.pid for vm in scene.stage.ask_vms() if vm.is_running}
        missing = [uuid for uuid, pid in wanted.items() if seen.get(uuid) != pid]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise LabError(f"the agent does not watch {len(missing)} of {len(wanted)} VMs")
        time.sleep(POLL_S)


@dataclass(frozen=True)
class VmsKilledTogether:
    """The clock runs from the first kill to the arrival of the last alarm."""

    name: str = "vms-killed-together"
    about: str = "many VMs are killed at once"
    runs: int = 1
    vms: int = 100

    def run(self, scene: Scene) -> Result:
        """Do it as often as chosen."""
        runs, count = scene.choices.runs or self.runs, scene.choices.vms or self.vms
        each_ms: list[float] = []
        last_ms: list[float] = []
        for number in range(1, runs + 1):
            what = f"run {number} of {runs}"
            scene.say(f"{what}: starting {count} light VMs")
            with stand_ins(scene.host, count) as vms:
                wait_watched(scene, vms)
                times = kill_together(scene, vms, what)
            each_ms += times
            if len(times) == count:
                last_ms.append(max(times))
                scene.say(f"{what}: the last of {count} alarms after {last_ms[-1]:.0f} ms")
            time.sleep(AFTERMATH_S)
            scene.judge()
        last = Spread.of(last_ms)
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=Spread.of(each_ms),
            figures={"vms": count, "last_alarm_ms": last},
            goals=(
                Goal(
                    what=f"last of {count} alarms", limit=1_000, measured=last.max if last else None
                ),
            ),
            vm_memory_mib=LIGHT_MIB,
        )


def kill_together(scene: Scene, vms: list[StandIn], what: str) -> list[float]:
    """Kill all; milliseconds from the first kill to each alarm's arrival."""
    pids = find_pids(vms)
    injected_ns = time.monotonic_ns()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    times = []
    deadline = time.monotonic() + ALARM_LIMIT_S
    for one in vms:
        arrival = scene.wait_alarm(
            one.uuid,
            ("vm-gone",),
            injected_ns,
            max(0.0, deadline - time.monotonic()),
            f"{what}, {one.name}",
        )
        if arrival is not None:
            times.append((arrival.at_ns - injected_ns) / NS_PER_MS)
    return times


def find_pids(vms: list[StandIn]) -> list[int]:
    """The machine's pids of the VMs' processes, which name their uuids."""
    wanted = {f"-uuid\0{one.uuid}\0".encode() for one in vms}
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes()
            if any(word in words for word in wanted):
                found.append(int(entry.name))
    if len(found) != len(vms):
        raise LabError(f"{len(vms)} light VMs have {len(found)} processes")
    return found


@dataclass(frozen=True)
class AgentIdle:
    """Nothing is broken: what the agent and its workers cost while they watch."""

    name: str = "agent-idle"
    about: str = "the agent watches many VMs, and is weighed"
    runs: int = 1
    vms: int = 50
    settle_s: float = 5.0
    measured_s: float = 30.0

    def run(self, scene: Scene) -> Result:
        """Weigh it as often as chosen."""
        runs, count = scene.choices.runs or self.runs, scene.choices.vms or self.vms
        cpu: list[float] = []
        pss: list[float] = []
        shares: list[float] = []
        scene.say(f"starting {count} light VMs")
        with stand_ins(scene.host, count) as vms:
            wait_watched(scene, vms)
            for number in range(1, runs + 1):
                time.sleep(self.settle_s)
                tree = scene.stage.agent.list_tree()
                shares = self._measure_cpu(tree)
                cpu.append(sum(shares))
                pss.append(read_pss_mib(tree))
                scene.say(
                    f"run {number} of {runs}: {cpu[-1]:.2f} % of a core, {pss[-1]:.1f} MiB"
                    f" in {len(tree)} processes"
                )
            scene.judge()
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            figures={
                "vms": count,
                "cpu_percent": median(cpu),
                "pss_mib": median(pss),
                "cpu_percent_of_each_process": [round(share, 2) for share in shares],
                "measured_s": self.measured_s,
            },
            goals=(
                Goal(what="processor, of one core", limit=1, unit="%", measured=median(cpu)),
                Goal(what="memory (PSS)", limit=80, unit="MiB", measured=median(pss)),
            ),
            vm_memory_mib=LIGHT_MIB,
        )

    def _measure_cpu(self, tree: list[Holder]) -> list[float]:
        """Percent of one core for each process, the agent itself first."""
        before_s, begun = [read_cpu_s([one]) for one in tree], time.monotonic()
        time.sleep(self.measured_s)
        took_s = time.monotonic() - begun
        after_s = [read_cpu_s([one]) for one in tree]
        return [100 * (b - a) / took_s for a, b in zip(before_s, after_s, strict=True)]
