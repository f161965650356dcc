"""Drills that break a host's virtual switch: its uplink's carrier is lost, or its flows are."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.lab import vswitch
from holdfast.lab.commands import LabError
from holdfast.lab.drills.asking import ask
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread
from holdfast.lab.drills.scene import AFTERMATH_S, Scene
from holdfast.lab.drills.stage import RUN_FOLDER
from holdfast.lab.drills.switch_mended import mend, restarted_after_death
from holdfast.lab.drills.this_machine import ThisMachine
from holdfast.lab.hosts import Host

ALARM_LIMIT_S = 10.0
CLEARED_LIMIT_S = 30.0
READY_LIMIT_S = 20.0
POLL_S = 0.05
FLOWS_LOST = "vswitch-flows-lost"


@dataclass(frozen=True)
class VswitchLost:
    """The clock runs from just before the fault is made. `mend` is done by the drill itself, and
    by the same code that an agent would mend with."""

    name: str
    about: str
    condition: str
    inject: Callable[[Host], int]
    mend: Callable[[Host], object]
    goal_ms: float
    runs: int = 20

    def run(self, scene: Scene) -> Result:
        """Do it as often as chosen, each time mended and cleared."""
        if isinstance(scene.host, ThisMachine):
            raise LabError("this drill makes a virtual switch, and breaks it: only on a lab host")
        runs = scene.choices.runs or self.runs
        to_vim_ms: list[float] = []
        cleared_ms: list[float] = []
        with vswitch.vswitch_on(scene.host):
            _wait_watched(scene)
            mend(scene.host, "record")
            for number in range(1, runs + 1):
                what = f"run {number} of {runs}"
                injected_ns = self.inject(scene.host)
                arrival = scene.wait_alarm("", (self.condition,), injected_ns, ALARM_LIMIT_S, what)
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
                scene.judge(self._is_same)
                _wait_watched(scene)
            time.sleep(AFTERMATH_S)
            scene.judge(self._is_same)
        told = Spread.of(to_vim_ms)
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=told,
            figures={"mended_to_cleared_ms": Spread.of(cleared_ms)},
            goals=(
                Goal(what="reported, p99", limit=self.goal_ms, measured=told.p99 if told else None),
            ),
            notes=("it is mended by the drill: the agent mends no virtual switch by itself yet",),
        )

    def _is_same(self, arrival: object) -> bool:
        """More is said of the same alarm as flows come and go."""
        return getattr(arrival, "condition", "") == self.condition


@dataclass(frozen=True)
class VswitchKilled:
    """ovs-vswitchd is killed and restarted at once: with what was recorded of it, and by its own
    command alone. What is told is that flows are lost, which only the second does."""

    name: str = "vswitch-killed"
    about: str = "ovs-vswitchd is killed; how long a guest is cut off, beside a plain restart"
    runs: int = 10

    def run(self, scene: Scene) -> Result:
        """Both ways in turn, with somebody who talks through the switch all the time."""
        if isinstance(scene.host, ThisMachine):
            raise LabError("this drill makes a virtual switch, and breaks it: only on a lab host")
        runs = scene.choices.runs or self.runs
        cut_off_ms: dict[str, list[float]] = {"mended": [], "plain": []}
        flows_left: dict[str, list[int]] = {"mended": [], "plain": []}
        to_vim_ms: list[float] = []
        with vswitch.vswitch_on(scene.host):
            for number in range(1, runs + 1):
                for how in ("mended", "plain"):
                    _wait_watched(scene)
                    what = f"run {number} of {runs}, {how}"
                    outage = restarted_after_death(scene.host, how)
                    if outage.longest_ms is None:
                        scene.overrun(f"{what}: nothing comes through any more")
                        continue
                    cut_off_ms[how].append(outage.longest_ms)
                    flows_left[how].append(outage.flows - 2)  # Without the canary's own.
                    scene.say(f"{what}: cut off for {outage.longest_ms:.0f} ms")
                    if how == "plain":
                        said = scene.wait_alarm(
                            "", (FLOWS_LOST,), outage.killed_ns, ALARM_LIMIT_S, what
                        )
                        if said is not None:
                            to_vim_ms.append((said.at_ns - outage.killed_ns) / NS_PER_MS)
                        mend(scene.host, "restore_flows", vswitch.BRIDGE)
                    scene.judge(lambda one: one.condition == FLOWS_LOST)
            _wait_watched(scene)
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=Spread.of(to_vim_ms),
            peers={"plain_restart_ms": Spread.of(cut_off_ms["plain"])},
            figures={
                "cut_off_ms": Spread.of(cut_off_ms["mended"]),
                "flows": len(vswitch.FLOWS) + 1,
                "flows_left": min(flows_left["mended"], default=None),
                "flows_left_plain": min(flows_left["plain"], default=None),
            },
            notes=("a stand-in guards it: the agent restarts no virtual switch by itself yet",),
        )


def _wait_watched(scene: Scene) -> None:
    """Until the agent sees the switch, and its canary crosses beside every flow of the guest's."""
    deadline = time.monotonic() + READY_LIMIT_S
    flows = len(vswitch.FLOWS) + 1 + 2
    while True:
        status = ask(scene.host.path(f"{RUN_FOLDER}/agent.sock"), "status")
        seen = status["vswitch"]["bridges"]
        if vswitch.BRIDGE in seen and vswitch.count_flows(scene.host) == flows:
            time.sleep(1.0)  # A fault in the moment in which another one is cleared is no other.
            return
        if time.monotonic() > deadline:
            raise LabError(f"{scene.host.name}: its switch is not watched: {status['vswitch']}")
        time.sleep(POLL_S)


VSWITCH_ROWS = (
    VswitchKilled(),
    VswitchLost(
        name="vswitch-uplink-lost",
        about="the uplink of the virtual switch loses its carrier, and gets it back",
        condition="vswitch-uplink-lost",
        inject=vswitch.cut_uplink,
        mend=vswitch.mend_uplink,
        goal_ms=50,
    ),
    VswitchLost(
        name="vswitch-flows-lost",
        about="all flows of a bridge are deleted, and put back from what was recorded",
        condition=FLOWS_LOST,
        inject=vswitch.delete_flows,
        mend=lambda host: mend(host, "restore_flows", vswitch.BRIDGE),
        goal_ms=1_000,
    ),
)
