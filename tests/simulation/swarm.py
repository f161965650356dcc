"""A random world: a few VMs, people and faults on the stage of the stories, from one seed.

The laws of policy are checked at every step. At the end all trouble stops, a person sets things
right, time passes, and it must have ended well: nothing lost, nothing done twice.
"""

import random

from holdfast.facts.actions import Action, Report
from holdfast.facts.alarms import AlarmState
from holdfast.facts.incidents import IncidentState
from holdfast.facts.tenure import Wanted
from holdfast.facts.verdicts import Effect, FaultRaised
from holdfast.policy.decide import Input
from holdfast.policy.vm_states import VmState
from tests.stories.commands import play
from tests.stories.stage import Stage

VMS = ("a", "b", "c")
TROUBLE = {
    "kill {vm}": 8,
    "segv {vm}": 2,
    "terminate {vm}": 3,
    "poweroff-inside {vm}": 2,
    "destroy {vm}": 3,
    "save {vm}": 1,
    "migrate-away {vm}": 1,
    "panic {vm}": 2,
    "hang {vm}": 2,
    "come-back {vm}": 2,
    "reset-inside {vm}": 1,
    "suspend {vm}": 1,
    "resume {vm}": 1,
    "watchdog {vm} action=reset": 1,
    "watchdog {vm} action=pause": 1,
    "crash-dump {vm} takes=30000": 1,
    "io-error {vm}": 1,
    "start {vm}": 3,
    "break-start {vm} times=2": 2,
    "break-boot {vm} times=2": 2,
    "mute {vm}": 1,
    "unmute {vm}": 2,
    "freeze-libvirt": 2,
    "kill-libvirt": 1,
    "thaw-libvirt": 3,
    "kill-agent": 2,
    "start-agent": 4,
    "power-cut": 1,
    "disarm reason=maintenance minutes=2": 1,
    "arm": 1,
    "recover {vm}": 2,
    "settle {vm}": 1,
    "unprotect {vm}": 1,
    "protect {vm}": 2,
    "group gold owner=external": 1,
    "group gold owner=holdfast": 2,
}
PAUSES = ("0 ms", "1 ms", "30 ms", "200 ms", "700 ms", "2 s", "7 s", "20 s", "90 s", "400 s")


class Swarm:
    """`script` is the story so far, so that a failure can be played by hand."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.script: list[str] = []
        self.stage = Stage(self._heard)
        self.failures: set[str] = set()
        self.reported: set[str] = set()

    def run(self, turns: int = 25) -> None:
        """Raises AssertionError (LawBroken) with the story that led to it."""
        try:
            self._begin()
            for _ in range(turns):
                self._trouble()
            self._set_right()
            self._judge()
        except Exception as failure:
            story = "\n".join(self.script)
            raise AssertionError(f"{failure}\nafter this story:\n{story}") from failure

    def _do(self, line: str) -> None:
        self.script.append(line)
        play(self.stage, line)

    def _begin(self) -> None:
        self._do("host")
        self._do("group gold restarts=3")
        self._do("vm a protected group=gold answers=agent memory=4")
        self._do("vm b protected group=gold agent=no answers=running:5")
        self._do("vm c")

    def _trouble(self) -> None:
        line = self.rng.choices(list(TROUBLE), list(TROUBLE.values()))[0]
        self._try(line.format(vm=self.rng.choice(VMS)))
        self._do(f"advance {self.rng.choice(PAUSES)}")

    def _try(self, line: str) -> None:
        """What cannot happen now does not: no guest acts that is not there, no agent is told."""
        name, *rest = line.split()
        host, is_up = self.stage.host, self.stage.is_agent_up
        vm = host.vms.get(rest[0]) if rest else None
        needs_guest = name not in _NO_GUEST and vm is not None
        if not host.is_up:
            line, name = "boot", "boot"
        elif (needs_guest and vm is not None and (vm.life is None or vm.is_ending)) or (
            (name in _NEEDS_LIBVIRT and host.libvirt != "answers")
            or (name in _NEEDS_AGENT and not is_up)
            or (name == "start-agent" and is_up)
            or (name == "kill-agent" and not is_up)
            or (name == "thaw-libvirt" and host.libvirt == "answers")
            or (name in ("freeze-libvirt", "kill-libvirt") and host.libvirt != "answers")
            or (name == "start" and vm is not None and vm.life is not None)
        ):
            return
        if name == "settle" and vm is not None and vm.uuid not in self.stage.world.vms:
            return
        if name == "power-cut" and not is_up:
            return
        self._do(line)

    def _set_right(self) -> None:
        """Everything that was broken is mended, and everybody goes home but a patient operator."""
        host = self.stage.host
        if not host.is_up:
            self._do("boot")
        if host.libvirt != "answers":
            self._do("thaw-libvirt")
        if not self.stage.is_agent_up:
            self._do("start-agent")
        for name in VMS:
            self._do(f"unmute {name}")
            self._do(f"break-start {name} times=0")
            self._do(f"break-boot {name} times=0")
        self._do("arm")
        self._do("group gold owner=holdfast restarts=3")
        for name in VMS:
            if self.stage.record(name).protection is not None:
                self._do(f"grant {name}")
        self._do("advance 13 min")
        for name in VMS:
            vm, record = host.vms[name], self.stage.record(name)
            if vm.life is not None and (vm.is_stuck or vm.is_paused):
                self._do(f"reset-inside {name}")
                self._do(f"resume {name}")
            if vm.life is None and not record.protection and record.incident:
                self._do(f"start {name}")
            if record.state is VmState.HANDED_OVER:
                self._do(f"recover {name}")
        self._do("advance 8 min")

    def _judge(self) -> None:
        world = self.stage.world
        for name in VMS:
            vm, record = self.stage.host.vms[name], self.stage.record(name)
            tenure = record.protection.tenure if record.protection else None
            if tenure and tenure.wanted is Wanted.STOPPED:
                assert vm.life is None, f"{name} runs although it is wanted stopped"
            elif tenure and tenure.state == "held":
                assert vm.life is not None, f"{name} does not run: it {record.state}"
            assert not record.incident, f"the incident of {name} is open: it {record.state}"
            is_running = record.state is VmState.RUNNING
            assert is_running == (vm.life is not None), f"{name}: {record.state}, {vm.life}"
            assert not vm.runs or record.life == vm.life, f"{name} is believed to be another life"
        open_ones = [i.id for i in world.incidents.values() if i.state is IncidentState.OPEN]
        assert not open_ones, f"open incidents: {open_ones}"
        assert not world.alarms, f"open alarms: {list(world.alarms)}"
        assert self.stage.lawful.deadline() is None, "somebody waits for nothing"
        assert self.failures <= self.reported, f"not reported: {self.failures - self.reported}"

    def _heard(self, fact: Input, actions: list[Action]) -> None:
        """Every life that failed is reported, whatever else is going on."""
        if isinstance(fact, FaultRaised) and fact.life is not None:
            is_ours = any(
                record.ended_by_us == fact.life.key for record in self.stage.world.vms.values()
            )
            if fact.effect is Effect.GONE and not is_ours:
                self.failures.add(fact.life.key)
        for action in actions:
            if isinstance(action, Report) and action.alarm.state is not AlarmState.CLEARED:
                incident = self.stage.world.incidents.get(action.alarm.incident)
                self.reported.add(action.alarm.key.split(":")[0])
                self.reported |= {incident.life.key} if incident and incident.life else set()


_NO_GUEST = {
    "start", "break-start", "break-boot", "mute", "unmute", "recover", "settle", "unprotect",
    "protect", "group", "come-back",
}  # fmt: skip
_NEEDS_LIBVIRT = {"destroy", "save", "migrate-away", "suspend", "resume", "start"}
_NEEDS_AGENT = {"disarm", "arm", "recover", "settle", "unprotect", "protect", "group"}
