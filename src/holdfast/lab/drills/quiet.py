"""Nothing fails, but all is bad: busy cores, processes that stop for a while, lost packets."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.lab.cables import Way
from holdfast.lab.commands import LabError
from holdfast.lab.drills.busy import busy_cores
from holdfast.lab.drills.figures import Goal, Result
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.scene import AFTERMATH_S, SiteScene
from holdfast.lab.hosts import Host
from holdfast.lab.problem_makers.clock_stepped import clock_environment, step_clock
from holdfast.lab.problem_makers.host_frozen import freeze_host, thaw_host
from holdfast.lab.problem_makers.packets_lost import lose_none, lose_packets
from holdfast.lab.problem_makers.program_killed import continue_program, stop_program

MINUTE_S = 60.0
CLEARED_LIMIT_S = 60.0
S_PER_HOUR = 3_600.0
# Longest stops, in ms. A pulse that stops for longer is silent, and an agent away, in truth.
STOPS_MS = {"agent": 350, "controller": 1_500, "ear": 1_500, "pulse": 120}
STALL_MS = 120
ON_CONTROLLERS = ("controller", "ear")
MOST_LOST_PERCENT = 25
LOSS_S = (1.0, 4.0)
STEPS_S = (-7_200, -30, -1, 1, 30, 7_200)
PAUSE_S = (0.2, 1.0)
SUSPECTED = "suspected"


@dataclass(frozen=True)
class Quiet:
    """Each run is a minute. `seed` chooses what happens when; the figures say how often it did."""

    name: str = "quiet"
    about: str = "every core busy, processes stopped, clocks stepped, packets lost: nothing failed"
    runs: int = 3
    seed: int = 3
    minute_s: float = MINUTE_S

    def run_on_site(self, scene: SiteScene) -> Result:
        """Trouble all hosts for so many minutes; what is suspected must be retracted."""
        minutes = scene.choices.runs or self.runs
        site = scene.site
        trouble = Trouble(scene, random.Random(self.seed))
        trouble.prepare()
        began_ns = time.monotonic_ns()
        with busy_cores(site.outside, not scene.choices.is_busy):
            deadline = time.monotonic() + minutes * self.minute_s
            while time.monotonic() < deadline:
                trouble.make_one()
        trouble.end()
        still = site.wait_cleared(began_ns, CLEARED_LIMIT_S)
        for one in still:
            scene.overrun(f"never retracted: {one.condition}: {one.text}")
        time.sleep(AFTERMATH_S)
        arrivals = scene.inbox.list_since(began_ns)
        confirmed = [one for one in arrivals if is_confirmed(one)]
        suspected = {one.key for one in arrivals if one.is_raised} - {one.key for one in confirmed}
        scene.judge(lambda one: one.key in suspected)
        hours = len(site.hosts) * minutes * self.minute_s / S_PER_HOUR
        return Result(
            drill=self.name,
            runs=minutes,
            lost=0,
            false_alarms=0,
            figures={
                "false_suspicions": len(suspected),
                "false_suspicions_per_host_and_hour": round(len(suspected) / hours, 2),
                "suspected": sorted({key.rpartition(":")[2] for key in suspected}),
                "host_hours": round(hours, 3),
                **trouble.counts,
            },
            goals=(
                Goal(what="false confirmations", limit=0, unit="", measured=len(confirmed)),
                Goal(what="suspicions never retracted", limit=0, unit="", measured=len(still)),
            ),
            notes=tuple(dict.fromkeys(trouble.notes)),
        )


def is_confirmed(one: Arrival) -> bool:
    """Said as certain, of something that did not happen."""
    return bool(one.condition) and one.state != "cleared" and one.certainty != SUSPECTED


@dataclass
class Trouble:
    """One bad thing after the other, each ended before the next begins."""

    scene: SiteScene
    chance: random.Random
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stepped: list[Host] = field(default_factory=list)

    def make_one(self) -> None:
        """Choose one and do it; then wait a little."""
        kinds: tuple[Callable[[Host], None], ...] = (
            self._stop_program,
            self._stop_program,
            self._stall_host,
            self._lose_packets,
            self._step_clock,
        )
        host = self.chance.choice(self.scene.site.hosts)
        try:
            self.chance.choice(kinds)(host)
        except LabError as error:
            self.notes.append(f"left out: {error}")
        time.sleep(self.chance.uniform(*PAUSE_S))

    def prepare(self) -> None:
        """Let the clocks of hosts without a controller be stepped.

        An ear compares the kernel's stamps with its clock, and those cannot be stepped alike.
        """
        site = self.scene.site
        for host in site.hosts:
            if host not in site.controllers:
                site.restart_services(host, clock_environment(host))
                self.stepped.append(host)
        self.notes.append("clocks are stepped on hosts without a controller only")
        site.wait_well()

    def end(self) -> None:
        """Make everything right again."""
        for host in self.scene.site.hosts:
            lose_none(host)
        for host in self.stepped:
            step_clock(host, 0)

    def _stop_program(self, host: Host) -> None:
        is_controller = host in self.scene.site.controllers
        names = [name for name in STOPS_MS if is_controller or name not in ON_CONTROLLERS]
        name = self.chance.choice(names)
        program = self.scene.site.find_program(host, name)
        stop_program(program)
        try:
            time.sleep(self.chance.uniform(0.2, 1.0) * STOPS_MS[name] / 1_000)
        finally:
            continue_program(program)
        self._count(f"{name}_stops", host)

    def _stall_host(self, host: Host) -> None:
        """All of it stands still for a moment, as when its own host is short of cores."""
        freeze_host(host)
        try:
            time.sleep(self.chance.uniform(0.2, 1.0) * STALL_MS / 1_000)
        finally:
            thaw_host(host)
        self._count("host_stalls", host)

    def _lose_packets(self, host: Host) -> None:
        way = self.chance.choice((Way.FROM_HOST, Way.TO_HOST))
        lose_packets(host, self.chance.randint(1, MOST_LOST_PERCENT), way)
        try:
            time.sleep(self.chance.uniform(*LOSS_S))
        finally:
            lose_none(host)
        self._count("losses_one_way", host)

    def _step_clock(self, _: Host) -> None:
        if not self.stepped:
            return
        host = self.chance.choice(self.stepped)
        step_clock(host, self.chance.choice(STEPS_S))
        self._count("clock_steps", host)

    def _count(self, what: str, host: Host) -> None:
        self.scene.say(f"{what.replace('_', ' ')}: {host.name}")
        self.counts[what] = self.counts.get(what, 0) + 1
