"""A host is lost: what follows is waited for, step by step, and seen with our own eyes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from holdfast.lab.commands import LabError
from holdfast.lab.drills.acting import ActingSite, wait_for, watch_copies
from holdfast.lab.drills.copies import CopyWatch
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.scene import AFTERMATH_S, SiteScene
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host

ON_LOST_HOST = "vm-on-lost-host"
# Of these none is ever true in a drill, whatever was broken.
NEVER = ("host-not-dead", "vm-copy-ended")
SUSPECTED = ("host-lost", "host-frozen")
# Generous: the machine may be busy with other work, and what is measured is told anyway.
UNFENCEABLE = "host-unfenceable"
CONFIRMED_LIMIT_S = 90.0
ANSWERING_LIMIT_S = 180.0
REJOINED_LIMIT_S = 120.0
CONFIRM_LIMIT_S = 60.0
CLEARED_LIMIT_S = 30.0
WHY = "a drill cut its power, and looked"


@dataclass
class Measured:
    """Of all runs, in ms from the fault."""

    suspected: list[float] = field(default_factory=list)
    confirmed: list[float] = field(default_factory=list)
    answering: list[float] = field(default_factory=list)  # The last VM of each run.
    fencing: list[float] = field(default_factory=list)  # What the fence agent took of it.
    after_proof: list[float] = field(default_factory=list)  # From the proof to the last VM.
    ran_twice: set[str] = field(default_factory=set)
    stopped: int = 0

    def result(
        self,
        drill: str,
        runs: int,
        figures: Mapping[str, object] | None = None,
        peers: Mapping[str, object] | None = None,
        goals: tuple[Goal, ...] = (),
    ) -> Result:
        """What every drill of this kind says."""
        return Result(
            drill=drill,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=Spread.of(self.suspected),
            confirmed_ms=Spread.of(self.confirmed),
            fault_to_answering_ms=Spread.of(self.answering),
            ran_twice=len(self.ran_twice),
            vms_stopped=self.stopped,
            peers=dict(peers or {}),
            figures={
                "fence_agent_ms": Spread.of(self.fencing),
                "proof_to_answering_ms": Spread.of(self.after_proof),
                **(figures or {}),
            },
            goals=goals,
        )


@dataclass
class Following:
    """One run: `host` is lost at `since_ns`, with `guests` on it, while `copies` looks on.

    `beside` are conditions that may truly be raised of other hosts, or of the site.
    """

    scene: SiteScene
    acting: ActingSite
    copies: CopyWatch
    measured: Measured
    host: Host
    guests: Sequence[Guest]
    what: str
    since_ns: int = 0
    fences: int = 0  # How often it was fenced before.
    proven: Arrival | None = None
    beside: tuple[str, ...] = ()
    homes: tuple[Host, ...] = ()  # Where its VMs end; without any: on any host but the lost one.

    def begin(self, inject: Callable[[], int]) -> None:
        """Break it, once all controllers know what runs there."""
        self.acting.site.wait_vms(self.host, [guest.plan.uuid for guest in self.guests])
        self.fences = self.acting.number_of(self.host)
        self.since_ns = inject()

    def took_ms(self, arrival: Arrival) -> float:
        return (arrival.at_ns - self.since_ns) / NS_PER_MS

    def see_suspected(self, conditions: Sequence[str] = SUSPECTED) -> bool:
        """It is told at once."""
        subject = self.acting.site.id_of(self.host)
        first = self.scene.wait_alarm(
            subject, conditions, self.since_ns, CONFIRMED_LIMIT_S, self.what
        )
        if first is not None:
            self.measured.suspected.append(self.took_ms(first))
        return first is not None

    def see_proven(self, limit_s: float = CONFIRMED_LIMIT_S) -> bool:
        """Its death is told as certain."""
        subject = self.acting.site.id_of(self.host)
        self.proven = self.scene.inbox.wait(
            lambda one: (
                one.subject == subject and one.certainty == "certain" and "is dead" in one.text
            ),
            since_ns=self.since_ns,
            limit_s=limit_s,
        )
        if self.proven is None:
            self.overrun(f"{self.host.name} was not proven dead in {limit_s:g} s")
            return False
        took_ms = self.took_ms(self.proven)
        self.measured.confirmed.append(took_ms)
        self.say(f"dead after {took_ms:.0f} ms: {self.proven.text}")
        return True

    def see_answering(self) -> None:
        """Each VM is told to answer elsewhere."""
        last = [self._wait_over(guest) for guest in self.guests]
        found = [self.took_ms(one) for one in last if one is not None]
        if len(found) == len(last):
            self.measured.answering.append(max(found))
            self.say(f"the last of {len(found)} VMs answers after {max(found):.0f} ms")
            if self.proven is not None:
                self.measured.after_proof.append(max(found) - self.took_ms(self.proven))
        fence_ms = self.acting.fence_of(self.host).get("took_ms", 0)
        self.measured.fencing += [float(fence_ms)] if fence_ms else []

    def _wait_over(self, guest: Guest) -> Arrival | None:
        arrival = self.scene.inbox.wait(
            lambda one: (
                one.subject == guest.plan.uuid
                and one.condition == ON_LOST_HOST
                and one.state == "cleared"
            ),
            since_ns=self.since_ns,
            limit_s=ANSWERING_LIMIT_S,
        )
        if arrival is None:
            self.overrun(f"{guest.name} does not answer elsewhere")
        return arrival

    def see_living(self, limit_s: float = 0.0) -> None:
        """With our own eyes: each runs once, where it is to be, and its guest answers there."""
        names = {one.name for one in self.homes or self.acting.site.hosts}
        names -= set() if self.homes else {self.host.name}

        def is_well(guest: Guest) -> bool:
            where = self.acting.where(guest)
            return len(where) == 1 and where[0].name in names

        for guest in self.guests:
            if not wait_for(lambda guest=guest: is_well(guest), limit_s):  # type: ignore[misc]
                self.overrun(f"{guest.name} runs on {self._said(guest)}")
                continue
            try:
                Guest(self.acting.where(guest)[0], guest.plan).wait_answer()
            except (LabError, IndexError) as error:
                self.overrun(f"{guest.name} does not answer: {error}")

    def see_elsewhere(self, *, is_told: bool = False) -> None:
        """To the last VM answering. `is_told`: its silence was waited for already."""
        if (is_told or self.see_suspected()) and self.see_proven():
            self.see_answering()
            self.see_living()

    def confirm_dead(self) -> bool:
        """A person's word. While something still looks alive it is not taken, and said again."""
        refused = [""]

        def is_taken() -> bool:
            name = self.host.name
            words = ("host", "confirm-dead", name, "--because", WHY, "--yes-it-is-dead", name)
            try:
                self.acting.command(*words)
            except LabError as error:
                refused[0] = str(error)
                return False
            return True

        if wait_for(is_taken, CONFIRM_LIMIT_S):
            return True
        self.overrun(f"nobody believed that {self.host.name} is dead: {refused[0]}")
        return False

    def see_nothing_started(self, for_s: float) -> None:
        """For so long no process of any of them is there."""
        until = time.monotonic() + for_s
        while time.monotonic() < until:
            if any(self.copies.count().values()):
                self.overrun("a VM was started without a proof")
                return
            time.sleep(0.1)

    def see_all_told(self) -> None:
        """Of none of them an alarm stays open: each lives."""

        def list_open() -> list[Arrival]:
            uuids = {guest.plan.uuid for guest in self.guests}
            newest: dict[str, Arrival] = {}
            for one in self.scene.inbox.list_since(self.since_ns):
                known = newest.get(one.key)
                if one.subject in uuids and (known is None or one.revision >= known.revision):
                    newest[one.key] = one
            return [one for one in newest.values() if one.state != "cleared"]

        if not wait_for(lambda: not list_open(), CLEARED_LIMIT_S):
            for one in list_open():
                self.overrun(f"{one.condition} stays open: {one.text}")

    def _said(self, guest: Guest) -> str:
        return ", ".join(host.name for host in self.acting.where(guest)) or "nowhere"

    def mend(self, repair: Callable[[], object] = lambda: None) -> None:
        """It is switched on again, by hand: Holdfast never does that. Then it must rejoin."""
        if not self.host.is_powered_on:
            self.host.power_on()
        repair()
        self.wait_well()

    def wait_well(self) -> None:
        try:
            self.acting.site.wait_well(REJOINED_LIMIT_S)
        except LabError as error:
            self.overrun(f"the site is not well again: {error}")

    def end(self) -> None:
        """Whatever was said beside what is true of hosts that the drill broke is false."""
        self.measured.ran_twice |= self.copies.twice
        self.scene.judge(self.is_true)

    def is_true(self, one: Arrival) -> bool:
        site = self.acting.site
        broken = {site.id_of(host) for host in site.hosts if host.name in self.acting.broken}
        if one.condition in NEVER:
            return False
        return one.subject in broken or one.condition in self.beside or site.is_spent(one.subject)

    def say(self, text: str) -> None:
        self.scene.say(f"{self.what}: {text}")

    def overrun(self, text: str) -> None:
        self.scene.overrun(f"{self.what}: {text}")


@contextmanager
def one_run(
    scene: SiteScene, acting: ActingSite, measured: Measured, what: str, vms: int = 1
) -> Iterator[Following]:
    """VMs on the plain host, watched; at the end it has power again, and all is well."""
    host = scene.site.plain_host
    with acting.guests(host, vms) as guests, watch_copies(guests) as copies:
        run = Following(scene, acting, copies, measured, host, guests, what)
        try:
            yield run
        finally:
            run.mend()
        run.see_living()
        run.see_all_told()
        run.end()


def finish(scene: SiteScene, acting: ActingSite, measured: Measured) -> None:
    """While all still runs: what came late, and who of those that nobody broke has ended."""
    time.sleep(AFTERMATH_S)
    measured.stopped += acting.stopped
    site = scene.site
    broken = {site.id_of(host) for host in site.hosts if host.name in acting.broken}

    def is_true(one: Arrival) -> bool:
        """A rehearsal that met a broken BMC may be told of when that is whole again."""
        is_late = one.condition == UNFENCEABLE and one.subject in broken
        return is_late or (site.is_spent(one.subject) and one.condition not in NEVER)

    scene.judge(is_true)
