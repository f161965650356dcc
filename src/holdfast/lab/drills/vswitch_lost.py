"""Drills that break a host's virtual switch: its uplink's carrier is lost, or its flows are."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.lab import vswitch
from holdfast.lab.commands import LabError
from holdfast.lab.drills.asking import ask
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread
from holdfast.lab.drills.guarded import mended_vswitch, switch_settings, works_on
from holdfast.lab.drills.scene import AFTERMATH_S, Scene
from holdfast.lab.drills.stage import RUN_FOLDER
from holdfast.lab.drills.switch_mended import restarted_after_death
from holdfast.lab.drills.this_machine import ThisMachine
from holdfast.lab.hosts import Host

ALARM_LIMIT_S = 10.0
CLEARED_LIMIT_S = 30.0
READY_LIMIT_S = 20.0
POLL_S = 0.05
FLOWS_LOST, FAILED = "vswitch-flows-lost", "process-failed"
MENDED, HANDED_OVER = "mended", "handed over"


@dataclass(frozen=True)
class VswitchLost:
    """The clock runs from just before the fault is made. Where there is no `owner` the host mends
    it itself; else it hands it over, and the owner of what is broken mends it then."""

    name: str
    about: str
    condition: str
    inject: Callable[[Host], int]
    goal_ms: float
    owner: Callable[[Host], object] | None = None
    runs: int = 20

    @property
    def settings(self) -> str:
        """What the stage needs: that the switch is mended, as often as can be."""
        return switch_settings()

    def run(self, scene: Scene) -> Result:
        """Do it as often as chosen, each time cleared."""
        if isinstance(scene.host, ThisMachine):
            raise LabError("this drill makes a virtual switch, and breaks it: only on a lab host")
        runs = min(scene.choices.runs or self.runs, 20)
        to_vim_ms: list[float] = []
        mended_ms: list[float] = []
        handed_over_ms: list[float] = []
        with mended_vswitch(scene.host):
            wait_vswitch_watched(scene)
            for number in range(1, runs + 1):
                what = f"run {number} of {runs}"
                injected_ns = self.inject(scene.host)
                arrival = scene.wait_alarm("", (self.condition,), injected_ns, ALARM_LIMIT_S, what)
                if arrival is not None:
                    to_vim_ms.append((arrival.at_ns - injected_ns) / NS_PER_MS)
                    scene.say(f"{what}: reported after {to_vim_ms[-1]:.1f} ms")
                if self.owner is not None:
                    handed_over_ms += self._handed_over(scene, injected_ns, what)
                    self.owner(scene.host)
                mended_ms += self._cleared(scene, injected_ns, what)
                scene.judge(self._is_same)
                wait_vswitch_watched(scene)
            time.sleep(AFTERMATH_S)
            scene.judge(self._is_same)
        told = Spread.of(to_vim_ms)
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=told,
            outcome=MENDED if len(mended_ms) == runs else HANDED_OVER,
            figures={
                "mended_ms": Spread.of(mended_ms),
                "handed_over_ms": Spread.of(handed_over_ms),
            },
            goals=(
                Goal(what="reported, p99", limit=self.goal_ms, measured=told.p99 if told else None),
            ),
        )

    def _handed_over(self, scene: Scene, since_ns: int, what: str) -> list[float]:
        found = scene.inbox.wait(
            lambda one: one.condition == self.condition and "the VIM has it" in one.repair,
            since_ns=since_ns,
            limit_s=CLEARED_LIMIT_S,
        )
        if found is None:
            scene.overrun(f"{what}: not handed over within {CLEARED_LIMIT_S:g} s")
            return []
        return [(found.at_ns - since_ns) / NS_PER_MS]

    def _cleared(self, scene: Scene, since_ns: int, what: str) -> list[float]:
        """How long it took where the host mended it itself."""
        found = scene.inbox.wait(
            lambda one: one.condition == self.condition and one.state == "cleared",
            since_ns=since_ns,
            limit_s=CLEARED_LIMIT_S,
        )
        if found is None:
            scene.overrun(f"{what}: not cleared within {CLEARED_LIMIT_S:g} s")
        elif "mended here" in found.text:
            return [(found.at_ns - since_ns) / NS_PER_MS]
        return []

    def _is_same(self, arrival: object) -> bool:
        """More is said of the same alarm as flows come and go."""
        return getattr(arrival, "condition", "") == self.condition


@dataclass
class _Cut:
    """What was measured of one way to restart the switch."""

    cut_off_ms: list[float] = field(default_factory=list)
    flows_left: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class VswitchKilled:
    """ovs-vswitchd is killed: the host restarts it with what was recorded of it. Beside that, it is
    restarted by its own command alone, while nobody mends anything."""

    name: str = "vswitch-killed"
    about: str = "ovs-vswitchd is killed; how long a guest is cut off, beside a plain restart"
    runs: int = 10

    @property
    def settings(self) -> str:
        """What the stage needs: that the switch is mended, as often as can be."""
        return switch_settings()

    def run(self, scene: Scene) -> Result:
        """Both ways in turn, with somebody who talks through the switch all the time."""
        if isinstance(scene.host, ThisMachine):
            raise LabError("this drill makes a virtual switch, and breaks it: only on a lab host")
        runs = min(scene.choices.runs or self.runs, 20)
        mended, plain = _Cut(), _Cut()
        to_vim_ms: list[float] = []
        mended_ms: list[float] = []
        with mended_vswitch(scene.host):
            for number in range(1, runs + 1):
                wait_vswitch_watched(scene)
                what = f"run {number} of {runs}"
                killed_ns = self._kill(scene, "agent", what, mended)
                said = scene.wait_alarm("", (FAILED,), killed_ns, ALARM_LIMIT_S, what)
                if said is not None:
                    to_vim_ms.append((said.at_ns - killed_ns) / NS_PER_MS)
                    mended_ms += self._mended(scene, killed_ns, what)
                wait_vswitch_watched(scene)
                works_on(scene.host, is_so=True)
                self._kill(scene, "plain", f"{what}, plainly restarted", plain)
                vswitch.add_flows(scene.host)  # As whoever owns them would.
                wait_vswitch_watched(scene)
                works_on(scene.host, is_so=False)
                scene.judge(lambda one: one.condition in (FLOWS_LOST, FAILED))
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=Spread.of(to_vim_ms),
            outcome=MENDED if len(mended_ms) == runs else HANDED_OVER,
            peers={"plain_restart_ms": Spread.of(plain.cut_off_ms)},
            figures={
                "cut_off_ms": Spread.of(mended.cut_off_ms),
                "mended_ms": Spread.of(mended_ms),
                "flows": len(vswitch.FLOWS) + 1,
                "flows_left": min(mended.flows_left, default=None),
                "flows_left_plain": min(plain.flows_left, default=None),
            },
        )

    def _kill(self, scene: Scene, how: str, what: str, taken: _Cut) -> int:
        outage = restarted_after_death(scene.host, how)
        taken.flows_left.append(max(0, outage.flows - 2))  # Without the canary's own.
        if outage.longest_ms is None:
            scene.overrun(f"{what}: nothing comes through any more")
        else:
            taken.cut_off_ms.append(outage.longest_ms)
            scene.say(f"{what}: cut off for {outage.longest_ms:.0f} ms")
        return outage.killed_ns

    def _mended(self, scene: Scene, since_ns: int, what: str) -> list[float]:
        found = scene.inbox.wait(
            lambda one: one.condition == FAILED and one.state == "cleared",
            since_ns=since_ns,
            limit_s=CLEARED_LIMIT_S,
        )
        if found is None:
            scene.overrun(f"{what}: not mended within {CLEARED_LIMIT_S:g} s")
            return []
        return [(found.at_ns - since_ns) / NS_PER_MS] if "mended here" in found.text else []


def wait_vswitch_watched(scene: Scene) -> None:
    """Until the agent sees the switch, its canary crosses beside every flow of the guest's, and
    these are on record."""
    deadline = time.monotonic() + READY_LIMIT_S
    flows = len(vswitch.FLOWS) + 1 + 2
    while True:
        status = ask(scene.host.path(f"{RUN_FOLDER}/agent.sock"), "status")
        seen = status["vswitch"]["bridges"]
        on_record = status["vswitch"]["flows_on_record"].get(vswitch.BRIDGE)
        is_seen = vswitch.BRIDGE in seen and on_record == flows - 2
        if is_seen and vswitch.count_flows(scene.host) == flows:
            time.sleep(1.0)  # A fault in the moment in which another one is cleared is no other.
            return
        if time.monotonic() > deadline:
            raise LabError(f"{scene.host.name}: its switch is not watched: {status['vswitch']}")
        time.sleep(POLL_S)


VSWITCH_ROWS = (
    VswitchKilled(),
    VswitchLost(
        name="vswitch-uplink-lost",
        about="the uplink of the virtual switch loses its carrier: its host can only hand it over",
        condition="vswitch-uplink-lost",
        inject=vswitch.cut_uplink,
        owner=vswitch.mend_uplink,
        goal_ms=50,
    ),
    VswitchLost(
        name="vswitch-uplink-off",
        about="the uplink of the virtual switch is switched off; its host switches it on",
        condition="vswitch-uplink-lost",
        inject=vswitch.lower_uplink,
        goal_ms=50,
    ),
    VswitchLost(
        name="vswitch-flows-lost",
        about="all flows of a bridge are deleted; its host puts back what was recorded",
        condition=FLOWS_LOST,
        inject=vswitch.delete_flows,
        goal_ms=1_000,
    ),
)
