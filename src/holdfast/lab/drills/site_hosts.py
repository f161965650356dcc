"""Drills that hurt one host of a site again and again, and mend it: it lives all the time."""

import itertools
import time
from dataclasses import dataclass, field

from holdfast.lab.commands import LabError
from holdfast.lab.drills.breakages import AGENT_KILLED, PLANES_LOST, Breakage
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.scene import AFTERMATH_S, SiteScene

ALARM_LIMIT_S = 5.0
NAMED_LIMIT_S = 5.0
CLEARED_LIMIT_S = 60.0
# Nobody mends at once: what would be said wrongly meanwhile is to be heard.
HOLD_S = 1.0
# True of a host that boots on a machine without a free core: one program runs, the other not yet.
STARTING = ("agent-away", "pulse-away")
QUIET_GOAL_MS, BUSY_GOAL_MS, SECOND_MS = 300.0, 500.0, 1_000.0


@dataclass(frozen=True)
class OneHost:
    """Breakages take turns. The clock runs from the injection to the first alarm of the host."""

    name: str
    about: str
    breakages: tuple[Breakage, ...]
    runs: int = 20
    goal_ms: float = QUIET_GOAL_MS
    busy_goal_ms: float = BUSY_GOAL_MS

    def run_on_site(self, scene: SiteScene) -> Result:
        """Break it as often as chosen, and say what was measured."""
        runs = scene.choices.runs or self.runs
        series = HostSeries(scene)
        turns = itertools.cycle(self.breakages)
        for number in range(1, runs + 1):
            series.run_once(next(turns), f"run {number} of {runs}")
        time.sleep(AFTERMATH_S)
        scene.judge()
        to_vim = Spread.of(series.to_vim_ms)
        is_busy = scene.choices.is_busy
        figures: dict[str, object] = {
            "named_ms": Spread.of(series.named_ms),
            "mended_to_cleared_ms": Spread.of(series.cleared_ms),
        }
        if len(self.breakages) > 1:
            figures |= {title: Spread.of(told) for title, told in series.by_title.items()}
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=to_vim,
            figures=figures,
            goals=(
                Goal(
                    what="reported, p99" + (", every core busy" if is_busy else ""),
                    limit=self.busy_goal_ms if is_busy else self.goal_ms,
                    measured=to_vim.p99 if to_vim else None,
                ),
            ),
        )


@dataclass
class HostSeries:
    """The runs of one drill on one host."""

    scene: SiteScene
    to_vim_ms: list[float] = field(default_factory=list)
    named_ms: list[float] = field(default_factory=list)
    cleared_ms: list[float] = field(default_factory=list)
    by_title: dict[str, list[float]] = field(default_factory=dict)

    def run_once(self, breakage: Breakage, what: str) -> None:
        """Break, wait for the alarms, mend, and see all cleared."""
        scene, site = self.scene, self.scene.site
        host = site.plain_host
        subject = site.id_of(host)
        injected_ns = breakage.inject(site, host)
        try:
            arrival = scene.wait_alarm(
                subject, breakage.first, injected_ns, ALARM_LIMIT_S, f"{what}, {breakage.title}"
            )
            if arrival is not None:
                took_ms = (arrival.at_ns - injected_ns) / NS_PER_MS
                self.to_vim_ms.append(took_ms)
                self.by_title.setdefault(breakage.title, []).append(took_ms)
                scene.say(f"{what}: {arrival.condition} reported after {took_ms:.0f} ms")
                self._hear_name(breakage, subject, injected_ns, what)
                time.sleep(HOLD_S)
        finally:
            breakage.mend(site, host)
        mended_ns = time.monotonic_ns()
        still = site.wait_cleared(injected_ns, CLEARED_LIMIT_S)
        if still:
            told = ", ".join(one.condition for one in still)
            scene.overrun(f"{what}: not cleared in {CLEARED_LIMIT_S:g} s: {told}")
        else:
            self.cleared_ms.append((time.monotonic_ns() - mended_ns) / NS_PER_MS)
        try:
            site.wait_well()
        except LabError as error:
            scene.overrun(f"{what}: {error}")
        is_busy = scene.choices.is_busy
        scene.judge(lambda one: is_expected(one, breakage, subject, is_busy=is_busy))

    def _hear_name(self, breakage: Breakage, subject: str, injected_ns: int, what: str) -> None:
        named = self.scene.wait_alarm(
            subject,
            (breakage.named,),
            injected_ns,
            NAMED_LIMIT_S,
            f"{what}: to be called {breakage.named}",
        )
        if named is not None:
            self.named_ms.append((named.at_ns - injected_ns) / NS_PER_MS)


def is_expected(one: Arrival, breakage: Breakage, subject: str, *, is_busy: bool) -> bool:
    """Said of the broken host, and true or suspected of it; or of its VMs, below its alarm."""
    if one.subject == subject:
        true = (*breakage.first, breakage.named, *breakage.beside)
        return one.condition in (*true, *(STARTING if is_busy else ()))
    return one.condition == "vm-on-lost-host" and bool(one.root)


SITE_ROWS = (
    OneHost(
        name="one-plane-lost",
        about="a host loses one of its networks",
        breakages=PLANES_LOST,
        runs=10,
        goal_ms=SECOND_MS,
        busy_goal_ms=SECOND_MS,
    ),
    OneHost(
        name="agent-killed",
        about="a host's agent is killed, and the host lives",
        breakages=(AGENT_KILLED,),
        runs=5,
        goal_ms=SECOND_MS,
        busy_goal_ms=SECOND_MS,
    ),
)
