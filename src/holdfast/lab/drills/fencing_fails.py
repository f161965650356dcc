"""Drills in which a host cannot be switched off: nothing starts before its death is proven."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from msgspec import structs

from holdfast.facts.fencing import FenceDevice
from holdfast.lab.bmc.board import Bmc
from holdfast.lab.drills.acting import acting_site
from holdfast.lab.drills.figures import Result
from holdfast.lab.drills.following import CONFIRMED_LIMIT_S, Following, Measured, finish, one_run
from holdfast.lab.drills.scene import SiteScene
from holdfast.lab.hosts import Host
from holdfast.lab.problem_makers.bmc_hung import hang_bmc, wake_bmc
from holdfast.lab.problem_makers.bmc_power_shared import cut_shared_power
from holdfast.lab.problem_makers.bmc_slow import slow_bmc
from holdfast.lab.problem_makers.bmc_stuck import mend_bmc, stick_bmc
from holdfast.lab.problem_makers.host_power_cut import cut_power

DEADLINE_S = 8  # Of a device that fails: a person would leave it at its 40 s.
LATE_S = 30.0
UNPROVEN_S = 10.0  # So long it is seen that nothing starts.
Break = Callable[[Bmc], object]


@dataclass(frozen=True)
class Way:
    """One way in which a BMC fails; `is_refused`: the site knows a wrong password for it."""

    title: str
    harm: Break = lambda _: None
    mend: Break = lambda _: None
    is_refused: bool = False

    def device(self, bmc: Bmc) -> FenceDevice:
        """How it is fenced through this BMC."""
        device = structs.replace(bmc.ipmi, deadline_s=DEADLINE_S)
        if not self.is_refused:
            return device
        return structs.replace(device, secrets={"password": "not-the-word"})


HANGS = Way("it hangs", hang_bmc, wake_bmc)
WAYS = (
    HANGS,
    Way("it is stuck on", stick_bmc, mend_bmc),
    Way("it is too slow", lambda bmc: slow_bmc(bmc, LATE_S), mend_bmc),
    Way("it refuses the password", is_refused=True),
)


@dataclass(frozen=True)
class FencerBroken:
    """Each run breaks the first device of a ladder of two in another way: the second one serves.
    At the end both hang, the host loses power, and a person's word is the proof."""

    name: str = "fencer-broken"
    about: str = "the first fence device fails, then both: nothing starts without a proof"
    runs: int = len(WAYS)

    def run_on_site(self, scene: SiteScene) -> Result:
        """As many ways as chosen, and both devices once."""
        runs, host = scene.choices.runs or self.runs, scene.site.plain_host
        measured = Measured()
        with acting_site(scene.site, [host]) as acting, second_bmc(host) as second:
            first = acting.give_bmc(host)
            for number, way in zip(range(1, runs + 1), itertools.cycle(WAYS), strict=False):
                acting.set_ladder(host, way.device(first), second.ipmi)
                acting.act_on(host)
                with one_run(scene, acting, measured, f"run {number}, {way.title}") as run:
                    way.harm(first)
                    try:
                        run.begin(lambda: cut_power(host))
                        run.see_elsewhere()
                    finally:
                        way.mend(first)
            acting.set_ladder(host, HANGS.device(first), HANGS.device(second))
            acting.act_on(host)
            with one_run(scene, acting, measured, "both devices hang") as run:
                for bmc in (first, second):
                    hang_bmc(bmc)
                try:
                    run.begin(lambda: cut_power(host))
                    see_persons_word(run)
                finally:
                    for bmc in (first, second):
                        wake_bmc(bmc)
            finish(scene, acting, measured)
        return measured.result(self.name, runs + 1)


@dataclass(frozen=True)
class BmcGoneWithHost:
    """Each run takes the power of a host and of its BMC together, as where both hang on one
    supply: nobody can read back that it is off, and a person's word is the proof."""

    name: str = "bmc-gone-with-host"
    about: str = "a host loses power together with its BMC: a person must say that it is dead"
    runs: int = 2

    def run_on_site(self, scene: SiteScene) -> Result:
        """As often as chosen."""
        runs, host = scene.choices.runs or self.runs, scene.site.plain_host
        measured = Measured()
        with acting_site(scene.site, [host]) as acting:
            bmc = acting.give_bmc(host)
            acting.set_ladder(host, structs.replace(bmc.ipmi, deadline_s=DEADLINE_S))
            acting.act_on(host)
            for number in range(1, runs + 1):
                with one_run(scene, acting, measured, f"run {number} of {runs}") as run:
                    try:
                        run.begin(lambda: cut_shared_power(bmc))
                        see_persons_word(run)
                    finally:
                        bmc.begin()
            finish(scene, acting, measured)
        return measured.result(self.name, runs)


@contextmanager
def second_bmc(host: Host) -> Iterator[Bmc]:
    """Another way to switch the host off, that shares nothing with the first."""
    bmc = Bmc(host, place=2)
    bmc.begin(["ipmi"])
    try:
        yield bmc
    finally:
        bmc.power_cut()


def see_persons_word(run: Following) -> None:
    """Nothing starts, and it is said why; then a person says that the host is dead."""
    subject = run.acting.site.id_of(run.host)
    if not run.see_suspected():
        return
    failed = run.scene.wait_alarm(
        subject, ("fence-failed",), run.since_ns, CONFIRMED_LIMIT_S, run.what
    )
    if failed is None:
        return
    run.say(f"{failed.condition} after {run.took_ms(failed):.0f} ms: {failed.text}")
    run.see_nothing_started(UNPROVEN_S)
    if run.confirm_dead():
        run.see_elsewhere(is_told=True)
