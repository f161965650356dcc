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
from holdfast.lab.drills.switch_mended import mend
from holdfast.lab.drills.this_machine import ThisMachine
from holdfast.lab.hosts import Host

ALARM_LIMIT_S = 10.0
CLEARED_LIMIT_S = 30.0
READY_LIMIT_S = 20.0
POLL_S = 0.05


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
        condition="vswitch-flows-lost",
        inject=vswitch.delete_flows,
        mend=lambda host: mend(host, "restore_flows", vswitch.BRIDGE),
        goal_ms=1_000,
    ),
)
