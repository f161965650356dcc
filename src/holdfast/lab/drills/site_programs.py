"""Drills on Holdfast's own programs: planned restarts, which are silent, and leaders that die."""

import time
from dataclasses import dataclass

from holdfast.lab.commands import LabError
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread
from holdfast.lab.drills.many_vms import find_pids
from holdfast.lab.drills.scene import AFTERMATH_S, SiteScene
from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.drills.stand_ins import stand_ins
from holdfast.lab.hosts import Host
from holdfast.lab.namespaces import Holder
from holdfast.lab.problem_makers.host_power_cut import cut_power
from holdfast.lab.problem_makers.program_killed import ask_to_end, kill_program
from holdfast.lab.problem_makers.qemu_killed import kill_vm

ALARM_LIMIT_S = 5.0
SILENT_S = 2.0
BACK_LIMIT_S = 30.0
CLEARED_LIMIT_S = 60.0
SECOND_MS = 1_000.0
ALL = "all"  # Everything that runs as a service there, as an upgrade restarts it.
# Who is restarted, one after the other, and whether on a controller's host.
RESTARTED = (
    ("agent", False),
    ("pulse", False),
    (ALL, False),
    ("controller", True),
    ("agent", True),
    (ALL, True),
)


@dataclass(frozen=True)
class AgentRestarted:
    """Each run restarts agent, pulse and controller as an upgrade does: asked to end, then anew."""

    name: str = "agent-restarted"
    about: str = "agent, pulse and controller are restarted on purpose: nothing may be said"
    runs: int = 3

    def run_on_site(self, scene: SiteScene) -> Result:
        """Restart each as often as chosen, and listen."""
        runs = scene.choices.runs or self.runs
        site = scene.site
        back_ms: list[float] = []
        for number in range(1, runs + 1):
            for program, on_controller in RESTARTED:
                host = site.leader() if on_controller else site.plain_host
                what = f"run {number} of {runs}: {program} of {host.name}"
                asked_ns = restart(site, host, program, what)
                back_ms.append((time.monotonic_ns() - asked_ns) / NS_PER_MS)
                heard = scene.inbox.wait(
                    lambda one: one.is_raised, since_ns=asked_ns, limit_s=SILENT_S
                )
                scene.say(f"{what}: {f'ALARM, {heard.condition}' if heard else 'silent'}")
                scene.judge()
                site.wait_well()
        time.sleep(AFTERMATH_S)
        scene.judge()
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            figures={"asked_to_back_ms": Spread.of(back_ms)},
            goals=(
                Goal(
                    what="alarms after planned restarts",
                    limit=0,
                    unit="",
                    measured=len(scene.false_alarms),
                ),
            ),
        )


def restart(site: SiteStage, host: Host, program: str, what: str) -> int:
    """Restart a program, or all, and see it back; returns the ns of the instant just before."""
    if program == ALL:
        asked_ns = time.monotonic_ns()
        site.restart_services(host, {})
        return asked_ns
    old = site.find_program(host, program)
    asked_ns = ask_to_end(old)
    site.wait(
        lambda: _is_new(site, host, program, old), lambda: f"{what} is not back", BACK_LIMIT_S
    )
    return asked_ns


def _is_new(site: SiteStage, host: Host, program: str, old: Holder) -> bool:
    try:
        return site.find_program(host, program) != old
    except LabError:
        return False


@dataclass(frozen=True)
class LeaderKilled:
    """The leader's controller is killed, and a VM elsewhere in the same instant."""

    name: str = "leader-killed"
    about: str = "the controller that leads is killed, and a VM with it"
    runs: int = 5

    def run_on_site(self, scene: SiteScene) -> Result:
        """Do it as often as chosen. The clock runs from the VM's death to its alarm."""
        runs, site = scene.choices.runs or self.runs, scene.site
        to_vim_ms: list[float] = []
        new_leader_ms: list[float] = []
        for number in range(1, runs + 1):
            what = f"run {number} of {runs}"
            with stand_ins(site.plain_host, 1) as [vm]:
                site.wait_vms(site.plain_host, [vm.uuid])
                [pid] = find_pids([vm])
                leader = site.leader()
                killed_ns = kill_program(site.find_program(leader, "controller"))
                died_ns = kill_vm(pid)
                arrival = scene.wait_alarm(vm.uuid, ("vm-gone",), died_ns, ALARM_LIMIT_S, what)
                if arrival is not None:
                    to_vim_ms.append((arrival.at_ns - died_ns) / NS_PER_MS)
                    scene.say(f"{what}: reported after {to_vim_ms[-1]:.0f} ms")
                new_leader_ms.append(_wait_leader(site, killed_ns))
            site.wait_well()
            scene.judge(lambda one: site.is_spent(one.subject))  # It stays dead.
        told = Spread.of(to_vim_ms)
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=told,
            figures={"new_leader_ms": Spread.of(new_leader_ms)},
            goals=(
                Goal(what="VM reported, max", limit=SECOND_MS, measured=told.max if told else None),
            ),
        )


def _wait_leader(site: SiteStage, killed_ns: int) -> float:
    """Milliseconds until somebody leads again."""

    def somebody_leads() -> bool:
        try:
            site.leader()
        except LabError:
            return False
        return True

    site.wait(somebody_leads, lambda: "nobody leads", BACK_LIMIT_S)
    return (time.monotonic_ns() - killed_ns) / NS_PER_MS


@dataclass(frozen=True)
class LeaderAndHostKilled:
    """The leader's host and another lose power in the same instant: two others tell of both."""

    name: str = "leader-and-host-killed"
    about: str = "the host of the leader loses power together with another host"
    runs: int = 5

    def run_on_site(self, scene: SiteScene) -> Result:
        """Do it as often as chosen. The clock runs from the power cut to each host's alarm."""
        runs, site = scene.choices.runs or self.runs, scene.site
        host_ms: list[float] = []
        leader_ms: list[float] = []
        for number in range(1, runs + 1):
            what = f"run {number} of {runs}"
            leader, other = site.leader(), site.plain_host
            cuts = [(leader, cut_power(leader), leader_ms), (other, cut_power(other), host_ms)]
            for host, cut_ns, times in cuts:
                arrival = scene.wait_alarm(
                    site.id_of(host), ("host-lost",), cut_ns, ALARM_LIMIT_S, f"{what}, {host.name}"
                )
                if arrival is not None:
                    times.append((arrival.at_ns - cut_ns) / NS_PER_MS)
                    scene.say(f"{what}: {host.name} reported after {times[-1]:.0f} ms")
            for host in (leader, other):
                host.power_on()
            still = site.wait_cleared(cuts[0][1], CLEARED_LIMIT_S)
            if still:
                told = ", ".join(one.condition for one in still)
                scene.overrun(f"{what}: not cleared in {CLEARED_LIMIT_S:g} s: {told}")
            site.wait_well()
            lost = {site.id_of(leader), site.id_of(other)}
            scene.judge(lambda one, lost=lost: one.subject in lost)  # type: ignore[misc]
        time.sleep(AFTERMATH_S)
        scene.judge()
        told_all = Spread.of([*leader_ms, *host_ms])
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=told_all,
            figures={
                "the_leaders_host_ms": Spread.of(leader_ms),
                "the_other_host_ms": Spread.of(host_ms),
            },
            goals=(
                Goal(
                    what="both reported, max",
                    limit=SECOND_MS,
                    measured=told_all.max if told_all else None,
                ),
            ),
        )
