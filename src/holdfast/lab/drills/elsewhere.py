"""Drills in which a host is lost, proven dead, and its VMs live elsewhere, each of them once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.lab.commands import LabError
from holdfast.lab.drills.acting import ActingSite, acting_site, watch_copies
from holdfast.lab.drills.copies import CopyWatch
from holdfast.lab.drills.figures import NS_PER_MS, Result, Spread
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.scene import AFTERMATH_S, SiteScene
from holdfast.lab.drills.site_hosts import CUT_OFF, FROZEN, LOST, Breakage
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host

ON_LOST_HOST = "vm-on-lost-host"
CONFIRMED_LIMIT_S = 60.0
ANSWERING_LIMIT_S = 120.0
REJOINED_LIMIT_S = 60.0
VMS = 2
BESIDE = ("vm-gone", "vm-copy-ended")


@dataclass
class Measured:
    """Of all runs, in ms from the fault."""

    suspected: list[float] = field(default_factory=list)
    confirmed: list[float] = field(default_factory=list)
    answering: list[float] = field(default_factory=list)  # The last VM of each run.
    ran_twice: set[str] = field(default_factory=set)
    stopped: int = 0


@dataclass(frozen=True)
class LivesElsewhere:
    """Each run loses the host in the same way, with so many VMs on it."""

    name: str
    about: str
    breakage: Breakage
    runs: int = 3
    vms: int = VMS

    def run_on_site(self, scene: SiteScene) -> Result:
        """Lose it as often as chosen, and see each VM answer elsewhere."""
        runs, vms = scene.choices.runs or self.runs, scene.choices.vms or self.vms
        measured, host = Measured(), scene.site.plain_host
        with acting_site(scene.site, [host]) as acting:
            for number in range(1, runs + 1):
                what = f"run {number} of {runs}"
                with acting.guests(host, vms) as guests, watch_copies(guests) as copies:
                    self._run_once(scene, acting, guests, copies, measured, what)
        time.sleep(AFTERMATH_S)
        scene.judge(lambda one: scene.site.is_spent(one.subject))
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=Spread.of(measured.suspected),
            confirmed_ms=Spread.of(measured.confirmed),
            fault_to_answering_ms=Spread.of(measured.answering),
            ran_twice=len(measured.ran_twice),
            vms_stopped=measured.stopped,
            figures={"vms": vms},
        )

    def _run_once(
        self,
        scene: SiteScene,
        acting: ActingSite,
        guests: Sequence[Guest],
        copies: CopyWatch,
        measured: Measured,
        what: str,
    ) -> None:
        site, host = scene.site, guests[0].host
        site.wait_vms(host, [guest.plan.uuid for guest in guests])
        injected_ns = self.breakage.inject(site, host)
        try:
            follow(scene, host, guests, injected_ns, what, measured)
            see_where(scene, acting, guests, host, what)
        finally:
            mend(scene, host, self.breakage)
        measured.ran_twice |= copies.twice
        subject = site.id_of(host)
        scene.judge(lambda one: is_of_it(one, self.breakage, subject) or site.is_spent(one.subject))
        see_where(scene, acting, guests, host, f"{what}, after the host is back")
        measured.ran_twice |= copies.twice


def follow(
    scene: SiteScene,
    host: Host,
    guests: Sequence[Guest],
    injected_ns: int,
    what: str,
    measured: Measured,
) -> None:
    """From the fault to the last VM answering, by what arrives at the VIM."""
    subject = scene.site.id_of(host)

    def since(arrival: Arrival) -> float:
        return (arrival.at_ns - injected_ns) / NS_PER_MS

    first = scene.wait_alarm(
        subject, ("host-lost", "host-frozen"), injected_ns, CONFIRMED_LIMIT_S, what
    )
    if first is None:
        return
    measured.suspected.append(since(first))
    proven = scene.inbox.wait(
        lambda one: one.subject == subject and one.certainty == "certain" and "is dead" in one.text,
        since_ns=injected_ns,
        limit_s=CONFIRMED_LIMIT_S,
    )
    if proven is None:
        scene.overrun(f"{what}: {host.name} was not proven dead in {CONFIRMED_LIMIT_S:g} s")
        return
    measured.confirmed.append(since(proven))
    scene.say(f"{what}: dead after {since(proven):.0f} ms: {proven.text}")
    last = [_wait_answering(scene, guest, injected_ns, what) for guest in guests]
    if None not in last:
        took = max(since(one) for one in last if one is not None)
        measured.answering.append(took)
        scene.say(f"{what}: the last of {len(guests)} VMs answers after {took:.0f} ms")


def _wait_answering(scene: SiteScene, guest: Guest, injected_ns: int, what: str) -> Arrival | None:
    arrival = scene.inbox.wait(
        lambda one: (
            one.subject == guest.plan.uuid
            and one.condition == ON_LOST_HOST
            and one.state == "cleared"
        ),
        since_ns=injected_ns,
        limit_s=ANSWERING_LIMIT_S,
    )
    if arrival is None:
        scene.overrun(f"{what}: {guest.name} does not answer elsewhere")
    return arrival


def see_where(
    scene: SiteScene, acting: ActingSite, guests: Sequence[Guest], dead: Host, what: str
) -> None:
    """With our own eyes: each runs once, on another host, and its guest answers there."""
    for guest in guests:
        where = acting.where(guest)
        if len(where) != 1 or where[0].name == dead.name:
            names = ", ".join(host.name for host in where) or "nowhere"
            scene.overrun(f"{what}: {guest.name} runs on {names}")
            continue
        try:
            Guest(where[0], guest.plan).wait_answer()
        except LabError as error:
            scene.overrun(f"{what}: {error}")


def mend(scene: SiteScene, host: Host, breakage: Breakage) -> None:
    """It is switched on again, by hand: Holdfast never does that. Then it must rejoin."""
    if not host.is_powered_on:
        host.power_on()
    if breakage is not LOST:
        breakage.mend(scene.site, host)
    try:
        scene.site.wait_well(REJOINED_LIMIT_S)
    except LabError as error:
        scene.overrun(f"{host.name} is not well again: {error}")


def is_of_it(one: Arrival, breakage: Breakage, subject: str) -> bool:
    """Said of the host that was lost, or below its alarm."""
    if one.subject == subject:
        return one.condition in (*breakage.first, breakage.named, *breakage.beside, "agent-away")
    return one.condition == ON_LOST_HOST and bool(one.root)


ELSEWHERE_ROWS = (
    LivesElsewhere(
        name="power-cut-elsewhere",
        about="a host loses power, is proven dead, and its VMs live elsewhere",
        breakage=LOST,
    ),
    LivesElsewhere(
        name="frozen-elsewhere",
        about="a host freezes, is switched off, and its VMs live elsewhere",
        breakage=FROZEN,
    ),
    LivesElsewhere(
        name="cut-off-elsewhere",
        about="a host that runs on is cut off from all, switched off, and its VMs live elsewhere",
        breakage=CUT_OFF,
    ),
)
