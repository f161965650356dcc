"""Drills on a host that has no fence device: what relies on its lease ends, and lives elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from holdfast.lab.commands import LabError
from holdfast.lab.drills.acting import ActingSite, acting_site, wait_for, watch_copies
from holdfast.lab.drills.figures import Result, Spread
from holdfast.lab.drills.following import Following, Measured, finish
from holdfast.lab.drills.scene import SiteScene
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host
from holdfast.lab.problem_makers.host_cut_off import cut_off, join_again
from holdfast.lab.problem_makers.program_killed import stop_program
from holdfast.lab.watchdog import LabWatchdog

GROUP = "leased"
OVER = "granted its lease"  # In what is told of the host, once that is proven.
ARMED_LIMIT_S = 30.0
OVER_LIMIT_S = 90.0
ENDED_LIMIT_S = 60.0


@dataclass(frozen=True)
class LeaseRunsOut:
    """Each run cuts a host off from all. Without a fence device its lease is the proof, of the VMs
    that rely on it; one that does not rely runs on there. With `is_agent_frozen` nobody on the
    host ends them, and its watchdog resets it."""

    name: str
    about: str
    is_agent_frozen: bool = False
    runs: int = 3

    def run_on_site(self, scene: SiteScene) -> Result:
        """As often as chosen."""
        runs, vms = scene.choices.runs or self.runs, scene.choices.vms or 1
        measured, ended = Measured(), list[float]()
        host = scene.site.plain_host
        with leased_site(scene, host) as (acting, watchdog):
            before = watchdog.bites
            for number in range(1, runs + 1):
                ended += self._run_once(scene, acting, watchdog, measured, vms, f"run {number}")
            finish(scene, acting, measured)
        bites = watchdog.bites - before
        figures = {"fault_to_ended_ms": Spread.of(ended), "watchdog_bites": bites}
        return measured.result(self.name, runs, figures)

    def _run_once(
        self,
        scene: SiteScene,
        acting: ActingSite,
        watchdog: LabWatchdog,
        measured: Measured,
        vms: int,
        what: str,
    ) -> list[float]:
        """When the last of them had ended on the host, in ms from the fault."""
        host, ended, bites = scene.site.plain_host, list[float](), watchdog.bites
        with (
            acting.guests(host, vms, group=GROUP) as guests,
            watch_copies(guests) as copies,
        ):
            run = Following(scene, acting, copies, measured, host, guests, what)
            wait_armed(acting, host, guests)
            try:
                run.begin(lambda: self._break(scene, host))
                if run.see_suspected():
                    ended += see_ended(run, copies.count)
                    see_over(run)
                    run.see_answering()
                    run.see_living()
            finally:
                join_again(host)
                run.mend()
            self._judge_host(run, watchdog.bites - bites)
            run.see_living()
            run.see_all_told()
            run.end()
        return ended

    def _break(self, scene: SiteScene, host: Host) -> int:
        if self.is_agent_frozen:
            stop_program(scene.site.find_program(host, "agent"))
        return cut_off(host)

    def _judge_host(self, run: Following, bites: int) -> None:
        """Only its watchdog may have reset it, and only where nobody else ended what relied."""
        if bites != int(self.is_agent_frozen):
            run.overrun(f"the watchdog of {run.host.name} bit {bites} times")
        gone = run.acting.bystanders.count_ended(set())
        if gone and not self.is_agent_frozen:
            run.overrun(f"{gone} VMs have ended that rely on nothing")


def see_ended(run: Following, count: object) -> list[float]:
    """With our own eyes: none of them runs anywhere, long before any starts elsewhere."""
    assert callable(count)
    if not wait_for(lambda: not any(count().values()), ENDED_LIMIT_S):
        run.overrun("what relies on the lease did not end in time")
        return []
    took_ms = (time.monotonic_ns() - run.since_ns) / 1_000_000
    run.say(f"what relied on the lease had ended after {took_ms:.0f} ms")
    return [took_ms]


def see_over(run: Following) -> None:
    """The leader tells what it has proven."""
    subject = run.acting.site.id_of(run.host)
    run.proven = run.scene.inbox.wait(
        lambda one: one.subject == subject and OVER in one.text,
        since_ns=run.since_ns,
        limit_s=OVER_LIMIT_S,
    )
    if run.proven is None:
        run.overrun(f"the lease of {run.host.name} was not proven to be over")
        return
    took_ms = run.took_ms(run.proven)
    run.measured.confirmed.append(took_ms)
    run.say(f"proven after {took_ms:.0f} ms: {run.proven.text}")


def wait_armed(acting: ActingSite, host: Host, guests: Sequence[Guest]) -> None:
    """Until the host has acknowledged each of them. Raises LabError."""
    names = {guest.name for guest in guests}

    def row() -> dict[str, object]:
        told = acting.site.ask(acting.site.leader(), "host", {"host": acting.site.id_of(host)})
        return dict(told["host"])

    def is_armed() -> bool:
        with suppress(LabError):
            leased = row()["lease"]
            return isinstance(leased, list) and names <= set(leased)
        return False

    acting.site.wait(is_armed, lambda: f"{host.name} arms no lease: {row()}", ARMED_LIMIT_S)


@contextmanager
def leased_site(scene: SiteScene, host: Host) -> Iterator[tuple[ActingSite, LabWatchdog]]:
    """This host has a watchdog, no fence device, and is acted on while the block lasts."""
    watchdog = LabWatchdog(host)
    watchdog.begin()
    with acting_site(scene.site, []) as acting:
        acting.broken.add(host.name)
        acting.command("group", "set", GROUP, "--lease")
        acting.act_on(host)
        try:
            yield acting, watchdog
        finally:
            with suppress(LabError):
                acting.only_report(host)
                acting.command("group", "set", GROUP, "--no-lease")


LEASE_ROWS = (
    LeaseRunsOut(
        name="lease-runs-out",
        about="a host without a fence device is cut off, and what relies on its lease moves",
    ),
    LeaseRunsOut(
        name="watchdog-bites",
        about="a host is cut off with its agent frozen, and its watchdog resets it",
        is_agent_frozen=True,
        runs=2,
    ),
)
