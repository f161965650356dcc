"""Drills in which hosts come back: one that was recovered, and one of too many that were lost."""

import time
from contextlib import suppress
from dataclasses import dataclass

from holdfast.lab.commands import LabError
from holdfast.lab.drills.acting import acting_site, watch_copies
from holdfast.lab.drills.figures import Result
from holdfast.lab.drills.following import (
    ANSWERING_LIMIT_S,
    REJOINED_LIMIT_S,
    Following,
    Measured,
    finish,
)
from holdfast.lab.drills.scene import SiteScene
from holdfast.lab.guests import Guest
from holdfast.lab.problem_makers.host_power_cut import cut_power

REFUSAL = "Holdfast protects"
BRAKED_LIMIT_S = 30.0
# A host is switched off after three seconds of silence: by then it would have been.
BRAKED_S = 10.0


@dataclass(frozen=True)
class HostReturns:
    """Each run recovers a host's VM, with autostart set, and switches the host on again: libvirt
    may start it there neither by itself nor for a person. Then the VM's new host is lost, and it
    must come home: the host is one of the site again."""

    name: str = "host-returns"
    about: str = (
        "a recovered host is switched on: its VMs start there neither by autostart nor hand"
    )
    runs: int = 2

    def run_on_site(self, scene: SiteScene) -> Result:
        """As often as chosen."""
        runs, site, measured = scene.choices.runs or self.runs, scene.site, Measured()
        home, second = site.hosts[-1], site.hosts[-2]
        # The controllers' hosts have less room than the two that take turns.
        with acting_site(site, [home], crowded=site.controllers) as acting:
            acting.broken.add(second.name)
            for number in range(1, runs + 1):
                what = f"run {number} of {runs}"
                with acting.guests(home, 1) as guests, watch_copies(guests) as copies:
                    there = Following(scene, acting, copies, measured, home, guests, what)
                    _lose_and_return(there)
                    back = Following(scene, acting, copies, measured, second, guests, what)
                    back.homes = (home,)
                    _come_home(back)
                    there.end()
            finish(scene, acting, measured)
        return measured.result(self.name, runs)


def _lose_and_return(run: Following) -> None:
    """It is recovered; then its own copy is tried to be started, in both ways."""
    for guest in run.guests:
        guest.virsh("autostart")
    run.begin(lambda: cut_power(run.host))
    try:
        run.see_elsewhere()
    finally:
        run.mend()  # libvirt has started what it would start before anything of ours runs.
    for guest in run.guests:
        _see_refused(run, guest)
    if not run.acting.wait_step(run.host, "closed", run.fences, REJOINED_LIMIT_S):
        run.overrun(f"the fence of {run.host.name} is not closed")
    run.see_living()
    run.see_all_told()


def _see_refused(run: Following, guest: Guest) -> None:
    old = Guest(run.host, guest.plan)
    if old.state() != "shut off":
        run.overrun(f"autostart left {old.name} {old.state()} on {run.host.name}")
    try:
        old.start()
    except LabError as error:
        if REFUSAL not in str(error):
            run.overrun(f"virsh says nothing of Holdfast: {error}")
        return
    run.overrun(f"virsh started {old.name} on {run.host.name}")


def _come_home(run: Following) -> None:
    """A person's word is its proof: two fences within minutes would be braked."""
    run.begin(lambda: cut_power(run.host))
    try:
        if run.confirm_dead() and run.see_proven():
            run.see_answering()
            run.see_living()
    finally:
        run.mend()
    run.see_living()


@dataclass(frozen=True)
class TooManyHostsLost:
    """Each run takes the power of two hosts at once, more than the brake allows; then one of them
    is switched on, and the other one is recovered."""

    name: str = "too-many-hosts-lost"
    about: str = "more hosts lose power at once than is believed: nothing is done, all is told"
    runs: int = 2

    def run_on_site(self, scene: SiteScene) -> Result:
        """As often as chosen."""
        runs, site, measured = scene.choices.runs or self.runs, scene.site, Measured()
        lost, returning = site.hosts[-1], site.hosts[-2]
        with acting_site(site, [lost, returning]) as acting:
            for number in range(1, runs + 1):
                what = f"run {number} of {runs}"
                with (
                    acting.guests(lost, 1, but=None) as guests,
                    acting.guests(returning, 1, but=None) as others,
                    watch_copies([*guests, *others]) as copies,
                ):
                    stays = Following(scene, acting, copies, measured, lost, guests, what)
                    comes = Following(scene, acting, copies, measured, returning, others, what)
                    stays.beside = ("recovery-braked",)
                    comes.homes = (returning,)
                    _lose_both(stays, comes)
                    stays.end()
            finish(scene, acting, measured)
        return measured.result(self.name, runs)


def _lose_both(stays: Following, comes: Following) -> None:
    comes.begin(time.monotonic_ns)
    stays.begin(lambda: cut_power(stays.host))
    comes.since_ns = cut_power(comes.host)
    try:
        if stays.see_suspected() and comes.see_suspected():
            _see_braked(stays, comes)
        comes.host.power_on()
        stays.see_elsewhere(is_told=True)
        comes.see_living(limit_s=ANSWERING_LIMIT_S)
    finally:
        for run in (comes, stays):
            with suppress(LabError):
                run.host.power_on()
        stays.mend()
    for run in (stays, comes):
        run.see_living()
        run.see_all_told()


def _see_braked(stays: Following, comes: Following) -> None:
    """It is said, and for a while nothing is done."""
    braked = stays.scene.wait_alarm(
        "site", ("recovery-braked",), stays.since_ns, BRAKED_LIMIT_S, f"{stays.what}, the brake"
    )
    if braked is not None:
        stays.say(f"braked after {stays.took_ms(braked):.0f} ms: {braked.text}")
    stays.see_nothing_started(BRAKED_S)
    for run in (stays, comes):
        if run.acting.number_of(run.host) != run.fences:
            run.overrun(f"{run.host.name} was to be switched off, in spite of the brake")
