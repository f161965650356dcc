"""The laws of moving VMs while they run, judged from the facts alone when an act is emitted."""

from collections import Counter
from dataclasses import dataclass, field

from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.actions import Migrate, PutMigration, TellEnds
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.migrations import End, Migration, MigrationStep
from holdfast.facts.site import SiteFact
from holdfast.facts.tenure import Tenure, TenureState, Wanted

AT_ONCE = 4
GONE = (End.NOTHING, End.DEAD)
HOLDS = {  # Of every pair of words that decides, who holds the VM from then on.
    (End.RUNS, End.NOTHING): MigrationStep.UNDONE,
    (End.RUNS, End.DEAD): MigrationStep.UNDONE,
    (End.NOTHING, End.RUNS): MigrationStep.DONE,
    (End.DEAD, End.RUNS): MigrationStep.DONE,
    (End.NOTHING, End.NOTHING): MigrationStep.UNDONE,
    (End.DEAD, End.NOTHING): MigrationStep.UNDONE,
    (End.DEAD, End.DEAD): MigrationStep.UNDONE,
    (End.NOTHING, End.DEAD): MigrationStep.DONE,
    (End.RUNS, End.RUNS): MigrationStep.IN_DOUBT,
}


@dataclass
class MigrationLaws:
    """What the store and both ends said, followed beside the policy."""

    _tenures: dict[str, Tenure] = field(default_factory=dict)
    _migrations: dict[str, Migration] = field(default_factory=dict)
    _fences: dict[str, Fence] = field(default_factory=dict)
    _drained: set[str] = field(default_factory=set)
    _predicted: set[str] = field(default_factory=set)
    _words: dict[tuple[str, int], tuple[End, End]] = field(default_factory=dict)
    _asked: dict[str, Migration] = field(default_factory=dict)  # The store has not answered.
    _told: set[tuple[str, int]] = field(default_factory=set)

    def follow(self, fact: SiteFact) -> None:
        match fact:
            case told.PromiseSet():
                self._tenures[fact.protection.vm] = fact.protection.tenure
            case told.MigrationSet():
                self._migrations[fact.migration.vm] = fact.migration
                self._asked.pop(fact.migration.vm, None)
            case told.FenceSet():
                self._fences[fact.fence.host] = fact.fence
            case told.DrainSet():
                self._drained.add(fact.drain.host)
            case told.DrainLifted():
                self._drained.discard(fact.host)
            case told.PredictionSet():
                self._predicted.add(fact.prediction.host)
            case told.PredictionLifted():
                self._predicted.discard(fact.host)
            case came.EndsLooked():
                self._words[fact.vm, fact.number] = fact.source, fact.target
            case _:
                pass

    def broken(self, action: PutMigration | Migrate | TellEnds, term: int) -> dict[str, bool]:
        one = action.migration
        known = self._migrations.get(one.vm)
        laws = {"no act for an earlier leader's migration": one.term != term}
        match action:
            case Migrate():
                is_told = (one.vm, one.number) in self._told
                self._told.add((one.vm, one.number))
                return {
                    **laws,
                    "nothing moves that is not committed": known != one,
                    "the ends are told once": is_told,
                    "what others began is left to them": one.is_found,
                }
            case TellEnds():
                return {**laws, "no end is told what is not committed": known != one}
            case PutMigration() if known is not None and known.number == one.number:
                return {**laws, **self._of_end(one, known)}
            case PutMigration():
                return {**laws, **self._of_begin(one, known)}

    def _of_begin(self, one: Migration, known: Migration | None) -> dict[str, bool]:
        tenure = self._tenures[one.vm]
        busy = Counter[str]()
        others = {vm: other for vm, other in self._migrations.items() if other.is_open}
        for vm, other in (others | self._asked).items():
            if vm != one.vm:
                busy.update((other.source, other.target))
        self._asked[one.vm] = one
        wanted = TenureState.MIGRATING if one.is_found else TenureState.HELD
        is_bound = not one.is_found
        return {
            "one migration of a VM at a time": known is not None and known.is_open,
            "what moves is held where it runs": tenure.state is not wanted
            or (tenure.host, tenure.boot) != (one.source, one.source_boot),
            "what is wanted stopped does not move": tenure.wanted is not Wanted.RUNNING,
            "one move from a host, and one to it": is_bound
            and bool(busy[one.source] or busy[one.target]),
            "few move at once": is_bound and sum(busy.values()) // 2 >= AT_ONCE,
            "nothing moves to a drained host": is_bound and one.target in self._drained,
            "nothing moves to one that will fail": is_bound and one.target in self._predicted,
        }

    def _of_end(self, one: Migration, known: Migration) -> dict[str, bool]:
        if one.step is known.step:
            return {}  # Another leader takes it over.
        words = self._words.get((one.vm, one.number), (End.UNKNOWN, End.UNKNOWN))
        ends = (one.source_end, one.target_end)
        is_said = all(
            end is word or (end is End.DEAD and self._is_proven(host, boot))
            for end, word, host, boot in zip(
                ends,
                words,
                (one.source, one.target),
                (self._tenures[one.vm].boot, one.target_boot),
                strict=True,
            )
        )
        return {
            "no end without a word or a proof of both": not is_said or ends not in HOLDS,
            "it ends as both ends say": HOLDS.get(ends) is not one.step,
        }

    def _is_proven(self, host: str, boot: str) -> bool:
        fence = self._fences.get(host)
        is_off = fence is not None and fence.step is FenceStep.OFF
        return is_off and fence is not None and boot in (fence.boot, *fence.earlier)
