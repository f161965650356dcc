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
from typing import Protocol

import msgspec

from holdfast.lab.commands import LabError
from holdfast.lab.drills.agent_killed import AgentKilledThenVmKilled
from holdfast.lab.drills.busy import busy_cores
from holdfast.lab.drills.figures import Result
from holdfast.lab.drills.machine import describe_machine, read_free_mib
from holdfast.lab.drills.many_vms import AgentIdle, VmsKilledTogether
from holdfast.lab.drills.one_vm import ROWS
from holdfast.lab.drills.scene import Choices, Scene
from holdfast.lab.drills.stage import Say, Stage
from holdfast.lab.drills.stopped_on_purpose import StoppedOnPurpose
from holdfast.lab.drills.this_machine import ThisMachine
from holdfast.lab.event_watch import EventWatch
from holdfast.lab.guest_image import build_guest_image
from holdfast.lab.hosts import STATE_FOLDER, Host, Lab

USUAL_LAB = "lab"
SPARE_MIB = 1_024


class Drill(Protocol):
    """One thing that is broken for real and measured."""

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def runs(self) -> int: ...

    def run(self, scene: Scene) -> Result: ...


DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        *ROWS,
        StoppedOnPurpose(),
        AgentKilledThenVmKilled(),
        VmsKilledTogether(),
        AgentIdle(),
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


def run_drill(drill: Drill, choices: Choices, place: Place, say: Say) -> Result:
    """Run a drill; raises LabError when it could not be run. Ctrl-C and TERM clean up too."""
    if choices.memory_mib and choices.memory_mib + SPARE_MIB > read_free_mib():
        raise LabError(
            f"a VM of {choices.memory_mib} MiB does not fit: {read_free_mib()} MiB are free here,"
            f" and {SPARE_MIB} of them must stay so"
        )
    began = time.monotonic()
    say("preparing the sample guest")
    build_guest_image()
    with _ended_by_term(), _find_host(place, say) as host, _alone(host):
        result = perform(drill, host, choices, say)
    return msgspec.structs.replace(
        result,
        machine=describe_machine(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - began, 1),
        command=" ".join(["holdfast drill", drill.name, *_spell(choices)]),
    )


def perform(drill: Drill, host: Host, choices: Choices, say: Say) -> Result:
    """Set the scene on a host, run the drill, and count what was lost or false."""
    with Stage(host, say) as stage, EventWatch(host) as events, busy_cores(host, choices.is_busy):
        scene = Scene(host, stage, events, choices, say)
        result = drill.run(scene)
        scene.judge()
        counts = stage.inbox.count()
        strange = stage.inbox.strange
        complaints = stage.read_complaints()
    if strange:
        scene.lost.append(f"{len(strange)} messages were not understood: {strange[0]}")
    if counts.gaps:
        scene.lost.append(f"{counts.gaps} messages never came: their numbers are missing")
    return msgspec.structs.replace(
        result,
        lost=len(scene.lost),
        false_alarms=len(scene.false_alarms),
        overran=tuple(scene.overran),
        gaps=counts.gaps,
        repeated=counts.repeated,
        is_busy=choices.is_busy,
        notes=(
            *result.notes,
            *scene.lost,
            *scene.false_alarms,
            *stage.notes,
            *complaints,
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
    name = place.lab or USUAL_LAB
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
