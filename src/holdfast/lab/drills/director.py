"""Finds a place for a drill, sets the scene, runs it, and always takes everything away again."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Protocol, runtime_checkable

import msgspec

from holdfast.lab.commands import DEFAULT_LAB, LabError
from holdfast.lab.drills.agent_killed import AgentKilledThenVmKilled
from holdfast.lab.drills.busy import busy_cores
from holdfast.lab.drills.elsewhere import HOST_ROWS
from holdfast.lab.drills.fencing_fails import BmcGoneWithHost, FencerBroken
from holdfast.lab.drills.figures import Result
from holdfast.lab.drills.host_returns import HostReturns, TooManyHostsLost
from holdfast.lab.drills.leaders_die import ControllersAllLost, LeaderDiesInRecovery
from holdfast.lab.drills.lease import LEASE_ROWS
from holdfast.lab.drills.ledger import Ledger, Say
from holdfast.lab.drills.libvirt_lost import LIBVIRT_ROWS
from holdfast.lab.drills.machine import describe_machine, read_free_mib
from holdfast.lab.drills.many_vms import AgentIdle, VmsKilledTogether
from holdfast.lab.drills.moving import MOVING_ROWS
from holdfast.lab.drills.one_vm import ROWS
from holdfast.lab.drills.process_lost import PROCESS_ROWS
from holdfast.lab.drills.quiet import Quiet
from holdfast.lab.drills.scene import Choices, Scene, SiteScene
from holdfast.lab.drills.site_hosts import SITE_ROWS
from holdfast.lab.drills.site_programs import AgentRestarted, LeaderAndHostKilled, LeaderKilled
from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.drills.stage import Stage
from holdfast.lab.drills.stopped_on_purpose import StoppedOnPurpose
from holdfast.lab.drills.storm import Storm
from holdfast.lab.drills.this_machine import ThisMachine
from holdfast.lab.drills.thousand_agents import ThousandAgents
from holdfast.lab.drills.vswitch_lost import VSWITCH_ROWS
from holdfast.lab.event_watch import EventWatch
from holdfast.lab.guest_image import build_guest_image
from holdfast.lab.hosts import STATE_FOLDER, Host, Lab

SPARE_MIB = 1_024
SITE_HOSTS = 5


class Drill(Protocol):
    """One thing that is broken for real and measured, on one host."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def runs(self) -> int: ...

    def run(self, scene: Scene) -> Result: ...


@runtime_checkable
class SiteDrill(Protocol):
    """The same on a site of several hosts."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def runs(self) -> int: ...

    def run_on_site(self, scene: SiteScene) -> Result: ...


@runtime_checkable
class AloneDrill(Protocol):
    """One that needs no lab host: it starts what it weighs, on this machine."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def runs(self) -> int: ...

    def run_alone(self, choices: Choices, say: Say) -> Result: ...


AnyDrill = Drill | SiteDrill | AloneDrill
DRILLS: dict[str, AnyDrill] = {
    drill.name: drill
    for drill in (
        *ROWS,
        StoppedOnPurpose(),
        AgentKilledThenVmKilled(),
        VmsKilledTogether(),
        AgentIdle(),
        *LIBVIRT_ROWS,
        *PROCESS_ROWS,
        *VSWITCH_ROWS,
        *HOST_ROWS,
        *LEASE_ROWS,
        *SITE_ROWS,
        FencerBroken(),
        BmcGoneWithHost(),
        HostReturns(),
        TooManyHostsLost(),
        LeaderDiesInRecovery(),
        ControllersAllLost(),
        *MOVING_ROWS,
        AgentRestarted(),
        LeaderKilled(),
        LeaderAndHostKilled(),
        Storm(),
        Quiet(),
        ThousandAgents(),
    )
}


@dataclass(frozen=True)
class Place:
    """Where to drill: a host of a lab; None is the lab that is up, or one made for the drill.

    This machine itself is taken only by its own name, and with `is_sure`.
    """

    lab: str | None = None
    host: str | None = None
    is_sure: bool = False


def run_drill(drill: AnyDrill, choices: Choices, place: Place, say: Say) -> Result:
    """Run a drill; raises LabError when it could not be run. Ctrl-C and TERM clean up too."""
    if choices.memory_mib and choices.memory_mib + SPARE_MIB > read_free_mib():
        raise LabError(
            f"a VM of {choices.memory_mib} MiB does not fit: {read_free_mib()} MiB are free here,"
            f" and {SPARE_MIB} of them must stay so"
        )
    began = time.monotonic()
    say("preparing the sample guest")
    build_guest_image()
    with _ended_by_term():
        result = _perform_somewhere(drill, choices, place, say)
    return msgspec.structs.replace(
        result,
        machine=describe_machine(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - began, 1),
        command=" ".join(["holdfast drill", drill.name, *_spell(choices)]),
    )


def _perform_somewhere(drill: AnyDrill, choices: Choices, place: Place, say: Say) -> Result:
    if isinstance(drill, AloneDrill):
        with busy_cores(ThisMachine(), choices.is_busy):
            return drill.run_alone(choices, say)
    if isinstance(drill, SiteDrill):
        with _make_site(place, say) as lab:
            return perform_on_site(drill, lab, choices, say)
    with _find_host(place, say) as host, _alone(host):
        return perform(drill, host, choices, say)


def perform(drill: Drill, host: Host, choices: Choices, say: Say) -> Result:
    """Set the scene on a host, run the drill, and count what was lost or false."""
    stage_of = Stage(host, say, getattr(drill, "settings", ""))
    with stage_of as stage, EventWatch(host) as events, busy_cores(host, choices.is_busy):
        scene = Scene(
            inbox=stage.inbox, say=say, host=host, stage=stage, events=events, choices=choices
        )
        result = drill.run(scene)
        scene.judge()
        return sum_up(result, scene, choices, [*stage.notes, *stage.read_complaints()])


def perform_on_site(drill: SiteDrill, lab: Lab, choices: Choices, say: Say) -> Result:
    """The same on a lab whose hosts are bare."""
    with SiteStage(lab, say) as site:
        return perform_there(drill, site, choices, say)


def perform_there(drill: SiteDrill, site: SiteStage, choices: Choices, say: Say) -> Result:
    """The same on a site that runs, and runs on."""
    with busy_cores(site.outside, choices.is_busy):
        scene = SiteScene(inbox=site.inbox, say=say, site=site, choices=choices)
        result = drill.run_on_site(scene)
        return sum_up(result, scene, choices, [*site.notes, *site.read_complaints()])


def sum_up(result: Result, ledger: Ledger, choices: Choices, notes: list[str]) -> Result:
    """The drill's own result with what its ledger says."""
    counts = ledger.inbox.count()
    strange = ledger.inbox.strange
    if strange:
        ledger.lost.append(f"{len(strange)} messages were not understood: {strange[0]}")
    if counts.gaps:
        ledger.lost.append(f"{counts.gaps} messages never came: their numbers are missing")
    return msgspec.structs.replace(
        result,
        lost=len(ledger.lost),
        false_alarms=len(ledger.false_alarms),
        overran=tuple(ledger.overran),
        gaps=counts.gaps,
        repeated=counts.repeated,
        is_busy=choices.is_busy,
        notes=(
            *result.notes,
            *ledger.lost,
            *ledger.false_alarms,
            *ledger.asides,
            *notes,
        ),
    )


def _spell(choices: Choices) -> list[str]:
    words = [f"--runs {choices.runs}"] if choices.runs else []
    words += [f"--memory {choices.memory_mib}M"] if choices.memory_mib else []
    words += [f"--vms {choices.vms}"] if choices.vms else []
    return words + (["--busy"] if choices.is_busy else [])


@contextmanager
def _find_host(place: Place, say: Say) -> Iterator[Host]:
    """A host of the lab that is up; without one, of a lab that lives as long as the drill."""
    if place.lab is None and place.host == ThisMachine().name:
        if not place.is_sure:
            raise LabError(
                f"{place.host} is this machine, not a lab host: a VM made for the drill would fail"
                " on it, and cores may be kept busy; if you mean it, add --yes"
            )
        yield ThisMachine()
        return
    name = place.lab or DEFAULT_LAB
    if place.lab or name in Lab.list_names():
        lab = Lab.find(name)
        say(f"drilling on lab {name}, which is up")
        yield lab.host(place.host) if place.host else lab.hosts[0]
        return
    name = f"drill-{os.getpid()}"
    say(f"starting a lab of two hosts, {name}")
    lab = Lab.up(2, name=name)
    try:
        yield lab.host(place.host) if place.host else lab.hosts[0]
    finally:
        say("taking the lab away")
        lab.down()


@contextmanager
def _make_site(place: Place, say: Say) -> Iterator[Lab]:
    """A lab of bare hosts that lives as long as the drill: a site that is in use is not broken."""
    if place.lab or place.host:
        raise LabError("this drill breaks a whole site, and makes a lab of its own for it")
    name = f"drill-{os.getpid()}"
    say(f"starting a lab of {SITE_HOSTS} hosts, {name}")
    lab = Lab.up(SITE_HOSTS, name=name)
    try:
        yield lab
    finally:
        say("taking the lab away")
        lab.down()


@contextmanager
def _alone(host: Host) -> Iterator[None]:
    """Two drills at once would measure each other."""
    folder = STATE_FOLDER / host.lab
    path = folder / "drill.lock" if folder.is_dir() else Path("/run/holdfast-drill.lock")
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another drill runs on lab {host.lab}: wait for its end") from None
        yield


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """TERM ends a drill as Ctrl-C does, so that it cleans up."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
