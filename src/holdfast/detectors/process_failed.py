"""A guarded process failed when it ended and nobody wanted that, or runs and does not serve.

A failure is said at once. An end that somebody may have wanted (a clean one, or by SIGTERM) waits
for the word of its service manager, or of its end mark.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from holdfast.facts.exits import spoken_exit
from holdfast.facts.instants import Instant, after, elapsed_ms, spoken
from holdfast.facts.observations import (
    Observation,
    ProcessAnswered,
    ProcessEnded,
    ProcessRan,
    ProcessSilent,
    ProcessWord,
)
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector

CONDITION = "process-failed"
WORD_WAIT_MS = 700
STEADY_MS = 1_000  # What ends again at once was not back.
START_LIMIT_MS = 30_000  # A service that says that it starts may take so long.
# Clean, SIGHUP, SIGINT, SIGTERM: so ends who is asked to.
CAN_BE_WANTED = (0, 1, 2, 15)


class _Process(Struct, kw_only=True):
    name: str
    pid: int = 0
    ticks: int = 0
    effect: Effect | None = None  # Of the fault that is raised.
    fault_at: Instant = Instant(0)
    ended_at: Instant | None = None  # It does not run since then, and no word was said yet.
    ended_how: str = ""
    due: Instant | None = None
    serves_since: Instant | None = None
    was_said: bool = False  # That it runs: an agent before this one may have raised a fault.


class ProcessFailed:
    def __init__(
        self,
        *,
        word_wait_ms: float = WORD_WAIT_MS,
        steady_ms: float = STEADY_MS,
        start_limit_ms: float = START_LIMIT_MS,
    ) -> None:
        self._word_wait_ms, self._steady_ms = word_wait_ms, steady_ms
        self._start_limit_ms = start_limit_ms
        self._processes: dict[str, _Process] = {}

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case ProcessRan():
                self._ran(self._of(seen.process), seen)
            case ProcessEnded():
                return list(self._ended(self._of(seen.process), seen))
            case ProcessWord():
                return list(self._word(self._of(seen.process), seen))
            case ProcessSilent():
                return list(self._silent(self._of(seen.process), seen))
            case ProcessAnswered():
                self._answered(self._of(seen.process), seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        due = [one for one in self._processes.values() if (at := one.due) and at <= now]
        return [verdict for one in due for verdict in self._overdue(one, now)]

    def deadline(self) -> Instant | None:
        dues = (one.due for one in self._processes.values())
        return min((due for due in dues if due is not None), default=None)

    def _of(self, name: str) -> _Process:
        return self._processes.setdefault(name, _Process(name=name))

    def _ran(self, one: _Process, seen: ProcessRan) -> None:
        one.pid, one.ticks = seen.pid, seen.started_ticks
        one.ended_at, one.due = None, None
        if not seen.has_probe:
            self._serves(one, seen.at)

    def _answered(self, one: _Process, seen: ProcessAnswered) -> None:
        if one.pid == seen.pid and one.serves_since is None:
            self._serves(one, seen.at)

    def _serves(self, one: _Process, at: Instant) -> None:
        one.serves_since = at
        if one.effect is not None or not one.was_said:
            one.due = after(at, self._steady_ms)

    def _ended(self, one: _Process, seen: ProcessEnded) -> Iterator[Verdict]:
        if seen.pid != one.pid:
            return
        one.pid, one.serves_since, one.due = 0, None, None
        how = "it ended" if seen.status is None else spoken_exit(seen.status)
        one.ended_at, one.ended_how = seen.at, how
        can_be_wanted = seen.status is None or seen.status in CAN_BE_WANTED
        if can_be_wanted and one.effect is None:
            one.due = after(seen.at, self._word_wait_ms)
            return
        yield from self._raise(one, Effect.GONE, Certainty.CERTAIN, seen.at, f"is gone: {how}")

    def _word(self, one: _Process, seen: ProcessWord) -> Iterator[Verdict]:
        if one.pid:
            return  # It runs by now: the word is of before.
        match seen.state:
            case "on purpose":
                one.due = None
                if one.effect is not None:
                    yield self._clear(one, seen.at, seen.reason, was_wrong=True)
            case "starting":
                if one.effect is None:
                    one.ended_at = one.ended_at or seen.at
                    one.due = after(one.ended_at, self._start_limit_ms)
            case "failed":
                yield from self._lost(one, seen.at, seen.reason)
            case _ if one.ended_at is None and one.effect is None:
                one.ended_at, one.ended_how = seen.at, seen.reason  # It may be about to start.
                one.due = after(seen.at, self._start_limit_ms)
            case _:
                pass  # Who restarts it without a service manager is given the time to do so.

    def _lost(self, one: _Process, now: Instant, reason: str) -> Iterator[Verdict]:
        at = one.ended_at or now
        how = ", ".join(dict.fromkeys(part for part in (one.ended_how, reason) if part))
        yield from self._raise(one, Effect.GONE, Certainty.CERTAIN, at, f"is gone: {how}", now)

    def _silent(self, one: _Process, seen: ProcessSilent) -> Iterator[Verdict]:
        if seen.pid != one.pid:
            return
        one.serves_since, one.due = None, None
        certainty = Certainty.CERTAIN if seen.is_stopped else Certainty.SUSPECTED
        text = f"runs and does not serve: {seen.why}"
        yield from self._raise(one, Effect.STUCK, certainty, seen.since, text, seen.at)

    def _overdue(self, one: _Process, now: Instant) -> Iterator[Verdict]:
        one.due = None
        if one.serves_since is not None:
            yield self._clear(one, now, f"{one.name} runs as process {one.pid}{self._away(one)}")
        elif one.ended_at is not None and one.effect is None:
            text = f"is gone: {one.ended_how}, and nothing says that somebody wanted that"
            yield from self._raise(one, Effect.GONE, Certainty.SUSPECTED, one.ended_at, text, now)

    def _away(self, one: _Process) -> str:
        if one.effect is None or one.serves_since is None:
            return ""
        return f" again, {spoken(elapsed_ms(one.fault_at, one.serves_since))} after the fault"

    def _raise(
        self,
        one: _Process,
        effect: Effect,
        certainty: Certainty,
        fault_at: Instant,
        text: str,
        now: Instant | None = None,
    ) -> Iterator[Verdict]:
        if one.effect is effect:
            return
        if one.effect is None:
            one.fault_at = fault_at
        one.effect, one.due = effect, None
        pid = {"pid": str(one.pid), "started_ticks": str(one.ticks)} if one.pid else {}
        yield FaultRaised(
            detector="process_failed",
            condition=CONDITION,
            subject=_subject(one),
            effect=effect,
            certainty=certainty,
            fault_at=one.fault_at,
            detected_at=now or fault_at,
            reason=f"{one.name} {text}",
            cause=text.partition(": ")[2],
            evidence=pid,
        )

    def _clear(
        self, one: _Process, at: Instant, reason: str, *, was_wrong: bool = False
    ) -> Verdict:
        one.effect, one.was_said = None, True
        return FaultCleared(
            detector="process_failed",
            condition=CONDITION,
            subject=_subject(one),
            at=at,
            reason=reason,
            was_wrong=was_wrong,
        )


def _subject(one: _Process) -> Subject:
    return Subject(kind=SubjectKind.PROCESS, id=one.name, name=one.name)


PLUGIN: type[Detector] = ProcessFailed
