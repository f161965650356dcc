"""The laws of acting on hosts, judged from the facts alone when an act is emitted."""

from dataclasses import dataclass, field

from holdfast.facts import site as told
from holdfast.facts.actions import (
    Action,
    Migrate,
    PutFence,
    PutMigration,
    PutRecovery,
    RestartElsewhere,
    SwitchOff,
    TakeBack,
    TellEnds,
)
from holdfast.facts.commands import Armed, Disarmed
from holdfast.facts.fencing import Fence, FenceStep, HostMode
from holdfast.facts.outcomes import GivenBack, SwitchedOff
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.site import SiteFact
from holdfast.facts.tenure import DeathProof, ProofKind, Tenure, TenureState
from holdfast.facts.verdicts import HostHeard
from tests.policy.migration_laws import MigrationLaws


@dataclass
class ActingLaws:
    """What the store and people said, followed beside the policy."""

    term: int = 0
    acts: int = 0
    _modes: dict[str, HostMode] = field(default_factory=dict)
    _tenures: dict[str, Tenure] = field(default_factory=dict)
    _fences: dict[str, Fence] = field(default_factory=dict)
    _recoveries: dict[str, Recovery] = field(default_factory=dict)
    _read_off: dict[tuple[str, int], DeathProof] = field(default_factory=dict)
    _given_back: set[tuple[str, int]] = field(default_factory=set)
    _is_disarmed: bool = False
    _told_boots: dict[str, str] = field(default_factory=dict)  # Of which an agent said what runs.
    moves: MigrationLaws = field(default_factory=MigrationLaws)

    def follow(self, fact: SiteFact) -> None:
        self.moves.follow(fact)
        self._follow_boots(fact)
        match fact:
            case told.SiteBegan():
                self.term = 0
            case told.LeadChanged():
                self.term = fact.term
            case told.HostModeSet():
                self._modes[fact.host] = fact.mode
            case told.PromiseSet():
                self._tenures[fact.protection.vm] = fact.protection.tenure
            case told.FenceSet():
                self._fences[fact.fence.host] = fact.fence
            case told.RecoverySet():
                self._recoveries[fact.recovery.vm] = fact.recovery
            case Disarmed():
                self._is_disarmed = True
            case Armed():
                self._is_disarmed = False
            case SwitchedOff():
                self._read_off[fact.host, fact.number] = fact.proof
            case GivenBack():
                self._given_back.add((fact.vm, fact.generation))
            case _:
                pass

    def _follow_boots(self, fact: SiteFact) -> None:
        match fact:
            case told.VmsSet():
                self._told_boots[fact.host] = fact.boot
            case HostHeard() if fact.boot != self._told_boots.get(fact.subject.id):
                self._told_boots.pop(fact.subject.id, None)
            case _:
                pass

    def is_proven(self, host: str) -> bool:
        fence = self._fences.get(host)
        return fence is not None and fence.step is FenceStep.OFF

    def is_replaced(self, vm: str, boot: str) -> bool:
        """Whether another host holds the VM by a committed proof about that boot."""
        known = self._recoveries.get(vm)
        return known is not None and boot in (known.proof.boot, *known.proof.earlier)

    def broken(self, action: Action) -> list[str]:
        """The laws that this act breaks."""
        match action:
            case SwitchOff():
                laws = self._of_power(action.fence)
            case PutFence():
                laws = self._of_fence(action.fence)
            case PutRecovery():
                laws = self._of_recovery(action.recovery)
            case RestartElsewhere():
                laws = self._of_start(action)
            case TakeBack():
                laws = {}
            case PutMigration() | Migrate() | TellEnds():
                laws = self.moves.broken(action, self.term)
            case _:
                return []
        self.acts += 1
        laws["only a leader acts"] = not self.term
        return [law for law, is_broken in laws.items() if is_broken]

    def _of_power(self, fence: Fence) -> dict[str, bool]:
        known = self._fences.get(fence.host)
        return {
            "no power action while disarmed": self._is_disarmed,
            "no power action in report mode": self._modes.get(fence.host) is not HostMode.ACT,
            "no power action without a committed intent": known != fence
            or fence.step is not FenceStep.INTENDED,
            "no power action for an earlier leader's intent": fence.term != self.term,
            "no power action on a proof that is doubted": bool(fence.doubt),
            "no power action for a boot that is over": self._is_over(fence),
        }

    def _of_fence(self, fence: Fence) -> dict[str, bool]:
        known = self._fences.get(fence.host)
        is_same = known is not None and known.number == fence.number
        read_off = self._read_off.get((fence.host, fence.number))
        return {
            "no intent while disarmed": not is_same and self._is_disarmed,
            "no intent in report mode": not is_same
            and self._modes.get(fence.host) is not HostMode.ACT,
            "what is proven was read back": fence.step is FenceStep.OFF
            and not self.is_proven(fence.host)
            and (read_off is None or fence.proof != read_off),
            "a committed intent stays": known is not None
            and known.step is FenceStep.INTENDED
            and (not is_same or fence.step is FenceStep.CLOSED)
            and not (fence.step is FenceStep.CLOSED and self._may_drop(known)),
        }

    def _may_drop(self, known: Fence) -> bool:
        """In doubt; or nothing is proven yet, and no power was touched, or another boot runs."""
        is_proven = (known.host, known.number) in self._read_off
        may_be_left = known.is_lease or self._is_over(known)
        return bool(known.doubt) or (may_be_left and not is_proven)

    def _is_over(self, fence: Fence) -> bool:
        return self._told_boots.get(fence.host, "") not in ("", fence.boot, *fence.earlier)

    def _of_recovery(self, one: Recovery) -> dict[str, bool]:
        tenure, known = self._tenures[one.vm], self._recoveries.get(one.vm)
        is_new = known is None or known.generation < one.generation
        if not is_new:
            is_back = one.step is RecoveryStep.GIVEN_BACK
            return {
                "a target that did not answer has not given back": is_back
                and (one.vm, one.generation) not in self._given_back,
                "a recovery keeps its target": known is not None and known.target != one.target,
            }
        is_back = (one.vm, tenure.generation) in self._given_back
        boots = (one.proof.boot, *one.proof.earlier)
        covers = one.proof.host == tenure.host and tenure.boot in boots
        if one.proof.kind is ProofKind.WATCHDOG:
            covers = covers and one.vm in one.proof.vms
        return {
            "no start elsewhere without a proof that covers it": not (covers or is_back),
            "no start elsewhere without a committed proof": not self.is_proven(one.proof.host)
            and not is_back,
            "no start elsewhere of what migrates": tenure.state is TenureState.MIGRATING,
            "generations rise by one": one.generation != tenure.generation + 1,
            "no start elsewhere while disarmed": self._is_disarmed,
            "a dead host is no target": self.is_proven(one.target),
        }

    def _of_start(self, action: RestartElsewhere) -> dict[str, bool]:
        one = action.recovery
        tenure = self._tenures[one.vm]
        return {
            "no order that is not committed": self._recoveries.get(one.vm) != one,
            "no order to another than the holder": (tenure.host, tenure.generation)
            != (one.target, one.generation),
            "no order for an earlier leader's recovery": one.term != self.term,
            "no order while disarmed": self._is_disarmed,
        }
