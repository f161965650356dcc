"""The agent is killed, then a VM, then the agent comes back: it finds the death, once."""

import time
from dataclasses import dataclass

from holdfast.lab.drills.answers import AnswerWatch
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.scene import AFTERMATH_S, Scene
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.problem_makers.qemu_killed import kill_qemu

GUEST_NAME = "drill-unwatched"
# Whatever the kernel or libvirt could have told is over when the agent comes back.
AWAY_S = 2.0
ALARM_LIMIT_S = 15.0
ANSWER_LIMIT_S = 90.0
CONDITIONS = ("vm-gone", "vm-stopped-unexplained")


def _is_its_absence(one: Arrival) -> bool:
    """The controller misses the agent, for its host pulses on: that is no false alarm."""
    return one.condition == "agent-away"


@dataclass(frozen=True)
class AgentKilledThenVmKilled:
    """`back_to_vim_ms` runs from the start of the new agent, start-up included."""

    name: str = "agent-killed-then-vm-killed"
    about: str = "a VM dies while the agent is dead, and is found on its return"
    runs: int = 3

    def run(self, scene: Scene) -> Result:
        """Do it as often as chosen."""
        runs = scene.choices.runs or self.runs
        guest = Guest.define(scene.host, plan_guest(scene.host.lab, GUEST_NAME))
        back_ms: list[float] = []
        vim_ms: list[float] = []
        answer_ms: list[float] = []
        try:
            guest.start()
            guest.wait_answer(ANSWER_LIMIT_S)
            scene.stage.protect(guest)
            for number in range(1, runs + 1):
                scene.stage.wait_settled(guest)
                what = f"run {number} of {runs}"
                with AnswerWatch(guest, ANSWER_LIMIT_S) as answers:
                    scene.stage.kill_agent()
                    injected_ns = kill_qemu(guest)
                    time.sleep(AWAY_S)
                    back_ns = time.monotonic_ns()
                    scene.stage.start_agent()
                    arrival = scene.wait_alarm(
                        guest.plan.uuid, CONDITIONS, injected_ns, ALARM_LIMIT_S, what
                    )
                    if arrival is None:
                        guest.start()
                        continue
                    back_ms.append((arrival.at_ns - back_ns) / NS_PER_MS)
                    vim_ms.append((arrival.at_ns - injected_ns) / NS_PER_MS)
                    scene.say(f"{what}: reported {back_ms[-1]:.0f} ms after the agent's return")
                    answered_ns = answers.wait()
                    if answered_ns is None:
                        scene.overrun(f"{what}: the guest did not answer again")
                        guest.start()
                        continue
                    answer_ms.append((answered_ns - injected_ns) / NS_PER_MS)
                scene.judge(_is_its_absence)
            scene.stage.wait_settled(guest)
            time.sleep(AFTERMATH_S)
            scene.judge(_is_its_absence)
        finally:
            guest.end()
        back = Spread.of(back_ms)
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=Spread.of(vim_ms),
            fault_to_answering_ms=Spread.of(answer_ms),
            figures={"agent_back_to_vim_ms": back, "agent_away_ms": AWAY_S * 1_000},
            goals=(
                Goal(
                    what="found and reported, each once",
                    limit=runs,
                    unit="of the deaths",
                    at_least=True,
                    measured=len(vim_ms),
                ),
            ),
            vm_memory_mib=guest.plan.memory_mib,
        )
