"""Drills in which a host is lost, proven dead, and its VMs live elsewhere, each of them once."""

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.lab.drills.acting import ActingSite, acting_site, watch_copies
from holdfast.lab.drills.bare_start import bare_start_ms
from holdfast.lab.drills.breakages import CUT_OFF, CUT_OFF_FROM_LEADER, FROZEN, LOST, Breakage
from holdfast.lab.drills.figures import Goal, Result, Spread, median
from holdfast.lab.drills.following import Following, Measured, finish
from holdfast.lab.drills.scene import SiteScene

VMS = 2
NAMED_LIMIT_S = 10.0
QUIET_GOAL_MS, BUSY_GOAL_MS = 300.0, 500.0
RATIO_GOAL = 1.3
# What must not be done is waited for: a host is switched off after three seconds.
SPARED_S = 6.0


@dataclass(frozen=True)
class HostLost:
    """Each run breaks a host with so many VMs on it and follows it to the last VM answering.

    Breakages take turns. A host that lives by what others say (`spared`) is not switched off, and
    its VMs stay. With `has_peer` the same VMs are started once more on the same hosts, by libvirt
    alone: what Holdfast adds to a start is the ratio.
    """

    name: str
    about: str
    breakages: tuple[Breakage, ...]
    spared: tuple[Breakage, ...] = ()
    has_peer: bool = False
    runs: int = 10
    vms: int = VMS

    def run_on_site(self, scene: SiteScene) -> Result:
        """Lose it as often as chosen, and say what was measured."""
        runs, vms = scene.choices.runs or self.runs, scene.choices.vms or self.vms
        series = _Series(self, scene, Measured(), [], [])
        turns = itertools.cycle((*self.breakages, *self.spared))
        with acting_site(scene.site, [scene.site.plain_host]) as acting:
            for number, breakage in zip(range(1, runs + 1), turns, strict=False):
                series.run_once(acting, breakage, vms, f"run {number} of {runs}")
            finish(scene, acting, series.measured)
        return series.result(runs, vms)


@dataclass
class _Series:
    """The runs of one drill."""

    drill: HostLost
    scene: SiteScene
    measured: Measured
    named_ms: list[float]
    bare_ms: list[float]

    def run_once(self, acting: ActingSite, breakage: Breakage, vms: int, what: str) -> None:
        host = self.scene.site.plain_host
        title = f"{what}, {breakage.title}"
        with acting.guests(host, vms) as guests, watch_copies(guests) as copies:
            run = Following(self.scene, acting, copies, self.measured, host, guests, title)
            run.homes = (host,) if breakage in self.drill.spared else ()
            run.begin(lambda: breakage.inject(self.scene.site, host))
            try:
                self._follow(run, breakage)
            finally:
                if not host.is_powered_on:
                    host.power_on()
                if breakage is not LOST:
                    breakage.mend(self.scene.site, host)
                run.wait_well()
            run.see_living()
            run.see_all_told()
            run.end()
            if self.drill.has_peer and not self.scene.overran:
                self._start_bare(acting, run)

    def _follow(self, run: Following, breakage: Breakage) -> None:
        if not run.see_suspected(breakage.first):
            return
        self._hear_name(run, breakage)
        if breakage in self.drill.spared:
            time.sleep(SPARED_S)
            if run.acting.number_of(run.host) != run.fences:
                run.overrun(f"{run.host.name} was fenced, though others hear it")
        elif run.see_proven():
            run.see_answering()
            run.see_living()

    def _hear_name(self, run: Following, breakage: Breakage) -> None:
        """What it is called once others were asked."""
        subject = self.scene.site.id_of(run.host)
        named = self.scene.wait_alarm(
            subject, (breakage.named,), run.since_ns, NAMED_LIMIT_S, f"{run.what}, its name"
        )
        if named is not None:
            self.named_ms.append(run.took_ms(named))

    def _start_bare(self, acting: ActingSite, run: Following) -> None:
        """The VMs are ended where they live now, and started there all at once."""
        places = [(acting.where(guest)[0], guest) for guest in run.guests]
        took_ms = bare_start_ms(acting, places)
        self.bare_ms.append(took_ms)
        run.say(f"libvirt alone has the last of them answering after {took_ms:.0f} ms")

    def result(self, runs: int, vms: int) -> Result:
        scene, measured = self.scene, self.measured
        told, is_busy = Spread.of(measured.suspected), scene.choices.is_busy
        ratio = median(_ratios(measured.after_proof, self.bare_ms))
        goals = [
            Goal(
                what="reported, p99" + (", every core busy" if is_busy else ""),
                limit=BUSY_GOAL_MS if is_busy else QUIET_GOAL_MS,
                measured=told.p99 if told else None,
            )
        ]
        if self.drill.has_peer:
            what = f"from the proof to {vms} VMs answering, against a bare start"
            goals.append(Goal(what=what, limit=RATIO_GOAL, unit="×", measured=ratio))
        bare = {"plain_start_ms": Spread.of(self.bare_ms), "restart_ratio_median": ratio}
        return measured.result(
            self.drill.name,
            runs,
            figures={"named_ms": Spread.of(self.named_ms), "vms": vms},
            goals=tuple(goals),
            peers=bare if self.drill.has_peer else {},
        )


def _ratios(ours: Iterable[float], bare: Iterable[float]) -> list[float]:
    """Taken in the same runs."""
    return [one / other for one, other in zip(ours, bare, strict=False)]


HOST_ROWS = (
    HostLost(
        name="host-power-cut",
        about="a host loses power, is proven dead, and its VMs live elsewhere",
        breakages=(LOST,),
        has_peer=True,
        runs=20,
    ),
    HostLost(
        name="host-frozen",
        about="a host freezes, is switched off, and its VMs live elsewhere",
        breakages=(FROZEN,),
    ),
    HostLost(
        name="host-cut-off",
        about="a host that runs on is cut off from all, or from the leader only",
        breakages=(CUT_OFF,),
        spared=(CUT_OFF_FROM_LEADER,),
    ),
)
