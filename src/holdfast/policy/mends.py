"""What policy believes of the repairs of this host: those under way, and what came of others."""

from enum import StrEnum

from msgspec import Struct, field

from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.mending import RepairLadder, RepairStep, Tried
from holdfast.facts.verdicts import FaultRaised

HOUR_NS = 3_600_000 * NS_PER_MS


class MendStage(StrEnum):
    HELD = "held"  # Something holds it back, or what it needs is mended first.
    TRYING = "trying"  # A step is under way.
    VERIFYING = "verifying"  # A step was done: does the fault's detector say that it is over?
    HANDED_OVER = "handed over"


class Mend(Struct, kw_only=True):
    """One fault under repair. `fault` is its newest verdict, `due` when the VIM has it.

    `place` is that of the step in the ladder, -1 before the first; `number` counts the orders.
    """

    key: str
    fault: FaultRaised
    ladder: RepairLadder
    incident: str
    due: Instant
    stage: MendStage = MendStage.HELD
    place: int = -1
    number: int = 0
    step_due: Instant | None = None
    is_well: bool = False  # Its detector said so while the step was still under way.
    waits_for: str = ""
    tried: list[Tried] = field(default_factory=list)

    @property
    def step(self) -> RepairStep:
        return self.ladder.steps[self.place]

    def next_due(self) -> Instant | None:
        if self.stage is MendStage.HANDED_OVER:
            return None
        return self.due if self.step_due is None else min(self.due, self.step_due)


class Mends(Struct, kw_only=True):
    """`open` and `runs` by the keys of their alarms: these are the instants at which ladders were
    begun; `counts` what came of each step, by subject and step."""

    ladders: tuple[RepairLadder, ...] = ()
    open: dict[str, Mend] = field(default_factory=dict)
    runs: dict[str, list[Instant]] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def ladder_for(self, fault: FaultRaised) -> RepairLadder | None:
        """That of the very subject before one for any; one without steps only while what it needs
        is broken: it may come back with that."""
        fit = [
            one
            for one in self.ladders
            if one.condition == fault.condition
            and one.subject in ("", fault.subject.id)
            and fault.effect in one.effects
            and (not one.evidence or fault.evidence.get(one.evidence))
            and (one.steps or any(map(self.of_subject, one.needs)))
        ]
        return max(fit, key=lambda one: bool(one.subject), default=None)

    def of_subject(self, subject: str) -> Mend | None:
        return next((m for m in self.open.values() if m.fault.subject.id == subject), None)

    def runs_of(self, key: str, now: Instant) -> int:
        """Within the last hour; older ones are forgotten."""
        kept = [at for at in self.runs.get(key, ()) if now - at < HOUR_NS]
        if kept:
            self.runs[key] = kept
        else:
            self.runs.pop(key, None)
        return len(kept)

    def runs_of_all(self, now: Instant) -> int:
        return sum(self.runs_of(key, now) for key in list(self.runs))

    def count(self, mend: Mend, tried: Tried) -> None:
        mend.tried.append(tried)
        results = self.counts.setdefault(mend.fault.subject.id, {})
        what = f"{tried.step}: {tried.result}"
        results[what] = results.get(what, 0) + 1
