"""An executor in virtual time: what policy asks for takes as long as the real thing was seen to."""

import functools
from collections.abc import Callable

from holdfast.adapters.simulated.guarded import SimulatedProcesses
from holdfast.adapters.simulated.host import SimulatedHost
from holdfast.adapters.simulated.parts import SimulatedParts
from holdfast.adapters.simulated.vm import NO_DISK, SimulatedVm
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action
from holdfast.facts.alarms import Alarm
from holdfast.facts.hardware import is_part
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.outcomes import Outcome
from holdfast.facts.promises import AnswerKind
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof

PROVE_MS, PROVE_OVERRAN_MS = 3.0, 2_000.0
EVIDENCE_MS, LIVE_EVIDENCE_MS = 30.0, 300.0
END_FORCED_MS, START_MS = 5_000.0, 120.0
LOOK_AGAIN_MS, RUNNING_S = 1_000.0, 10.0
START_LIMIT_MS = 60_000.0
UNWANTED = {"failed", "crashed", "shutdown", "unknown", "booted"}  # libvirt's words for an end.


class SimulatedExecutor:
    """`hear` gives policy an outcome. What was asked before a restart of the agent is lost."""

    def __init__(
        self,
        host: SimulatedHost,
        hear: Callable[[Outcome], None],
        refusal: Callable[[act.RestartHere], str],
    ) -> None:
        self._host = host
        self._refusal = refusal
        self._hear = hear
        self._epoch = 0
        self._waiting: dict[str, int] = {}
        self.reported: list[Alarm] = []
        self.processes: SimulatedProcesses  # Set by a story that has any.
        self.parts: SimulatedParts

    def begin_anew(self) -> None:
        self._epoch += 1
        self._waiting.clear()

    def carry_out(self, action: Action) -> None:
        match action:
            case act.Report():
                self.reported.append(action.alarm)
            case act.CaptureLastWords():
                delay_ms = LIVE_EVIDENCE_MS if action.screenshot else EVIDENCE_MS
                bundle = f"{action.name}/{action.incident}"
                self._later(
                    delay_ms,
                    lambda: came.LastWordsCaptured(
                        incident=action.incident, at=self._host.now(), bundle=bundle
                    ),
                )
            case act.ProveGone():
                self._after(PROVE_MS, lambda: self._prove(action))
            case act.EndVm():
                self._end(action)
            case act.RestartHere():
                self._start(action)
            case act.AwaitAnswer():
                self._await_answer(action)
            case act.TryRepair():
                if is_part(action.subject):
                    self.parts.try_step(action)
                else:
                    self.processes.try_step(action)
            case act.LookAgain() if is_part(action.subject):
                self.parts.look_again(action)
            case _:
                pass

    def _after(self, delay_ms: float, what: Callable[[], None]) -> None:
        epoch = self._epoch
        self._host.later(delay_ms, lambda: what() if epoch == self._epoch else None)

    def _later(self, delay_ms: float, outcome: Callable[[], Outcome]) -> None:
        self._after(delay_ms, lambda: self._hear(outcome()))

    def _prove(self, asked: act.ProveGone) -> None:
        vm = self._host.by_uuid(asked.life.vm)
        if vm is not None and vm.life is not None:
            reason = f"its process {vm.life.pid} is still there"
            self._hear(self._not_proven(asked, reason))
        elif self._host.libvirt != "answers":
            reason = "libvirt does not answer"
            self._later(PROVE_OVERRAN_MS, lambda: self._not_proven(asked, reason))
        elif vm is not None and vm.libvirt_thinks != "shut off":
            vm.gone_after.append(self._in_this_epoch(lambda: self._hear(self._proof(asked, vm))))
        else:
            self._hear(self._proof(asked, vm))

    def _in_this_epoch(self, what: Callable[[], None]) -> Callable[[], None]:
        epoch = self._epoch
        return lambda: what() if epoch == self._epoch else None

    def _proof(self, asked: act.ProveGone, vm: SimulatedVm | None) -> Outcome:
        if vm is not None and vm.life is not None:
            return self._not_proven(asked, f"its process {vm.life.pid} is still there")
        at = self._host.now()
        proof = LocalProof(
            vm=asked.life.vm,
            boot=self._host.boot,
            incarnation=asked.life.key,
            shown=("no process with its uuid", "its cgroup is empty"),
            at=at,
        )
        is_wanted = vm is not None and vm.is_defined and vm.reason not in UNWANTED
        word = f"libvirt says {vm.reason}" if vm is not None and is_wanted else ""
        return came.GoneProven(incident=asked.incident, at=at, proof=proof, wanted=word)

    def _not_proven(self, asked: act.ProveGone, reason: str) -> Outcome:
        return came.GoneNotProven(incident=asked.incident, at=self._host.now(), reason=reason)

    def _end(self, asked: act.EndVm) -> None:
        vm = self._host.by_uuid(asked.life.vm)
        if vm is None or vm.life != asked.life:
            self._later(1, lambda: self._ended(asked))
            return
        if asked.is_forced:
            self._host.kill(vm.name)
            self._wait_end(asked, vm)
        elif vm.obeys_term:
            self._host.terminate(vm.name)
            self._wait_end(asked, vm)
        elif self._host.libvirt == "answers":
            self._host.destroy(vm.name)
            self._wait_end(asked, vm)
        else:
            self._host.later(END_FORCED_MS, lambda: self._force(asked.life, vm))
            self._after(END_FORCED_MS + 1, lambda: self._wait_end(asked, vm))

    def _force(self, life: Incarnation, vm: SimulatedVm) -> None:
        if vm.life == life:
            self._host.kill(vm.name)

    def _wait_end(self, asked: act.EndVm, vm: SimulatedVm) -> None:
        if vm.life == asked.life:
            self._after(20, lambda: self._wait_end(asked, vm))
        else:
            self._hear(self._ended(asked))

    def _ended(self, asked: act.EndVm) -> Outcome:
        return came.VmEnded(incident=asked.incident, at=self._host.now(), life=asked.life)

    def _start(self, asked: act.RestartHere) -> None:
        """What libvirt was told to start it starts, even if nobody waits for the outcome."""
        vm = self._host.by_uuid(asked.tenure.vm)
        refusal, is_final = "", False
        if vm is None or not vm.is_defined:
            refusal, is_final = "libvirt knows no VM with this uuid", True
        elif vm.fails_to_start:
            vm.fails_to_start -= 1
            refusal = "libvirt: cannot access storage file '/srv/web.img'"
        elif not self._host.has_room_for(vm) and not vm.runs:
            refusal = "libvirt: cannot set up guest memory 'pc.ram': Cannot allocate memory"
        elif asked.rebuild is not None and not vm.runs:
            refusal = vm.in_the_way(asked.rebuild.disks)
            if not refusal:
                vm.rebuild(asked.rebuild)
        elif vm.is_local and not vm.has_disk:
            refusal = NO_DISK
        if refusal or vm is None:
            self._later(START_MS, lambda: self._not_started(asked, refusal, is_final=is_final))
        else:
            epoch = self._epoch
            spawn = functools.partial(self._spawn, asked, vm, epoch)
            self._host.later(START_MS, lambda: self._host.when_it_runs(spawn))

    def _not_started(self, asked: act.RestartHere, reason: str, *, is_final: bool) -> Outcome:
        at = self._host.now()
        return came.StartFailed(incident=asked.incident, at=at, reason=reason, is_final=is_final)

    def _spawn(self, asked: act.RestartHere, vm: SimulatedVm, epoch: int) -> None:
        refusal = self._refusal(asked) if epoch == self._epoch else ""
        if refusal:
            self._hear(self._not_started(asked, refusal, is_final=False))
            return
        if self._host.libvirt != "answers":
            self._host.when_libvirt_answers(lambda: self._begin(asked, vm, epoch))
            self._later(START_LIMIT_MS, lambda: self._start_unknown(asked))
            return
        self._begin(asked, vm, epoch)

    def _start_unknown(self, asked: act.RestartHere) -> Outcome:
        reason = "libvirt has not said whether it starts it"
        return came.StartUnknown(incident=asked.incident, at=self._host.now(), reason=reason)

    def _begin(self, asked: act.RestartHere, vm: SimulatedVm, epoch: int) -> None:
        life = self._host.begin(vm.name, asked.tenure.generation)
        if epoch == self._epoch:
            incident, at = asked.incident, self._host.now()
            self._hear(came.VmStarted(incident=incident, at=at, life=life))

    def _await_answer(self, asked: act.AwaitAnswer) -> None:
        turn = self._waiting[asked.incident] = self._waiting.get(asked.incident, 0) + 1
        until = self._host.clock.now + asked.limit_ms * NS_PER_MS
        self._look_for_answer(asked, turn, until)

    def _look_for_answer(self, asked: act.AwaitAnswer, turn: int, until: int) -> None:
        vm = self._host.by_uuid(asked.life.vm)
        if self._waiting.get(asked.incident) != turn or vm is None or vm.life != asked.life:
            return
        now = self._host.clock.now
        said = _answer(asked, vm, now)
        if said is not None:
            how, verified = said
            self._hear(
                came.VmAnswered(
                    incident=asked.incident,
                    at=self._host.now(),
                    life=asked.life,
                    how=how,
                    verified=verified,
                )
            )
        elif now >= until:
            reason = f"it did not answer ({asked.answer}) within {asked.limit_ms // 1_000} s"
            self._hear(
                came.AnswerOverdue(
                    incident=asked.incident, at=self._host.now(), life=asked.life, reason=reason
                )
            )
        else:
            due_ms = (vm.began - now) / NS_PER_MS + vm.boot_ms
            wait_ms = due_ms if due_ms > 0 else LOOK_AGAIN_MS
            self._after(wait_ms, lambda: self._look_for_answer(asked, turn, until))


def _answer(asked: act.AwaitAnswer, vm: SimulatedVm, now: int) -> tuple[str, bool] | None:
    kind = asked.answer.kind
    if kind is AnswerKind.DEFAULT:
        kind = AnswerKind.AGENT if vm.has_agent else AnswerKind.RUNNING
    if kind is AnswerKind.RUNNING:
        seconds = float(asked.answer.value or RUNNING_S)
        has_run = now - vm.began >= seconds * 1_000 * NS_PER_MS and not vm.is_ending
        is_asked = asked.answer.kind is AnswerKind.RUNNING
        return (f"it has run for {seconds:g} s", is_asked) if has_run else None
    if not vm.serves(now):
        return None
    match kind:
        case AnswerKind.TCP:
            return f"port {asked.answer.value} accepts connections", True
        case AnswerKind.CONSOLE:
            return f"its console says {asked.answer.value!r}", True
        case _:
            return ("its guest agent answers", True) if vm.has_agent else None
