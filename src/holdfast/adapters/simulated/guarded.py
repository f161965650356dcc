"""Guarded processes in memory: killed, frozen and stopped, and begun again by a step."""

from collections.abc import Callable

from holdfast.facts.actions import TryRepair
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.observations import (
    Observation,
    ProcessEnded,
    ProcessRan,
    ProcessSilent,
    ProcessWord,
)
from holdfast.facts.outcomes import Outcome, StepDone, StepFailed
from holdfast.facts.subjects import SubjectKind

FROZEN_MS, WORD_MS, STEP_MS = 450.0, 20.0, 80.0
SIGKILL, SIGTERM = 9, 15


class SimulatedProcesses:
    """`restart` is what a step does: mends, fails, hangs, or does-nothing, and says that it did."""

    def __init__(
        self,
        later: Callable[[float, Callable[[], None]], None],
        now: Callable[[], Instant],
        see: Callable[[Observation], None],
        hear: Callable[[Outcome], None],
    ) -> None:
        self._later, self._now, self._see, self._hear = later, now, see, hear
        self.restart = "mends"
        self._pids: dict[str, int] = {}
        self._newest = 500

    def begin(self, name: str) -> None:
        self._newest += 1
        self._pids[name] = self._newest
        ran = ProcessRan(at=self._now(), process=name, pid=self._newest, started_ticks=self._newest)
        self._see(ran)

    def kill(self, name: str) -> None:
        self._end(name, SIGKILL)
        self._later(WORD_MS, lambda: self._say(name, "failed", f"{name}.service failed (signal)"))

    def stop(self, name: str) -> None:
        """A person stops it."""
        self._end(name, SIGTERM)
        word = f"{name}.service was stopped"
        self._later(WORD_MS, lambda: self._say(name, "on purpose", word))

    def freeze(self, name: str) -> None:
        since, pid = self._now(), self._pids[name]
        self._later(FROZEN_MS, lambda: self._silent(name, pid, since))

    def try_step(self, asked: TryRepair) -> None:
        """It takes a while, or until its limit."""
        hangs = self.restart == "hangs"
        self._later(asked.limit_ms if hangs else STEP_MS, lambda: self._did(asked))

    def _did(self, asked: TryRepair) -> None:
        name = asked.subject.id
        is_process = asked.subject.kind is SubjectKind.PROCESS  # What else there is, stories show.
        if self.restart == "mends" and is_process:
            if name in self._pids:
                self._end(name, SIGKILL)
            self.begin(name)
        number, at = asked.number, self._now()
        if self.restart in ("fails", "hangs"):
            overran = self.restart == "hangs"
            limit_s = asked.limit_ms * NS_PER_MS / 1_000_000_000
            reason = f"it was ended after {limit_s:g} s" if overran else "the disk is full"
            self._hear(
                StepFailed(
                    incident=asked.incident,
                    at=at,
                    key=asked.key,
                    number=number,
                    reason=reason,
                    overran=overran,
                )
            )
            return
        said = f"systemctl restart {name}.service" if is_process else asked.step.says
        done = StepDone(incident=asked.incident, at=at, key=asked.key, number=number, said=said)
        self._hear(done)

    def _end(self, name: str, status: int) -> None:
        pid = self._pids.pop(name)
        self._see(ProcessEnded(at=self._now(), process=name, pid=pid, status=status))

    def _say(self, name: str, state: str, reason: str) -> None:
        self._see(ProcessWord(at=self._now(), process=name, state=state, reason=reason))

    def _silent(self, name: str, pid: int, since: Instant) -> None:
        if self._pids.get(name) != pid:
            return
        why = "its process is stopped, and has used no CPU since"
        self._see(
            ProcessSilent(
                at=self._now(),
                process=name,
                pid=pid,
                started_ticks=pid,
                since=since,
                why=why,
                is_stopped=True,
            )
        )
