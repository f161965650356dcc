"""Drills in which controllers die: in the middle of a recovery, or all of them at once."""

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from holdfast.lab.commands import LabError
from holdfast.lab.drills.acting import acting_site, wait_for
from holdfast.lab.drills.copies import LivingVms
from holdfast.lab.drills.figures import NS_PER_MS, Result, Spread
from holdfast.lab.drills.following import (
    ANSWERING_LIMIT_S,
    CONFIRMED_LIMIT_S,
    ON_LOST_HOST,
    Following,
    Measured,
    finish,
    one_run,
)
from holdfast.lab.drills.scene import SiteScene
from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.hosts import Host
from holdfast.lab.namespaces import Holder
from holdfast.lab.problem_makers.host_power_cut import cut_power
from holdfast.lab.problem_makers.program_killed import (
    continue_program,
    kill_program,
    stop_program,
)

KILLED, POWER = "its controller is killed", "its host loses power"
DARK_S = 5.0  # So long the leader's host has no power.
BACK_LIMIT_S = 120.0
Moment = Callable[[Following], bool]


def at_step(step: str) -> Moment:
    """The store has just been told that the fence of the host has come so far."""
    return lambda run: run.acting.wait_step(run.host, step, run.fences, CONFIRMED_LIMIT_S)


def after_s(delay_s: float) -> Moment:
    """So long after it was suspected."""

    def wait(_: Following) -> bool:
        time.sleep(delay_s)
        return True

    return wait


def at_placed(run: Following) -> bool:
    """A host was just chosen for a VM of the lost one."""
    uuids = {guest.plan.uuid for guest in run.guests}
    placed = run.scene.inbox.wait(
        lambda one: (
            one.subject in uuids
            and one.condition == ON_LOST_HOST
            and "is being started on" in one.text
        ),
        since_ns=run.since_ns,
        limit_s=CONFIRMED_LIMIT_S,
    )
    return placed is not None


MOMENTS: tuple[tuple[str, Moment], ...] = (
    ("the switch-off was just intended", at_step("intended")),
    ("a VM was just placed", at_placed),
    ("the host was just proven dead", at_step("off")),
    *((f"{delay_s:g} s after the suspicion", after_s(delay_s)) for delay_s in (0.1, 0.5, 1, 2, 4)),
)
TURNS = tuple(itertools.product(MOMENTS, (KILLED, POWER)))


@dataclass(frozen=True)
class LeaderDiesInRecovery:
    """Each run loses a host, and then at another step of its recovery the leader, or its host."""

    name: str = "leader-dies-in-recovery"
    about: str = "the leader dies while it recovers a lost host: every VM lives once"
    runs: int = len(TURNS)
    vms: int = 2

    def run_on_site(self, scene: SiteScene) -> Result:
        """As many steps as chosen. The clock runs from the loss of the host."""
        runs, vms = scene.choices.runs or self.runs, scene.choices.vms or self.vms
        site, measured = scene.site, Measured()
        starts: list[int] = []
        turns = itertools.cycle(TURNS)
        # None of its VMs is placed on a host that is to lose power as well.
        with acting_site(site, [site.plain_host], crowded=site.controllers) as acting:
            for number, ((title, moment), death) in zip(range(1, runs + 1), turns, strict=False):
                what = f"run {number} of {runs}, {title}, {death}"
                with one_run(scene, acting, measured, what, vms) as run:
                    run.beside = ("recovery-braked",)  # Two of five hosts, for a while.
                    run.copies.count()
                    lives = {vm: len(found) for vm, found in run.copies.lives.items()}
                    run.begin(lambda: cut_power(site.plain_host))
                    lose_leader(run, moment, death)
                    run.see_proven(ANSWERING_LIMIT_S)  # By whoever leads then.
                    run.see_living(limit_s=ANSWERING_LIMIT_S)
                    measured.answering.append((time.monotonic_ns() - run.since_ns) / NS_PER_MS)
                    started = [len(run.copies.lives[vm]) - lives[vm] for vm in lives]
                    starts += started
                    run.say(f"all live elsewhere, after {sum(started)} starts of {vms} VMs")
                    if any(each != 1 for each in started):
                        run.overrun(f"VMs were started {started} times, not once each")
            finish(scene, acting, measured)
        return measured.result(self.name, runs, figures={"starts_of_each_vm": sorted(set(starts))})


def lose_leader(run: Following, moment: Moment, death: str) -> None:
    """Wait for the moment; then its controller is killed, or its host dark for a while."""
    site = run.scene.site
    leader = site.leader()
    program = site.find_program(leader, "controller")
    if not run.see_suspected() or not moment(run):
        run.overrun("the moment did not come")
        return
    if death == KILLED:
        kill_program(program)  # Its supervisor starts it anew.
        return
    run.acting.broken.add(leader.name)
    cut_power(leader)
    time.sleep(DARK_S)
    leader.power_on()


@dataclass(frozen=True)
class ControllersAllLost:
    """Each run kills every controller and store for a while: nobody may be hurt by that."""

    name: str = "controllers-all-lost"
    about: str = "all controllers and their store are killed: no VM stops, no host reboots"
    runs: int = 1
    away_s: float = 60.0

    def run_on_site(self, scene: SiteScene) -> Result:
        """As often as chosen."""
        runs, site, measured = scene.choices.runs or self.runs, scene.site, Measured()
        back_ms: list[float] = []
        with acting_site(site, [site.plain_host]) as acting:
            acting.broken.clear()
            for number in range(1, runs + 1):
                with one_run(scene, acting, measured, f"run {number} of {runs}") as run:
                    run.homes = (run.host,)
                    run.begin(time.monotonic_ns)
                    vms, hosts = LivingVms.on(site.hosts), _lives_of(site.hosts)
                    lose_controllers(run, self.away_s)
                    returned_ns = time.monotonic_ns()
                    run.wait_well()
                    back_ms.append((time.monotonic_ns() - returned_ns) / NS_PER_MS)
                    measured.stopped += vms.count_ended()
                    if _lives_of(site.hosts) != hosts:
                        run.overrun("a host was booted")
                    if acting.number_of(run.host) != run.fences:
                        run.overrun(f"{run.host.name} was fenced, and nothing is wrong with it")
                    run.say(f"well again {back_ms[-1]:.0f} ms after the controllers came back")
            finish(scene, acting, measured)
        return measured.result(self.name, runs, figures={"back_to_well_ms": Spread.of(back_ms)})


def _lives_of(hosts: Sequence[Host]) -> list[Holder]:
    """Their first processes: others after a boot."""
    return [host.holder for host in hosts]


def lose_controllers(run: Following, away_s: float) -> None:
    """All are killed, and for a while nobody starts them anew."""
    site = run.scene.site
    keepers = [site.find_program(host, "supervise") for host in site.controllers]
    try:
        for keeper in keepers:
            stop_program(keeper)
        for host in site.controllers:
            for name in ("ear", "controller", "store"):
                kill_program(site.find_program(host, name))
        if wait_for(lambda: _answers(site), away_s):
            run.overrun("a controller answers, though all were killed")
    finally:
        for keeper in keepers:
            continue_program(keeper)


def _answers(site: SiteStage) -> bool:
    with suppress(LabError):
        return any(site.status(host) for host in site.controllers)
    return False
