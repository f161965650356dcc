"""A random site, people and faults on it, from one seed; its laws are checked at every step.

At the end all trouble stops, everything is mended and gets its time, and it must have ended well.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.simulation.controllers import SimulatedController
from tests.simulation.site_commands import open_stage, play
from tests.simulation.site_stage import SiteStage

TROUBLE = {
    "power-cut {host}": 6,
    "boot {host}": 8,
    "panic {host}": 1,
    "panic {host} gasps=no": 1,
    "freeze {host}": 3,
    "freeze {host} kernel=dead": 1,
    "resume {host}": 6,
    "shut-down {host}": 1,
    "starve {host} lag=30": 1,
    "starve {host} lag=400": 1,
    "starve {host} lag=0": 3,
    "kill-agent {host}": 3,
    "start-agent {host}": 4,
    "restart-agent {host}": 2,
    "kill-pulse {host}": 1,
    "start-pulse {host}": 2,
    "restart-pulse {host}": 2,
    "kill-controller {controller}": 3,
    "start-controller {controller}": 5,
    "freeze-controller {controller}": 2,
    "resume-controller {controller}": 5,
    "cut plane=a from={host} to={other}": 2,
    "cut plane=b from={host} to={other}": 2,
    "isolate {host}": 3,
    "isolate {host} plane=a": 1,
    "isolate {host} plane=b": 2,
    "split {two}": 2,
    "split {three}": 1,
    "mend": 8,
    "weather loss=0.05": 1,
    "weather twice=0.3 jitter=120": 1,
    "weather delay=60 jitter=30": 1,
    "weather plane=a loss=0.7": 1,
    "store stall {controller}": 1,
    "store stall {members}": 1,
    "store kill {members}": 1,
    "store lose-answers {controller}": 1,
    "store well": 4,
    "vim away": 1,
    "vim slow=300": 1,
    "vim back": 3,
    "clock {host} step=-3600": 1,
    "clock {host} step=40": 1,
    "kill {vm}": 5,
    "start {vm}": 4,
}
PAUSES = ("0 ms", "3 ms", "30 ms", "150 ms", "400 ms", "1 s", "2 s", "4 s")
LONG_PAUSES = ("10 s", "16 s", "40 s")
TRIES = 6  # Much of what is drawn is not possible just then.

AT_REST_MS = 6_000.0  # Trouble may come before everybody is settled.


class SiteSwarm:
    """`script` is the story so far, so that a failure can be played by hand."""

    more = ""  # Of the line that opens the site.

    def __init__(
        self,
        seed: int,
        *,
        trouble: dict[str, int] | None = None,
        pauses: Sequence[str] = PAUSES,
        make_controller: Callable[..., SimulatedController] = SimulatedController,
        **parts: Any,
    ) -> None:
        self.rng = random.Random(seed)
        self.script: list[str] = []
        self._trouble, self._pauses = trouble or TROUBLE, pauses
        hosts, controllers = self.rng.choice(((3, 3), (4, 3), (5, 3), (3, 1), (4, 1)))
        racks = self.rng.choice(("", " racks=2"))
        self._open = f"site hosts={hosts} controllers={controllers}{racks}{self.more}"
        self._parts = {
            "seed": seed,
            "at_rest_ms": AT_REST_MS,
            "make_controller": make_controller,
            **parts,
        }
        self.stage: SiteStage

    def run(self, turns: int = 14) -> None:
        """Raises AssertionError (LawBroken) with the story that led to it."""
        self.script.append(self._open)
        self.stage = open_stage(self._open, **self._parts)
        try:
            for host in self.stage.site.hosts:
                self._do(f"vm vm-{host} on={host}")
            self._do("advance 3 s")
            self._prepare()
            for _ in range(turns):
                self._cause_trouble()
            self._set_right()
            self._judge_end()
        except Exception as failure:
            story = "\n".join(self.script)
            raise AssertionError(f"{failure}\nafter this story:\n{story}") from failure
        finally:
            self.stage.end()

    def _prepare(self) -> None:
        """What people have said before any trouble comes."""

    def _judge_end(self) -> None:
        """Raises LawBroken."""
        self.stage.laws.at_the_end()

    def _do(self, line: str) -> None:
        self.script.append(line)
        play(self.stage, line)

    def _cause_trouble(self) -> None:
        for _ in range(TRIES):
            pattern = self.rng.choices(list(self._trouble), list(self._trouble.values()))[0]
            line = self._fill(pattern)
            if self._is_possible(line):
                self._do(line)
                break
        pauses = LONG_PAUSES if self.rng.random() < 0.12 else self._pauses
        self._do(f"advance {self.rng.choice(pauses)}")

    def _fill(self, pattern: str) -> str:
        rng, site = self.rng, self.stage.site
        hosts, controllers = list(site.hosts), list(site.controllers)
        host, other = rng.sample(hosts, 2)
        everybody = site.everybody()
        rng.shuffle(everybody)
        one, two = sorted(rng.sample(range(1, len(everybody)), 2))
        parts = (everybody[:one], everybody[one:two], everybody[two:])
        return pattern.format(
            host=host,
            other=other,
            controller=rng.choice(controllers),
            vm=f"vm-{host}",
            members=" ".join(rng.sample(controllers, min(2, len(controllers)))),
            two=f"{','.join(everybody[:two])} {','.join(everybody[two:])}",
            three=" ".join(",".join(part) for part in parts),
        )

    def _is_possible(self, line: str) -> bool:
        """What cannot happen now does not: nobody boots who runs, or ends what has ended."""
        name, *words = line.split()
        if name == "mend":
            return not self.stage.site.network.is_whole
        host = self.stage.site.hosts.get(words[0]) if words else None
        if name in ("kill", "start"):
            return self._vm_can(name, words[0])
        if host is None:
            return True
        machine = host.machine
        if name == "boot":
            return not machine.is_up
        if not machine.is_up:
            return False
        return {
            "power-cut": True,
            "panic": not machine.is_frozen,
            "freeze": not machine.is_frozen,
            "resume": machine.is_frozen,
            "shut-down": not machine.is_frozen,
            "kill-agent": machine.runs("agent"),
            "restart-agent": machine.can_run("agent"),
            "start-agent": not machine.runs("agent") and not machine.is_frozen,
            "kill-pulse": host.pulse.is_running,
            "start-pulse": not host.pulse.is_running and not machine.is_frozen,
            "restart-pulse": host.pulse.is_running and not machine.is_frozen,
            "kill-controller": machine.runs("controller"),
            "start-controller": not machine.runs("controller") and not machine.is_frozen,
            "freeze-controller": machine.runs("controller") and machine.runs("ear"),
            "resume-controller": any(loop.is_frozen for loop in machine.loops.values())
            and not machine.is_frozen,
            "starve": not machine.is_frozen,
        }.get(name, True)

    def _vm_can(self, name: str, vm: str) -> bool:
        machine = self.stage.site.host_of(vm).machine
        one = machine.vms.vms[vm]
        if not machine.is_up or machine.is_frozen:
            return False
        return not one.runs if name == "start" else one.runs and not one.is_ending

    def _set_right(self) -> None:
        """Everything that was broken is mended, and everybody gets the time that it needs."""
        self._mend()
        self._begin_all()
        for host in self.stage.site.hosts.values():
            for vm in host.machine.vms.vms.values():
                if not vm.runs:
                    self._do(f"start {vm.name}")
        self._do("advance 18 s")  # A new leader takes over what is over after 12 s.

    def _mend(self) -> None:
        for line in ("mend", "store well", "vim back"):
            self._do(line)
        for name, host in self.stage.site.hosts.items():
            self._do(f"starve {name} lag=0")
            if host.machine.is_frozen:
                self._do(f"resume {name}")
        self._do("advance 3 s")  # Who was told to stop has stopped by now.

    def _begin_all(self) -> None:
        for name in self.stage.site.hosts:
            self._begin_machine(name)
        self._do("advance 3 s")
        for name in self.stage.site.hosts:
            self._begin_processes(name)
        self._do("advance 9 s")

    def _begin_machine(self, name: str) -> None:
        machine = self.stage.site.hosts[name].machine
        if not machine.is_up:
            self._do(f"boot {name}")
        stopped = [loop for loop in machine.loops.values() if loop.is_frozen]
        if stopped and machine.runs("controller"):
            self._do(f"resume-controller {name}")

    def _begin_processes(self, name: str) -> None:
        site = self.stage.site
        host = site.hosts[name]
        if not host.pulse.is_running:
            self._do(f"start-pulse {name}")
        if not host.machine.runs("agent"):
            self._do(f"start-agent {name}")
        if name in site.controllers and not host.machine.runs("controller"):
            self._do(f"start-controller {name}")
