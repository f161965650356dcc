"""A VM ends, pauses or reboots in every way that somebody may want: no alarm may arrive."""

import time
from dataclasses import dataclass

from holdfast.lab.commands import LabError
from holdfast.lab.drills.answers import time_plain_start
from holdfast.lab.drills.figures import Goal, Result
from holdfast.lab.drills.scene import Scene
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.hosts import Host, Lab
from holdfast.lab.problem_makers.stopped_on_purpose import WAYS, choose_target

GUEST_NAME = "drill-stopped"
SILENT_S = 3.0
ANSWER_LIMIT_S = 90.0
END_LIMIT_S = 20.0
POLL_S = 0.1
ENDS = {"guest-power-off", "shutdown-acpi", "shutdown-agent", "destroy", "managedsave"}


@dataclass(frozen=True)
class StoppedOnPurpose:
    """Each run is all ways, one after the other; `ways` can be fewer in a quick test."""

    name: str = "vm-stopped-on-purpose"
    about: str = "the VM is stopped in every wanted way: nothing may be said"
    runs: int = 1
    ways: tuple[str, ...] = tuple(WAYS)

    def run(self, scene: Scene) -> Result:
        """Try every way as often as chosen."""
        runs = scene.choices.runs or self.runs
        guest = Guest.define(scene.host, plan_guest(scene.host.lab, GUEST_NAME))
        tried, notes = 0, []
        try:
            guest.start()
            guest.wait_answer(ANSWER_LIMIT_S)
            scene.stage.protect(guest)
            scene.stage.wait_settled(guest)
            for way in [way for _ in range(runs) for way in self.ways]:
                if way == "migrate" and not has_target(guest.host):
                    notes.append("migrate was not tried: the lab has one host")
                    continue
                try_way(scene, guest, way)
                tried += 1
        finally:
            guest.end()
        return Result(
            drill=self.name,
            runs=tried,
            lost=0,
            false_alarms=0,
            goals=(
                Goal(
                    what="alarms after wanted stops",
                    limit=0,
                    unit="",
                    measured=len(scene.false_alarms),
                ),
            ),
            figures={"ways": [way for way in self.ways if way != "migrate" or not notes]},
            notes=tuple(dict.fromkeys(notes)),
            vm_memory_mib=guest.plan.memory_mib,
        )


def try_way(scene: Scene, guest: Guest, way: str) -> None:
    """Stop the guest in one way, listen, and bring it back."""
    WAYS[way](guest)
    if way in ENDS:
        wait_shut_off(scene, guest, way)
    scene.stage.inbox.wait(
        lambda one: one.is_raised, since_ns=time.monotonic_ns(), limit_s=SILENT_S
    )
    before = len(scene.false_alarms)
    scene.judge()
    said = "silent, as wanted" if len(scene.false_alarms) == before else "ALARM"
    scene.say(f"{way}: {said}")
    bring_back(guest, way)
    scene.stage.wait_settled(guest)
    scene.judge()


def wait_shut_off(scene: Scene, guest: Guest, way: str) -> None:
    """Some ways only ask; the end itself comes a little later."""
    deadline = time.monotonic() + END_LIMIT_S
    while guest.state() != "shut off":
        if time.monotonic() > deadline:
            scene.overrun(f"{way}: the guest did not stop")
            return
        time.sleep(POLL_S)


def bring_back(guest: Guest, way: str) -> None:
    """The guest runs and answers on its own host again; raises LabError if it does not."""
    if way == "migrate":
        Guest(choose_target(guest.host), guest.plan).end()
        Guest.define(guest.host, guest.plan)
    if guest.state() == "shut off":
        if time_plain_start(guest, ANSWER_LIMIT_S) is None:
            raise LabError(f"after {way} the guest did not start")
    else:
        guest.wait_answer(ANSWER_LIMIT_S)


def has_target(host: Host) -> bool:
    """Whether the host's lab has another host with power."""
    try:
        return any(one != host and one.is_powered_on for one in Lab.find(host.lab).hosts)
    except LabError:
        return False
