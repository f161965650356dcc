"""Drills that break one protected VM again and again: killed, panicked, stuck, watchdog, disk."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.facts.catalogue import BY_ID
from holdfast.lab.commands import LabError
from holdfast.lab.drills.answers import AnswerWatch, time_plain_start
from holdfast.lab.drills.figures import NS_PER_MS, Goal, Result, Spread, median
from holdfast.lab.drills.scene import AFTERMATH_S, Scene
from holdfast.lab.event_watch import Heard
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.problem_makers.disk_failed import BreakableDisk, fail_disk
from holdfast.lab.problem_makers.guest_panicked import panic_guest
from holdfast.lab.problem_makers.guest_stuck import starve_guest
from holdfast.lab.problem_makers.guest_watchdog import stop_petting_watchdog
from holdfast.lab.problem_makers.qemu_killed import kill_qemu

GUEST_NAME = "drill-vm"
EVENT_LIMIT_S = 15.0
ANSWER_LIMIT_S = 90.0
# A guest with much memory that is really touched takes so much longer to start, each GiB.
TOUCH_S_PER_GIB = 8.0
PUSHED_LIMIT_S = 5.0
GENEROUS = -10
# Guest agents are asked every 3 s, and one that was never heard is not judged.
HEARD_S = 4.0
MS_PER_S = 1_000
BIG_MIB = 1_024
REPORT_GOAL_MS = 1_000.0


@dataclass(frozen=True)
class OneVm:
    """How a VM is broken, what must arrive, and how it differs from the plain sample guest.

    `word` is QEMU's own event for the fault; where `is_timed_by_word`, the fault happens when
    QEMU says so (a watchdog that fires), not at the injection before it.
    """

    name: str
    about: str
    conditions: tuple[str, ...]
    inject: Callable[[Guest, BreakableDisk | None], int]
    runs: int = 20
    recovers: bool = True
    word: str = ""
    is_timed_by_word: bool = False
    settle_s: float = 0.0  # What Holdfast must have heard of the guest before it can judge it.
    has_peers: bool = False
    has_disk: bool = False
    plan: dict[str, Any] = field(default_factory=dict)

    @property
    def alarm_limit_s(self) -> float:
        """How long its alarm is waited for before it counts as lost."""
        periods = [BY_ID[one].period_s for one in self.conditions]
        return PUSHED_LIMIT_S + 3 * max(periods)

    @property
    def goal_ms(self) -> float:
        """H6: a second for what is pushed, its period for what is polled."""
        return max(BY_ID[one].period_s * MS_PER_S or REPORT_GOAL_MS for one in self.conditions)

    def run(self, scene: Scene) -> Result:
        """Break it as often as chosen, and say what was measured."""
        runs = scene.choices.runs or self.runs
        series = Series(self, scene)
        with series.prepare():
            for number in range(1, runs + 1):
                series.run_once(number, runs)
            time.sleep(AFTERMATH_S)
            scene.judge()
        return series.sum_up(runs)


class Series:
    """The runs of one drill on one guest."""

    def __init__(self, drill: OneVm, scene: Scene) -> None:
        """Nothing is measured yet."""
        self.drill, self.scene = drill, scene
        self.to_vim_ms: list[float] = []
        self.to_answering_ms: list[float] = []
        self.word_to_vim_ms: list[float] = []
        self.libvirt_ms: list[float] = []
        self.libvirt_ratios: list[float] = []
        self.plain_ms: list[float] = []
        self.restart_ratios: list[float] = []
        self.disk: BreakableDisk | None = None
        self.memory_mib = scene.choices.memory_mib or plan_guest("", "").memory_mib
        self.answer_limit_s = ANSWER_LIMIT_S + TOUCH_S_PER_GIB * self.memory_mib / 1024

    @contextmanager
    def prepare(self) -> Iterator[None]:
        """The guest, protected and answering; it and its disk are removed afterwards."""
        host, choices = self.scene.host, dict(self.drill.plan)
        if self.drill.has_disk:
            self.disk = BreakableDisk.serve(host, GUEST_NAME)
            choices["disk"] = self.disk.as_guest_disk()
        plan = plan_guest(
            host.lab,
            GUEST_NAME,
            memory_mib=self.memory_mib,
            has_touched_memory=self.memory_mib >= BIG_MIB,
            **choices,
        )
        try:
            self.guest = Guest.define(host, plan)
            try:
                self.scene.say(f"starting {GUEST_NAME} ({self.memory_mib} MiB)")
                self.guest.start()
                self.guest.wait_answer(self.answer_limit_s)
                self.scene.stage.protect(self.guest)
                self.scene.stage.wait_settled(self.guest)
                yield
            finally:
                self.guest.end()
        finally:
            if self.disk is not None:
                self.disk.end()

    def run_once(self, number: int, runs: int) -> None:
        """Break, wait for the alarm and the answer, measure the peers, make whole again."""
        drill, scene, guest = self.drill, self.scene, self.guest
        what = f"run {number} of {runs}"
        recovery_ms: float | None = None
        time.sleep(drill.settle_s)
        with AnswerWatch(guest, self.answer_limit_s + drill.alarm_limit_s) as answers:
            injected_ns = drill.inject(guest, self.disk)
            arrival = scene.wait_alarm(
                guest.plan.uuid, drill.conditions, injected_ns, drill.alarm_limit_s, what
            )
            word = self._hear_word(injected_ns)
            fault_ns = word.said_ns if word and drill.is_timed_by_word else injected_ns
            if arrival is not None:
                self.to_vim_ms.append((arrival.at_ns - fault_ns) / NS_PER_MS)
                if word is not None:
                    self.word_to_vim_ms.append((arrival.at_ns - word.said_ns) / NS_PER_MS)
                scene.say(f"{what}: reported after {self.to_vim_ms[-1]:.1f} ms")
                if drill.recovers:
                    recovery_ms = self._see_recovery(answers, fault_ns, what)
        if drill.has_peers and arrival is not None:
            self._hear_libvirt(injected_ns, arrival.at_ns)
        scene.judge()
        self._make_whole(what, recovery_ms)

    def _hear_word(self, injected_ns: int) -> Heard | None:
        return self._hear(self.drill.word, injected_ns) if self.drill.word else None

    def _hear(self, word: str, since_ns: int) -> Heard | None:
        try:
            return self.scene.events.wait(
                word, guest=GUEST_NAME, since_ns=since_ns, limit_s=EVENT_LIMIT_S
            )
        except LabError as error:
            self.scene.overrun(str(error))
            return None

    def _see_recovery(self, answers: AnswerWatch, fault_ns: int, what: str) -> float | None:
        answered_ns = answers.wait()
        if answered_ns is None:
            self.scene.overrun(f"{what}: the guest did not answer again")
            return None
        took_ms = (answered_ns - fault_ns) / NS_PER_MS
        self.to_answering_ms.append(took_ms)
        self.scene.say(f"{what}: answers again after {took_ms:.0f} ms")
        return took_ms

    def _hear_libvirt(self, injected_ns: int, arrived_ns: int) -> None:
        """When a plain subscriber of libvirt's events heard of the same fault."""
        heard = self._hear("stopped", injected_ns)
        if heard is not None:
            self.libvirt_ms.append((heard.at_ns - injected_ns) / NS_PER_MS)
            self.libvirt_ratios.append(
                (heard.at_ns - injected_ns) / max(1, arrived_ns - injected_ns)
            )

    def _make_whole(self, what: str, recovery_ms: float | None) -> None:
        """The guest runs, answers and is watched; where nobody else started it, we do."""
        if recovery_ms is not None:
            self._settle(what)
        if recovery_ms is None or self.drill.has_peers:
            self._start_plainly(what, recovery_ms)
            self._settle(what)

    def _start_plainly(self, what: str, recovery_ms: float | None) -> None:
        """A plain start of the same guest, to compare a recovery with; or only to have it run."""
        if self.disk is not None:
            self.disk.mend()
        if self.guest.state() != "shut off":
            self.guest.virsh("destroy")
        took_ms = time_plain_start(self.guest, self.answer_limit_s)
        if took_ms is None:
            raise LabError(f"{what}: a plain start did not bring the guest back")
        if recovery_ms is not None:
            self.plain_ms.append(took_ms)
            self.restart_ratios.append(recovery_ms / took_ms)
            self.scene.say(f"{what}: a plain start answers after {took_ms:.0f} ms")

    def _settle(self, what: str) -> None:
        try:
            self.scene.stage.wait_settled(self.guest)
        except LabError as error:
            self.scene.overrun(f"{what}: {error}")

    def sum_up(self, runs: int) -> Result:
        """The result, without what every drill has alike."""
        to_vim = Spread.of(self.to_vim_ms)
        peers: dict[str, Any] = {}
        if self.drill.has_peers:
            peers = {
                "libvirt_event_ms": Spread.of(self.libvirt_ms),
                "libvirt_event_ratio_median": median(self.libvirt_ratios),
                "plain_start_ms": Spread.of(self.plain_ms),
                "restart_ratio_median": median(self.restart_ratios),
            }
        figures = {}
        if self.drill.word:
            figures["qemu_word_to_vim_ms"] = Spread.of(self.word_to_vim_ms)
        return Result(
            drill=self.drill.name,
            runs=runs,
            lost=0,
            false_alarms=0,
            fault_to_vim_ms=to_vim,
            fault_to_answering_ms=Spread.of(self.to_answering_ms),
            peers=peers,
            figures=figures,
            goals=self._list_goals(to_vim, peers),
            vm_memory_mib=self.memory_mib,
        )

    def _list_goals(self, to_vim: Spread | None, peers: dict[str, Any]) -> tuple[Goal, ...]:
        p50, p99 = (to_vim.p50, to_vim.p99) if to_vim else (None, None)
        if not self.drill.has_peers:
            return (
                Goal(
                    what="reported, max",
                    limit=self.drill.goal_ms,
                    measured=to_vim.max if to_vim else None,
                ),
            )
        ratio = peers["libvirt_event_ratio_median"]
        faster = Goal(
            what="faster than libvirt's event", limit=10, unit="×", at_least=True, measured=ratio
        )
        if self.scene.choices.is_busy:
            return (Goal(what="reported, p99, every core busy", limit=150, measured=p99),)
        return (
            Goal(what="reported, p50", limit=10, measured=p50),
            Goal(what="reported, p99", limit=50, measured=p99),
            faster,
            Goal(
                what="restart against a plain start",
                limit=1.15,
                unit="×",
                measured=peers["restart_ratio_median"],
            ),
        )


def _starve(guest: Guest, _: BreakableDisk | None) -> int:
    """A guest that the host starves may not be called stuck: give it time before others."""
    pid = guest.qemu_pid()
    group = Path(f"/proc/{pid}/autogroup")  # Where the kernel has them, the nice of a session.
    if group.exists():
        group.write_text(str(GENEROUS))
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), GENEROUS)
    return starve_guest(guest)


def _fail_disk(guest: Guest, disk: BreakableDisk | None) -> int:
    assert disk is not None, "the drill has a disk"
    return fail_disk(guest, disk)


ROWS = (
    OneVm(
        name="vm-killed",
        about="the VM's QEMU is killed",
        conditions=("vm-gone",),
        inject=lambda guest, _: kill_qemu(guest),
        has_peers=True,
    ),
    OneVm(
        name="vm-panicked",
        about="the guest's kernel panics",
        conditions=("vm-panicked",),
        inject=lambda guest, _: panic_guest(guest),
        runs=5,
        word="GUEST_PANICKED",
    ),
    OneVm(
        name="vm-stuck",
        about="the guest's CPUs spin and nothing else runs in it",
        conditions=("vm-stuck",),
        inject=_starve,
        runs=3,
        settle_s=HEARD_S,
    ),
    OneVm(
        name="vm-watchdog",
        about="the guest's watchdog fires",
        conditions=("vm-watchdog-fired",),
        inject=lambda guest, _: stop_petting_watchdog(guest),
        runs=5,
        word="WATCHDOG",
        is_timed_by_word=True,
        plan={"watchdog_action": "pause"},
    ),
    OneVm(
        name="vm-io-error",
        about="the guest's disk returns errors",
        conditions=("vm-io-error",),
        inject=_fail_disk,
        runs=5,
        recovers=False,
        word="BLOCK_IO_ERROR",
        has_disk=True,
    ),
)
