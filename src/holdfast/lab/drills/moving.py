"""Drills in which VMs move while they run, and hosts that die in the middle of it."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.lab.commands import LabError
from holdfast.lab.drills.acting import ActingSite, acting_site, wait_for
from holdfast.lab.drills.breakages import LOST
from holdfast.lab.drills.copies import LivingVms, MovingWatch
from holdfast.lab.drills.figures import NS_PER_MS, Result, Spread, median
from holdfast.lab.drills.following import ON_LOST_HOST, REJOINED_LIMIT_S
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.scene import AFTERMATH_S, SiteScene
from holdfast.lab.drills.ticks import Ticks, keep_busy
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host
from holdfast.lab.site import holdfast

VMS = 3
DRAIN_LIMIT_S = 600.0
MOVED_LIMIT_S = 120.0
ENDED_LIMIT_S = 180.0
SLOW_MIB_S = "2"  # So that there is a middle of it.
OF_ENDS = ("host-lost", "host-frozen", "agent-away", "host-cut-off")
STEPS = (1, 40, 80)  # In per cent of the memory: there the power is cut.


@dataclass
class Measured:
    """Of all runs."""

    pause_ms: list[float] = field(default_factory=list)
    outside_ms: list[float] = field(default_factory=list)
    plain_ms: list[float] = field(default_factory=list)
    plain_outside_ms: list[float] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    settled_ms: list[float] = field(default_factory=list)
    ran_twice: set[str] = field(default_factory=set)
    looks: int = 0
    judged: int = 0

    def take(self, copies: MovingWatch) -> None:
        """What the observer of one run saw."""
        self.ran_twice |= copies.twice
        self.looks += copies.looks
        self.judged += copies.judged

    @property
    def observed_percent(self) -> int:
        """In how much of its looks the observer could tell whether a VM ran twice."""
        return 100 * self.judged // self.looks if self.looks else 0


@dataclass(frozen=True)
class Drained:
    """Each run drains a host, then moves a VM back by Holdfast and by virsh alone."""

    name: str = "drain"
    about: str = "a host is drained: its VMs move away while they run, and each pause is measured"
    runs: int = 1
    vms: int = VMS

    def run_on_site(self, scene: SiteScene) -> Result:
        """Drain it as often as chosen."""
        runs, vms = scene.choices.runs or self.runs, scene.choices.vms or self.vms
        measured, acting = Measured(), ActingSite(scene.site, LivingVms({}))
        host = scene.site.plain_host
        reports = f"{host.name} is in report mode"
        for number in range(1, runs + 1):
            what = f"run {number} of {runs}"
            with acting.guests(host, vms, but=reports) as guests, _watched(guests) as copies:
                scene.site.wait_vms(host, [guest.plan.uuid for guest in guests])
                for guest in guests:
                    keep_busy(guest)
                try:
                    self._drain(scene, acting, host, guests, measured, what)
                finally:
                    acting.command("host", "undrain", host.name)
                compare(scene, acting, guests[0], measured, what)
            measured.take(copies)
            scene.judge()
        time.sleep(AFTERMATH_S)
        scene.judge()
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            ran_twice=len(measured.ran_twice),
            figures={
                "vms": vms,
                "observed_percent": measured.observed_percent,
                "drained_ms": Spread.of(measured.took_ms),
                "pause_by_libvirt_ms": Spread.of(measured.pause_ms),
                "pause_seen_outside_ms": Spread.of(measured.outside_ms),
            },
            peers={
                "virsh migrate --live": {
                    "pause_by_libvirt_ms": median(measured.plain_ms),
                    "pause_seen_outside_ms": median(measured.plain_outside_ms),
                }
            },
        )

    def _drain(
        self,
        scene: SiteScene,
        acting: ActingSite,
        host: Host,
        guests: Sequence[Guest],
        measured: Measured,
        what: str,
    ) -> None:
        begun_ns = time.monotonic_ns()
        done = scene.site.leader().run(
            holdfast("host", "drain", host.name), timeout_s=DRAIN_LIMIT_S, check=False
        )
        took_ms = (time.monotonic_ns() - begun_ns) / NS_PER_MS
        for line in done.stdout.splitlines():
            scene.say(f"{what}: {line}")
        if done.returncode:
            scene.overrun(f"{what}: {done.stderr.strip()}")
        measured.took_ms.append(took_ms)
        for guest in guests:
            where = acting.where(guest)
            if len(where) != 1 or where[0].name == host.name:
                names = ", ".join(one.name for one in where) or "nowhere"
                scene.overrun(f"{what}: {guest.name} runs on {names}")
                continue
            Guest(where[0], guest.plan).wait_answer()
            measured.pause_ms.append(float(_moved(acting, guest)["pause_ms"]))


def compare(
    scene: SiteScene, acting: ActingSite, guest: Guest, measured: Measured, what: str
) -> None:
    """The same VM once more by Holdfast, and by virsh alone, its guest watched from outside."""
    with Ticks(guest, scene.site.hosts) as ticks:
        acting.command("vm", "migrate", guest.name)
    ours = float(_moved(acting, guest)["pause_ms"])
    measured.outside_ms.append(ticks.longest_gap_ms)
    [source] = acting.where(guest)
    target = next(one for one in scene.site.hosts if one.name != source.name)
    with Ticks(guest, scene.site.hosts) as ticks:
        Guest(source, guest.plan).virsh(
            "migrate",
            f"qemu+tcp://{target.address}/system",
            "--live",
            "--unsafe",
            "--persistent",
            "--undefinesource",
            timeout_s=MOVED_LIMIT_S,
        )
    measured.plain_outside_ms.append(ticks.longest_gap_ms)
    number = int(_moved(acting, guest)["number"])
    if not wait_for(lambda: _is_over(acting, guest, number), MOVED_LIMIT_S):
        scene.overrun(f"{what}: the store does not learn where virsh moved {guest.name} to")
        return
    plain = float(_moved(acting, guest)["pause_ms"] or 0)
    measured.plain_ms.append(plain)
    scene.say(
        f"{what}: {guest.name} stood still for {ours:.0f} ms (seen outside:"
        f" {measured.outside_ms[-1]:.0f} ms); by virsh alone {plain:.0f} ms"
        f" ({ticks.longest_gap_ms:.0f} ms)"
    )


def _is_over(acting: ActingSite, guest: Guest, number: int) -> bool:
    """Whether a migration of at least that number is known, and over."""
    moved = _moved(acting, guest)
    is_known = int(moved["number"]) >= number and bool(moved["is_over"])
    return is_known and [moved["target"]] == [host.name for host in acting.where(guest)]


def _moved(acting: ActingSite, guest: Guest) -> dict[str, Any]:
    site = acting.site
    told: dict[str, Any] = site.ask(site.leader(), "migration", {"vm": guest.plan.uuid})
    return told


def _watched(guests: Sequence[Guest]) -> MovingWatch:
    return MovingWatch(guest.plan.uuid for guest in guests)


@dataclass(frozen=True)
class DiesInMigration:
    """Each run cuts the power of one end, at another step of the migration."""

    name: str
    about: str
    is_source: bool
    runs: int = len(STEPS)

    def run_on_site(self, scene: SiteScene) -> Result:
        """Lose that end as often as chosen, and see the VM in one place."""
        runs, measured, site = scene.choices.runs or self.runs, Measured(), scene.site
        # Always the same host dies: of another one the brake on many losses would take care.
        dead, other = site.plain_host, site.hosts[-2]
        source, target = (dead, other) if self.is_source else (other, dead)
        # Of a second host, its guest's, the brake would have none act after the first is fenced.
        but = "" if self.is_source else None
        with acting_site(site, [source, target]) as acting:
            for number in range(1, runs + 1):
                step = STEPS[(number - 1) % len(STEPS)]
                what = f"run {number} of {runs} (at {step} %)"
                with acting.guests(source, 1, but=but) as [guest], _watched([guest]) as copies:
                    site.wait_vms(source, [guest.plan.uuid])
                    keep_busy(guest)
                    self._run_once(scene, acting, guest, (target, dead), step, measured, what)
                    measured.take(copies)
        time.sleep(AFTERMATH_S)
        scene.judge(lambda one: site.is_spent(one.subject))
        return Result(
            drill=self.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            ran_twice=len(measured.ran_twice),
            figures={
                "power_cut_to_one_place_ms": Spread.of(measured.settled_ms),
                "observed_percent": measured.observed_percent,
            },
        )

    def _run_once(
        self,
        scene: SiteScene,
        acting: ActingSite,
        guest: Guest,
        ends: tuple[Host, Host],
        step: int,
        measured: Measured,
        what: str,
    ) -> None:
        target, dead = ends
        guest.virsh("migrate-setspeed", SLOW_MIB_S)
        number = int(json.loads(_begin(acting, guest, target))["number"])
        if not wait_for(lambda: _is_at(acting, guest, number, step), MOVED_LIMIT_S):
            scene.overrun(f"{what}: the migration is not seen there: {_moved(acting, guest)}")
        cut_ns = LOST.inject(scene.site, dead)
        try:
            self._follow(scene, acting, guest, dead, number, cut_ns, measured, what)
        finally:
            _boot(scene, dead)
        _see_one(scene, acting, guest, dead, f"{what}, after {dead.name} is back")
        lost = scene.site.id_of(dead)
        scene.judge(lambda one: _is_of_it(one, lost) or scene.site.is_spent(one.subject))

    def _follow(
        self,
        scene: SiteScene,
        acting: ActingSite,
        guest: Guest,
        dead: Host,
        number: int,
        cut_ns: int,
        measured: Measured,
        what: str,
    ) -> None:
        def is_settled() -> bool:
            moved = _moved(acting, guest)
            is_over = bool(moved["is_over"]) and int(moved["number"]) == number
            return is_over and len(acting.where(guest)) == 1

        if not wait_for(is_settled, ENDED_LIMIT_S):
            scene.overrun(f"{what}: {_moved(acting, guest)}; it runs on {acting.where(guest)}")
            return
        measured.settled_ms.append((time.monotonic_ns() - cut_ns) / NS_PER_MS)
        _see_one(scene, acting, guest, dead, what)
        moved = _moved(acting, guest)
        scene.say(
            f"{what}: {moved['step']} after {measured.settled_ms[-1]:.0f} ms: {moved['reason']};"
            f" it runs on {acting.where(guest)[0].name}"
        )


def _is_at(acting: ActingSite, guest: Guest, number: int, step: int) -> bool:
    """Whether so much has come over, and it is still under way."""
    moved = _moved(acting, guest)
    is_under_way = int(moved["number"]) == number and not moved["is_over"]
    return is_under_way and int(moved["percent"]) >= step


def _begin(acting: ActingSite, guest: Guest, target: Host) -> str:
    return acting.command("vm", "migrate", guest.name, "--to", target.name, "--json")


def _see_one(scene: SiteScene, acting: ActingSite, guest: Guest, dead: Host, what: str) -> None:
    """With our own eyes: it runs once, not where the power was cut, and its guest answers."""
    where = acting.where(guest)
    if len(where) != 1 or where[0].name == dead.name:
        names = ", ".join(one.name for one in where) or "nowhere"
        scene.overrun(f"{what}: {guest.name} runs on {names}")
        return
    try:
        Guest(where[0], guest.plan).wait_answer()
    except LabError as error:
        scene.overrun(f"{what}: {error}")


MOVING_ROWS = (
    Drained(),
    DiesInMigration(
        name="source-dies-in-migration",
        about="a host loses power while a VM moves away from it: the VM lives on once",
        is_source=True,
    ),
    DiesInMigration(
        name="target-dies-in-migration",
        about="a host loses power while a VM moves to it: the VM lives on where it was",
        is_source=False,
    ),
)


def _boot(scene: SiteScene, host: Host) -> None:
    """It is switched on again, by hand."""
    if not host.is_powered_on:
        host.power_on()
    try:
        scene.site.wait_well(REJOINED_LIMIT_S)
    except LabError as error:
        scene.overrun(f"the site is not well again: {error}")


def _is_of_it(one: Arrival, lost: str) -> bool:
    """Said of the host that was lost, or below its alarm."""
    if one.subject == lost:
        return one.condition in OF_ENDS
    return one.condition == ON_LOST_HOST and bool(one.root)
